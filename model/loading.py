"""From files on disk to a language model ready to run: device, number type, tokenizer, errors.

Owns the choices made once at load, and the translation of what libraries raise into
`model.errors`. Finding the files is `model.hub`; running the model is `model.generator`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from model.errors import ModelCorrupt, ModelError, ModelNotFound, ModelTooLarge, ModelUnavailable
from model.gguf_conversion import ensure_converted, load_gguf
from model.local_files import LocalModel
from model.low_rank import LowRank
from model.protocols import FimTemplate
from model.tokenization import HfTokenizer

log = logging.getLogger(__name__)

END_TOKENS = ("<|im_end|>", "<|endoftext|>")
DEFAULT_CONTEXT_WINDOW = 2048
CROPPABLE_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})

DECODE_ROWS, PREFILL_ROWS = 1, 128
DECODES_PER_PREFILL = 1
"""The weights of a trial. Decoding counts little: `model.runtime` reads compact weights of its own for it."""
CLEARLY_FASTER = 1.4
TRIAL_BYTES = 2**26
"""Weights multiplied in one round of a trial: more than a cache holds, as in a real model."""


@dataclass
class LoadedModel:
    """A causal language model in eval mode on its device, and what others must know of it.

    `changes` are those that an adapter made; they are in the model's weights already.
    """

    model: PreTrainedModel
    tokenizer: HfTokenizer
    model_id: str
    fim: FimTemplate | None
    device: str
    dtype: torch.dtype
    changes: Mapping[torch.nn.Module, LowRank] = field(default_factory=dict, repr=False, compare=False)

    @property
    def hidden_size(self) -> int:
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def vocabulary_size(self) -> int:
        """How many logits there are; some have no token."""
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def context_window(self) -> int:
        config = self.model.config.get_text_config()
        names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
        sizes = (getattr(config, name, None) for name in names)
        return next((int(size) for size in sizes if size), DEFAULT_CONTEXT_WINDOW)


def load_language_model(
    local: LocalModel, device: str = "auto", threads: int = 0, most_device_bytes: int = 0
) -> LoadedModel:
    """Loads a causal language model from a folder or a GGUF file, ready to run.

    `threads` above 0 sets torch's own number, `most_device_bytes` above 0 how much of an accelerator's memory
    this process may take. Raises ModelNotFound (no config, no fast
    tokenizer), ModelCorrupt (truncated, unreadable, weights missing), ModelTooLarge (no
    memory) or ModelUnavailable (no such device, an architecture that cannot run here).
    """
    _silence_transformers()
    if threads > 0:
        torch.set_num_threads(threads)
    target = pick_device(device)
    limit_device_memory(target, most_device_bytes)
    with _as_model_errors(local.path):
        model, tokenizer = _from_gguf(local.path) if local.path.is_file() else _from_folder(local.path)
        _check_croppable(model.config)
        dtype = pick_dtype(target, model.config)
        torch.nn.Module.eval(model).requires_grad_(False)
        _move(model, target, dtype)
    log.info("loaded %s on %s as %s", local.model_id, target, dtype)
    wrapped = _tokenizer(tokenizer, model, local)
    return LoadedModel(model, wrapped, local.model_id, local.fim, str(target), dtype)


def _move(model: PreTrainedModel, device: torch.device, dtype: torch.dtype) -> None:
    """Weights to `dtype`, but not rotary frequencies: rounded, they turn distant words wrongly."""
    exact = {n: b.detach().float().clone() for n, b in model.named_buffers() if n.endswith("inv_freq")}
    torch.nn.Module.to(model, device=device, dtype=dtype)  # transformers' own is not typed
    for name, values in exact.items():
        owner, _, buffer = name.rpartition(".")
        setattr(model.get_submodule(owner), buffer, values.to(device))


def pick_device(name: str) -> torch.device:
    """The device that `name` means; raises ModelUnavailable where this machine lacks it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelUnavailable(
            f"the device {name!r} cannot be used here ({_first_line(error)}); set model.device to auto or cpu"
        ) from error
    return device


def limit_device_memory(device: torch.device, most_bytes: int) -> None:
    """Lets this process take at most so many bytes of an accelerator, all for 0."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (most_bytes or total) / total), device)
    elif device.type == "mps" and most_bytes:
        share = most_bytes / torch.mps.recommended_max_memory()
        torch.mps.set_per_process_memory_fraction(min(1.0, share))


def pick_dtype(device: torch.device, config: PreTrainedConfig) -> torch.dtype:
    """bfloat16 where the accelerator computes in it, else float16; on the CPU the faster of two."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "cpu":
        return fastest_cpu_dtype(config)
    try:  # MPS has it from macOS 14 on
        torch.ones(2, 2, dtype=torch.bfloat16, device=device).sum().item()
    except (RuntimeError, TypeError):
        return torch.float16
    return torch.bfloat16


def fastest_cpu_dtype(config: PreTrainedConfig) -> torch.dtype:
    """float32 or bfloat16, by multiplying matrices of the model's own shapes for some tens of ms.

    bfloat16 halves the bytes read for each token, but only some processors multiply in it; on
    the others it is many times slower. Where they are close, float32 says the same each time.
    """
    text = config.get_text_config()
    width = int(getattr(text, "hidden_size", 0) or 1024)
    inner = int(getattr(text, "intermediate_size", 0) or 4 * width)
    times = {dtype: _trial_seconds(dtype, width, inner) for dtype in (torch.float32, torch.bfloat16)}
    log.debug("matrix trials in seconds: %s", times)
    clearly_faster = times[torch.bfloat16] * CLEARLY_FASTER < times[torch.float32]
    return torch.bfloat16 if clearly_faster else torch.float32


def _trial_seconds(dtype: torch.dtype, width: int, inner: int) -> float:
    n_weights = max(1, min(64, TRIAL_BYTES // (4 * width * inner)))
    weights = [torch.full((inner, width), 0.5, dtype=dtype) for _ in range(n_weights)]
    seconds = 0.0
    for rows, share in ((DECODE_ROWS, DECODES_PER_PREFILL), (PREFILL_ROWS, 1)):
        row_block = torch.full((rows, width), 0.5, dtype=dtype)
        seconds += share * min(_round_seconds(row_block, weights) for _ in range(3))
    return seconds


def _round_seconds(rows: torch.Tensor, weights: list[torch.Tensor]) -> float:
    with torch.inference_mode():
        began = time.perf_counter()
        for weight in weights:
            torch.nn.functional.linear(rows, weight)
        return time.perf_counter() - began


def _from_gguf(path: Path) -> tuple[PreTrainedModel, Any]:
    folder = ensure_converted(path)
    if folder is None:
        return load_gguf(path)
    try:
        return _from_folder(folder)
    except (ModelError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        log.warning("the conversion of %s is damaged (%s) and made anew", path.name, _first_line(error))
    folder = ensure_converted(path, rebuild=True)
    return load_gguf(path) if folder is None else _from_folder(folder)


def _from_folder(folder: Path) -> tuple[PreTrainedModel, Any]:
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"{folder} holds no config.json; give a model's folder or a .gguf file")
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    load: Any = AutoModelForCausalLM.from_pretrained
    model, report = load(
        str(folder), dtype="auto", local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:  # transformers would run them with random numbers
        raise ModelCorrupt(
            f"{folder} lacks {len(missing)} of the model's weights ({missing[0]}, …); fetch or save it again"
        )
    return model, tokenizer


def _check_croppable(config: PreTrainedConfig) -> None:
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ()) - CROPPABLE_LAYERS
    if kinds or "mamba" in str(config.model_type):
        raise ModelUnavailable(
            f"{config.model_type} keeps a state ({', '.join(sorted(kinds)) or 'mamba'}) that cannot be "
            "rewound as one types; choose a model of attention layers only"
        )


def _tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, local: LocalModel) -> HfTokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelNotFound(
            f"{local.path} has no fast tokenizer; put its tokenizer.json beside the config, or convert it"
        )
    fim = (local.fim.prefix, local.fim.suffix, local.fim.middle, *local.fim.stop) if local.fim else ()
    prefix_ids = _prefix_ids(tokenizer)
    return HfTokenizer(backend, _eos_ids(tokenizer, model, fim), prefix_ids, fim)


def _prefix_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer's own template puts before a text."""
    bare: list[int] = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed: list[int] = tokenizer("a")["input_ids"]
    return framed[: framed.index(bare[0])] if bare and bare[0] in framed else []


def _eos_ids(
    tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, fim_tokens: tuple[str, ...]
) -> set[int]:
    """Ids that end a text: by tokenizer, config, generation config, family, and by their names."""
    found: set[int] = set()
    generation = model.generation_config
    for given in (
        tokenizer.eos_token_id,
        model.config.get_text_config().eos_token_id,
        generation.eos_token_id if generation is not None else None,
    ):
        if given is not None:
            found.update(given if isinstance(given, list) else [int(given)])
    named = (tokenizer.backend_tokenizer.token_to_id(token) for token in (*END_TOKENS, *fim_tokens) if token)
    return found | {number for number in named if number is not None}


def _silence_transformers() -> None:
    """Progress bars and advice of the library belong on no server's stdout or stderr."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _as_model_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise ModelTooLarge(
                f"{path.name} does not fit the memory ({_first_line(error)}); choose a smaller model, "
                "close other programs, raise model.maxVramMib, or set model.device to cpu"
            ) from error
        raise ModelCorrupt(
            f"{path} cannot be loaded ({_first_line(error)}); fetch or save it again"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory, of the machine or of the accelerator, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
