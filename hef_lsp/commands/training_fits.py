"""What the commands share that fit something small to training records: `train gate`, `needs` and `maps`.

Owns their options and how they end where what was learnt cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hef_lsp.commands.console import fail, named_errors, say_fetching
from hef_lsp.settings import Memories, ModelSettings

if TYPE_CHECKING:
    from model.generator import HfGenerator
    from model.slots.fuser import SlotFuser

Records = Annotated[
    list[Path], typer.Option("--records", help="Files of `hef-lsp train data`; again for more.")
]
Tensors = Annotated[Path, typer.Option("--out", help="Where to write what was learnt, as safetensors.")]
Judges = Annotated[int, typer.Option(min=2, help="One repository in so many is only judged.")]
Limit = Annotated[int, typer.Option(min=2, help="At most so many repositories.")]
Model = Annotated[str, typer.Option(help="Model name, folder, GGUF file or hub id.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 means all physical cores.")]


def load_slot_models(model: str, threads: int) -> tuple[SlotFuser, HfGenerator]:
    """The fuser of slots and its generator; ends the command for a model without them."""
    from hef_lsp.models_loading import load_models
    from model.generator import HfGenerator
    from model.slots.fuser import SlotFuser

    with named_errors():
        settings = ModelSettings(name=model, threads=threads, memories=Memories.SLOTS)
        bundle = load_models(settings, say_fetching())
    if not isinstance(bundle.fuser, SlotFuser) or not isinstance(bundle.generator, HfGenerator):
        raise fail(f"{model} has no memories of keys and values; choose another with --model")
    return bundle.fuser, bundle.generator


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Ends the command where `output` cannot be written."""
    try:
        yield
    except OSError as error:
        raise fail(f"{output} cannot be written: {error.strerror or error}; choose another file") from error
