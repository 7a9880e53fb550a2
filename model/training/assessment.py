"""What the network is worth while it is trained: likelihood and exact matches of held-out lines by arm.

Owns the rows, the arms (none, text, dense, vectors of another repository) and batched greedy decoding.
Quick and in batches, to steer training; figures that are published come from the product's own engine.
"""

from __future__ import annotations

import copy
import json
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from model.healing import Vocabulary
from model.prompt import PromptLimits, PromptPlan, Snippet, build_prompt
from model.tokenization import HfTokenizer
from model.training.batches import Batch, Example, Sizes, make_batch
from model.training.examples import ExamplePlan
from model.training.lean import MAPS, LowRankLayers
from model.training.network import Network

ARMS = ("none", "text", "dense", "random")
"""``dense:8`` and so on are the same with so many pseudo-tokens at most."""
NEW_TOKENS = 48
ROWS = 256


@dataclass(frozen=True)
class AssessmentRow:
    """`hits` and `foreign` are (path, text) of chunks, best first; `target` is one line, or its rest."""

    benchmark: str
    path: str
    prefix: str
    target: str
    hits: tuple[tuple[str, str], ...]
    foreign: tuple[tuple[str, str], ...]


def write_rows(path: Path, rows: Sequence[AssessmentRow]) -> None:
    with lzma.open(path, "wt", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read_rows(path: Path) -> list[AssessmentRow]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [_row(json.loads(line)) for line in file]


def _row(data: dict[str, Any]) -> AssessmentRow:  # Any: JSON, the wire
    hits, foreign = (tuple((path, text) for path, text in data.pop(name)) for name in ("hits", "foreign"))
    return AssessmentRow(**data, hits=hits, foreign=foreign)


@dataclass(frozen=True)
class Prepared:
    """A row ready for one arm; `healed` is what the target begins with beside the line itself."""

    example: Example
    healed: str


class Assessment:
    """Prepares rows once for each arm; measures a network as often as wanted."""

    def __init__(
        self, rows: Sequence[AssessmentRow], tokenizer: HfTokenizer, plan: ExamplePlan, sizes: Sizes
    ):
        self.rows, self._tokenizer, self._plan, self._sizes = rows, tokenizer, plan, sizes
        self._vocabulary = Vocabulary(tokenizer)
        self._known: dict[str, list[Prepared]] = {}

    def _prepared(self, arm: str) -> list[Prepared]:
        kind = arm.partition(":")[0]
        if kind not in self._known:
            self._known[kind] = [self._prepare(row, kind) for row in self.rows]
        return self._known[kind]

    def _prepare(self, row: AssessmentRow, arm: str) -> Prepared:
        plan = self._plan
        shown = {"none": (), "random": row.foreign}.get(arm, row.hits)[: plan.n_hits]
        snippets = tuple(Snippet(path, text, plan.comment) for path, text in shown)
        prompt_plan = PromptPlan(row.prefix, "", row.path, plan.comment, snippets if arm == "text" else ())
        limits = PromptLimits(plan.prefix_tokens, 0, plan.text_tokens, 8192, plan.target_tokens)
        ids = build_prompt(prompt_plan, limits, self._tokenizer, None).prompt.token_ids
        n_taken, healed = self._vocabulary.tail(ids)
        if n_taken < len(ids):
            ids = ids[: len(ids) - n_taken]
        else:
            healed = ""
        target = tuple(self._tokenizer.encode(healed + row.target))[: plan.target_tokens]
        chunks = tuple(tuple(self._tokenizer.encode(text)) for _, text in shown) if arm != "text" else ()
        example = Example(ids, target, (1.0,) * len(target), chunks, (0,) * len(chunks))
        return Prepared(example, healed)

    def _batches(self, arm: str, device: torch.device) -> Iterator[tuple[slice, Batch]]:
        text = self._sizes.text + (self._plan.text_tokens if arm == "text" else 0)
        n_nodes = 0 if arm in ("none", "text") else self._sizes.n_nodes
        sizes = Sizes(ROWS, text, self._sizes.target, n_nodes, self._sizes.chunk, self._sizes.n_memory)
        for start in range(0, len(self.rows), ROWS):
            place = slice(start, start + ROWS)
            examples = [prepared.example for prepared in self._prepared(arm)[place]]
            yield place, make_batch(arm, examples, sizes).to(device)

    @torch.no_grad()
    def likelihood(self, network: Network, arms: Sequence[str] = ARMS) -> dict[str, float]:
        """Mean nats a target token, by benchmark and arm."""
        sums: dict[str, list[float]] = {}
        for arm in arms:
            for place, batch in self._batches(arm, _device(network)):
                losses = network.losses(batch, *_pseudo(network, batch, arm)).sum(1).tolist()
                for row, prepared, loss in zip(
                    self.rows[place], self._prepared(arm)[place], losses, strict=True
                ):
                    sums.setdefault(f"nll_{row.benchmark}_{arm}", []).append(
                        loss / len(prepared.example.target)
                    )
        return {name: sum(values) / len(values) for name, values in sums.items()}

    @torch.no_grad()
    def predictions(self, network: Network, model: nn.Module, arm: str) -> list[str]:
        """The first line that `model` (adapter merged in) says greedily, for every row."""
        answers: list[str] = []
        embed = cast(Any, model).get_input_embeddings()
        for place, batch in self._batches(arm, _device(network)):
            pseudo, counts = _pseudo(network, batch, arm)
            inputs, mask = _left_padded(embed, batch, pseudo, counts)
            prepared = self._prepared(arm)[place]
            tokens = self._decode(model, inputs, mask, [one.healed for one in prepared])
            for one, ids in zip(prepared, tokens, strict=True):
                text = self._tokenizer.decode(ids)[len(one.healed) :]
                answers.append(_first_line(text))
        return answers

    def _decode(
        self, model: nn.Module, inputs: Tensor, mask: Tensor, healed: Sequence[str]
    ) -> list[list[int]]:
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)
        output = cast(Any, model)(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
        )
        logits, cache = output.logits[:, -1].float(), output.past_key_values
        bias = self._first_step(healed, logits.shape[-1]).to(logits.device)
        tokens = [(logits + bias).argmax(-1)]
        place = positions[:, -1:]
        for _ in range(NEW_TOKENS - 1):
            place = place + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            output = cast(Any, model)(
                input_ids=tokens[-1][:, None],
                attention_mask=mask,
                position_ids=place,
                past_key_values=cache,
                use_cache=True,
            )
            tokens.append(output.logits[:, -1].argmax(-1))
        ends = self._tokenizer.eos_ids
        rows = torch.stack(tokens, dim=1).tolist()
        return [row[: next((i for i, t in enumerate(row) if t in ends), len(row))] for row in rows]

    def _first_step(self, healed: Sequence[str], n_ids: int) -> Tensor:
        """0 where a token begins with what is to be spelt again, -inf elsewhere."""
        bias = torch.zeros(len(healed), n_ids)
        for row, text in enumerate(healed):
            if text:
                allowed = [i for i in self._vocabulary.continuing(text) if self._begins(i, text)]
                bias[row] = float("-inf")
                bias[row, allowed] = 0.0
        return bias

    def _begins(self, token: int, text: str) -> bool:
        return self._tokenizer.decode([token]).startswith(text)


def exact_matches(rows: Sequence[AssessmentRow], answers: Sequence[str]) -> dict[str, float]:
    """Share of lines equal but for blanks at the ends, by benchmark."""
    hits: dict[str, list[bool]] = {}
    for row, answer in zip(rows, answers, strict=True):
        hits.setdefault(row.benchmark, []).append(answer.strip() == row.target.strip())
    return {name: sum(values) / len(values) for name, values in hits.items()}


def with_adapter(model: nn.Module, adapter: LowRankLayers | None) -> nn.Module:
    """A copy of a transformers model with the adapter added to its maps.

    A copy, because a `LeanModel` shares its weights with the model that it was made of.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for number, layer in enumerate(cast(Any, model).model.layers if adapter is not None else ()):
            assert adapter is not None
            maps = [getattr(layer.self_attn, name) for name in MAPS[:4]]
            maps += [getattr(layer.mlp, name) for name in MAPS[4:]]
            for place, part in enumerate(maps):
                down = cast(Any, adapter.down[number])[place]
                up = cast(Any, adapter.up[number])[place]
                part.weight += (adapter.scale * up @ down).to(part.weight.dtype)
    return model


def _device(network: Network) -> torch.device:
    return next(network.parameters()).device


def _pseudo(network: Network, batch: Batch, arm: str) -> tuple[Tensor | None, Tensor | None]:
    if not batch.has_nodes:
        return None, None
    budget = arm.partition(":")[2]
    return network.pseudo_tokens(network.vectors(batch), batch, int(budget) if budget else None)


def _left_padded(
    embed: nn.Module, batch: Batch, pseudo: Tensor | None, counts: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Prompts alone, as vectors ``[B, S, H]`` that end together, and which of them are there ``[B, S]``."""
    rows = []
    for row in range(len(batch.ids)):
        text = embed(batch.ids[row, : int(batch.n_prompt[row])])
        if pseudo is not None and counts is not None and int(counts[row]):
            text = torch.cat([pseudo[row, -int(counts[row]) :].to(text.dtype), text])
        rows.append(text)
    longest = max(len(row) for row in rows)
    inputs = torch.stack([nn.functional.pad(row, (0, 0, longest - len(row), 0)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=inputs.device)
    mask = torch.arange(longest, device=inputs.device) >= (longest - lengths)[:, None]
    return inputs, mask.long()


def _first_line(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[0] if lines else ""
