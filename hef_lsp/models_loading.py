"""The one place where settings become loaded models. Imports torch, but only when called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hef_lsp.settings import ModelSettings

if TYPE_CHECKING:
    from model.bundle import ModelBundle
    from model.local_files import LocalModel

Progress = Callable[[str, int, int], None]


def load_models(
    settings: ModelSettings, on_progress: Progress | None = None, *, keeps_module: bool = True
) -> ModelBundle:
    """The generator, embedder, fuser and projector that `settings` name.

    `on_progress` hears ``(label, done_bytes, total_bytes)`` while something is fetched. `keeps_module` is
    that of `load_bundle`. Raises `model.errors.ModelError` with what to do next.
    """
    from model.bundle import load_bundle
    from model.hardware import describe_hardware, within
    from model.hub import ModelHub, default_cache_dir

    vram_bytes = settings.max_vram_mib << 20
    hub = ModelHub(
        default_cache_dir(),
        offline=settings.offline,
        on_progress=on_progress,
        hardware=lambda: within(describe_hardware(), vram_bytes),
    )
    return load_bundle(
        settings.name,
        settings.device,
        settings.threads,
        settings.embedder,
        settings.checkpoint,
        hub,
        settings.memories,
        vram_bytes,
        keeps_module,
    )


def local_model(name: str, on_progress: Progress) -> LocalModel:
    """The files of the generator `name`, fetched if they are not on disk. Raises ModelError."""
    from model.hub import ModelHub, default_cache_dir

    hub = ModelHub(default_cache_dir(), offline=False, on_progress=on_progress)
    return hub.resolve(name, allow_download=True)
