"""What of the models a folder's index is given, and what it gives back while they rest.

Owns the rule. An index that makes slots holds the generator by its fuser, and with it all of its memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from hef_lsp.context import fusing, on_demand, reads_memories
from hef_lsp.settings import ContextSettings
from hef_lsp.workspace import WorkspaceFolder

if TYPE_CHECKING:
    from model.bundle import ModelBundle


def lend(folder: WorkspaceFolder, models: ModelBundle, settings: ContextSettings) -> None:
    """The models, without the fuser where no memory would be read."""
    reads, missed_only = fusing(settings, models)
    folder.attach_models(models if reads else replace(models, fuser=None), missed_only)


def lend_again(folder: WorkspaceFolder, models: ModelBundle, settings: ContextSettings) -> None:
    """After a rest: a fuser that holds a generator must be the new one's, or there are two of them."""
    if not folder.has_models or (models.fuses_on_demand and reads_memories(settings, models)):
        lend(folder, models, settings)


def take_back(folders: Iterable[WorkspaceFolder], models: ModelBundle, settings: ContextSettings) -> None:
    """Before a rest. Where all memories are made the index goes on with them, and keeps its fuser."""
    if on_demand(settings, models):
        for folder in folders:
            folder.attach_models(replace(models, fuser=None))
