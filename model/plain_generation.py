"""The generator as one would use it without hef-lsp: transformers' own `generate`, nothing kept.

Owns a rival for measurements, and the plainest reference there is. It reads the whole prompt at each
request, by the model's own modules, and decodes one token a pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from model.delegating_generator import DelegatingGenerator
from model.generator import HfGenerator
from model.protocols import CancelSignal, Generation, Prompt, StopMode, StopReason, StopRule


class PlainGenerator(DelegatingGenerator):
    """A `model.protocols.Generator` that knows neither pseudo-tokens nor memory."""

    def __init__(self, generator: HfGenerator) -> None:
        """The same weights as `generator`, which may go on being used.

        Raises ValueError where the layers of its module were given up.
        """
        if any(parameter.numel() == 0 for parameter in generator.loaded.model.parameters()):
            raise ValueError(f"the module of {generator.model_id} was given up; load it with keeps_module")
        super().__init__(generator)
        self.last: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        """The last prompt and what was said to it."""

    def generate(
        self,
        prompt: Prompt,
        rule: StopRule,
        cancel: CancelSignal,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """Greedily, to the end of the first line with text where a line is wanted, else `rule.max_tokens`."""
        began_s = time.perf_counter()
        ids = torch.tensor([prompt.token_ids], device=self.of.loaded.model.device)
        stops = StoppingCriteriaList([_LineEnd(self.of, ids.shape[1])] if rule.mode is StopMode.LINE else [])
        with torch.inference_mode():
            output = cast(Any, self.of.loaded.model).generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=rule.max_tokens,
                do_sample=False,
                stopping_criteria=stops,
                eos_token_id=sorted(self.tokenizer.eos_ids) or None,
                pad_token_id=min(self.tokenizer.eos_ids, default=0),
            )
        new = output[0, ids.shape[1] :].tolist()
        self.last = (prompt.token_ids, tuple(new))
        text = self.tokenizer.decode([token for token in new if token not in self.tokenizer.eos_ids])
        if rule.mode is StopMode.LINE:
            blank, text = text[: len(text) - len(text.lstrip("\n"))], text.lstrip("\n")
            text = blank + text.partition("\n")[0]
        return Generation(
            text,
            StopReason.LINE if rule.mode is StopMode.LINE else StopReason.LIMIT,
            tuple(new),
            n_prefilled=ids.shape[1],
            n_forwards=max(0, len(new) - 1),
            decode_ms=1000 * (time.perf_counter() - began_s),
        )


class _LineEnd(StoppingCriteria):
    """Once a token that ends the line follows one that says something."""

    def __init__(self, generator: HfGenerator, n_prompt: int) -> None:
        self._ends = generator.texts.ends_line
        self._n_prompt = n_prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        new = input_ids[0, self._n_prompt :].tolist()
        said = any(not self._ends[token] for token in new)
        return torch.tensor([said and bool(self._ends[new[-1]])], device=input_ids.device)
