"""Every setting and its default, in one place, and the one converter from what editors send.

Owns names, types, bounds and defaults. Does not read files or the environment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast, get_args, get_origin, get_type_hints

LONGEST_DEADLINE_MS = 120_000
"""For whoever waits for an answer and does not type on: the commands, and evaluations."""

LEAST_SHARED_DENSE = 35
"""Per cent (decision 0016): kept to it, slots made fewer answers worse than text did, on every set."""


class ContextMode(StrEnum):
    """How the repository reaches the generator."""

    AUTO = "auto"
    DENSE = "dense"
    TEXT = "text"
    NONE = "none"


class Memories(StrEnum):
    """What the index keeps of a chunk for dense mode."""

    AUTO = "auto"
    SLOTS = "slots"
    VECTORS = "vectors"


def _doc(default: Any, help_text: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "low": low, "high": high})


@dataclass(frozen=True)
class ModelSettings:
    """Which weights run, and where."""

    name: str = _doc(
        "auto", "Model name (`hef-lsp model list`), folder, GGUF file or hub id; `auto` fits the hardware."
    )
    device: str = _doc("auto", "`auto`, `cpu`, `cuda`, `cuda:1` or `mps`.")
    max_vram_mib: int = _doc(
        0, "Most memory of a graphics card for the models, in MiB; 0 means what is free.", 0, 10_485_760
    )
    threads: int = _doc(0, "CPU threads for the models; 0 means as many as there are physical cores.", 0, 256)
    embedder: str = _doc("static", "Retrieval keys: `static`, `minilm` or a sentence-transformers id.")
    checkpoint: str = _doc(
        "auto", "Trained weights: a checkpoint folder, `auto`, or `none` for the plain generator."
    )
    memories: Memories = _doc(
        Memories.AUTO,
        "What dense mode keeps of code: `slots` (the generator's own keys and values, those that are needed "
        "most), `vectors` (of the checkpoint's fuser and projector), or `auto`: vectors of a checkpoint that "
        "was measured to win by them, else slots.",
    )
    idle_minutes: int = _doc(
        60, "Put the model away after so long without a request; the next one loads it. 0: never.", 0, 10_000
    )
    offline: bool = _doc(False, "Never fetch a model; say what is missing instead.")


@dataclass(frozen=True)
class ContextSettings:
    """What the generator is told of the repository."""

    mode: ContextMode = _doc(
        ContextMode.AUTO,
        "`dense` (pseudo-tokens), `text` (snippets), `none`, or `auto`: `text`, or `dense` where that says "
        "as much and reading snippets would take too long.",
    )
    pseudo_tokens: int = _doc(
        128,
        "Most pseudo-tokens before the code in dense mode; of slots, as many keys and values as so many "
        "pseudo-tokens have. Six chunks have 48 with the embedded model.",
        0,
        4096,
    )
    text_tokens: int = _doc(512, "Most tokens of snippets before the code in text mode.", 0, 8192)
    prefix_tokens: int = _doc(384, "Most tokens of the file before the cursor.", 16, 8192)
    read_prefix_tokens: int = _doc(
        1024,
        "Most tokens of the file before the cursor where they were read in the background and nothing of the "
        "repository is told.",
        16,
        8192,
    )
    suffix_tokens: int = _doc(
        96, "Most tokens of the file after the cursor, for models that read them.", 0, 4096
    )
    open_file_tokens: int = _doc(
        8192,
        "Most tokens of open files that are read in the background and kept (12 KiB each with the embedded "
        "model), so that an answer after a jump comes sooner; 0: none.",
        0,
        65_536,
    )
    memory: bool = _doc(True, "Weigh in what followed the same words elsewhere in the workspace.")
    hits: int = _doc(6, "Most chunks and ancestors retrieved for one request.", 0, 64)
    least_shared: int = _doc(
        -1,
        "Tell nothing unless this share of what stands at the cursor stands in a hit, in per cent; -1 means "
        f"{LEAST_SHARED_DENSE} in dense mode and 0 in text mode.",
        -1,
        100,
    )

    def least_share(self, mode: ContextMode) -> float:
        """`least_shared` as a share, 0 to 1, where the repository is told in `mode`."""
        usual = LEAST_SHARED_DENSE if mode is ContextMode.DENSE else 0
        return (usual if self.least_shared < 0 else self.least_shared) / 100


@dataclass(frozen=True)
class CompletionSettings:
    """When to suggest, and how much."""

    enabled: bool = _doc(True, "Suggest at all.")
    debounce_ms: int = _doc(
        75,
        "Quiet time before an automatic request is worked on, in milliseconds; up to 75 may have passed "
        "before its key.",
        0,
        5000,
    )
    deadline_ms: int = _doc(4000, "Most time for one suggestion, in milliseconds.", 50, LONGEST_DEADLINE_MS)
    max_tokens: int = _doc(64, "Most new tokens of a one-line suggestion.", 1, 1024)
    multiline: bool = _doc(True, "Suggest whole blocks where one begins.")
    prefetch: bool = _doc(
        True,
        "Work out the next line while a suggestion is being read, and where an editor tells that the cursor "
        "was moved what will be asked for there.",
    )
    statistics: bool = _doc(
        True, "Count on this machine how many suggestions are accepted and stay (`hef-lsp stats`)."
    )
    max_block_tokens: int = _doc(160, "Most new tokens of a suggested block.", 1, 2048)
    alternatives: int = _doc(3, "How many suggestions an invoked request may return.", 1, 10)
    alternatives_ms: int = _doc(
        1000,
        "For how long after an invoked request the first suggestion waits for further ones, in milliseconds.",
        0,
        LONGEST_DEADLINE_MS,
    )


@dataclass(frozen=True)
class IndexSettings:
    """What is read of the workspace, and how much of it is kept."""

    enabled: bool = _doc(True, "Read the workspace; without it only open files are known.")
    exclude: tuple[str, ...] = _doc((), "Patterns (as in .gitignore) never to read.")
    max_files: int = _doc(50_000, "Most files read.", 1, 10_000_000)
    max_file_kib: int = _doc(1024, "Files larger than this are not read, in KiB.", 1, 1_048_576)
    max_memory_mib: int = _doc(
        1024,
        "Most RAM for vectors, in MiB; exact memory takes a quarter of it more.",
        16,
        1_048_576,
    )
    quiet_ms: int = _doc(
        300, "Quiet time after a change before the index follows it, in milliseconds.", 0, 60_000
    )
    fuse: bool = _doc(True, "Compress chunks into dense vectors in the background.")
    max_fused_mib: int = _doc(
        1024,
        "Most disk for dense vectors, in MiB; code near open files first.",
        1,
        1_048_576,
    )

    max_disk_mib: int = _doc(
        8192,
        "Most disk for the index, in MiB, dense vectors at most half of it; then no more files are read.",
        16,
        10_485_760,
    )

    @property
    def fused_bytes(self) -> int:
        """Disk for dense vectors; 0 where none are made."""
        return min(self.max_fused_mib << 20, self.disk_bytes // 2) if self.fuse else 0

    @property
    def disk_bytes(self) -> int:
        """Disk for the whole index."""
        return self.max_disk_mib << 20


@dataclass(frozen=True)
class Settings:
    """Everything a user can choose."""

    model: ModelSettings = field(default_factory=ModelSettings)
    context: ContextSettings = field(default_factory=ContextSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    index: IndexSettings = field(default_factory=IndexSettings)


def settings_from_options(options: object, base: Settings | None = None) -> tuple[Settings, list[str]]:
    """Settings from an LSP options object over `base`, and a complaint for each bad entry.

    Accepts ``{"hef": {...}}`` or the inner object. A bad or unknown entry keeps its
    present value and yields a message that names it and says what is allowed.
    """
    base = base or Settings()
    if options is None:
        return base, []
    if isinstance(options, Mapping) and isinstance(options.get("hef"), Mapping | list):
        options = options["hef"]
    problems: list[str] = []
    return _merge(base, options, "hef", problems), problems


def _merge(base: Any, options: object, where: str, problems: list[str]) -> Any:
    if options == []:  # Lua has one empty table, which its editors send as a list
        return base
    if not isinstance(options, Mapping):
        problems.append(f"{where}: expected an object, got {type(options).__name__}; defaults are kept")
        return base
    hints = get_type_hints(type(base))
    fields = {f.name: f for f in dataclasses.fields(base)}
    changes: dict[str, Any] = {}
    for key, value in options.items():
        name = _snake_case(str(key))
        if name not in fields:
            problems.append(f"{where}.{key}: no such setting; known here: {', '.join(sorted(fields))}")
        elif dataclasses.is_dataclass(hints[name]):
            changes[name] = _merge(getattr(base, name), value, f"{where}.{key}", problems)
        else:
            try:
                changes[name] = _convert(value, hints[name], fields[name].metadata)
            except ValueError as error:
                problems.append(f"{where}.{key}: {error}; {getattr(base, name)!r} is kept")
    return dataclasses.replace(base, **changes)


def _convert(value: object, kind: Any, limits: Mapping[str, Any]) -> Any:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        allowed = [str(member) for member in kind]
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
        return kind(value)
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple) or not all(
            isinstance(item, get_args(kind)[0]) for item in value
        ):
            raise ValueError(f"expected a list of strings, got {value!r}")
        return tuple(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"expected {kind.__name__}, got {value!r}")
    low, high = limits.get("low"), limits.get("high")
    if kind is int and low is not None and high is not None and not low <= cast(int, value) <= high:
        raise ValueError(f"{value} is outside {low} to {high}")
    return value


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
