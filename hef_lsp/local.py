"""A folder with its index and models, without a protocol: what the commands work on.

Owns the lifetime of one lane, one `WorkspaceFolder` and one `CompletionEngine`. The server
has its own composition in `hef_lsp.server`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hef_lsp.context import on_demand, reads_memories
from hef_lsp.documents import DocumentSnapshot
from hef_lsp.engine import CompletionEngine
from hef_lsp.models_loading import Progress, load_models
from hef_lsp.places import index_directory
from hef_lsp.request import CompletionRequest
from hef_lsp.scheduling import InferenceLane, LanePriority
from hef_lsp.settings import ContextMode, Settings
from hef_lsp.workspace import WorkspaceFolder

if TYPE_CHECKING:
    from model.bundle import ModelBundle

Status = dict[str, Any]


@dataclass(frozen=True)
class LocalSession:
    """One folder, ready to be asked."""

    root: Path
    settings: Settings
    lane: InferenceLane
    folder: WorkspaceFolder
    engine: CompletionEngine
    models: ModelBundle

    def request(
        self, file: Path, document: DocumentSnapshot, offset: int, n_alternatives: int
    ) -> CompletionRequest:
        """An invoked request at a place of a file on disk."""
        return CompletionRequest(
            document=document,
            path=relative_path(file, self.root),
            root=str(self.root),
            offset=offset,
            invoked=True,
            n_alternatives=n_alternatives,
            selected=None,
        )


def relative_path(file: Path, root: Path) -> str:
    """The path of `file` below `root` with forward slashes, or its name if it lies elsewhere."""
    resolved = file.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else resolved.name


@contextmanager
def local_session(
    root: Path,
    settings: Settings,
    on_status: Callable[[Status], None] | None = None,
    on_progress: Progress | None = None,
    cache_dir: Path | None = None,
    fuse_only_if_read: bool = False,
) -> Iterator[LocalSession]:
    """Loads the models, opens the folder's index and starts following it; closes both at the end.

    With `fuse_only_if_read` no memory is made that the context mode would not use, and none for the next
    request.
    """
    resolved = root.resolve()
    lane = InferenceLane()
    try:
        models = lane.run(LanePriority.KEYSTROKE, lambda: load_models(settings.model, on_progress))
        if fuse_only_if_read and on_demand(settings.context, models):
            settings = replace(settings, context=replace(settings.context, mode=ContextMode.TEXT))
        if fuse_only_if_read and not reads_memories(settings.context, models):
            settings = replace(settings, index=replace(settings.index, fuse=False))
        folder = WorkspaceFolder(resolved, settings, cache_dir or index_directory(), lane, on_status)
        try:
            folder.attach_models(models)
            engine = CompletionEngine(models, lambda _request: folder.view(), lambda: settings)
            yield LocalSession(resolved, settings, lane, folder, engine, models)
        finally:
            folder.close()
    finally:
        lane.close()
