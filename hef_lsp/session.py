"""Everything the server knows while an editor is connected, and the lifetime of what it started.

Owns documents, folders, the inference lane, the models and their state; `hef_lsp.handlers` has the messages,
`hef_lsp.answering` the way of a completion. Event loop only; other threads reach it by `_soon`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp

from hef_lsp.acceptance import SURVIVAL_S, Acceptance
from hef_lsp.answering import Answering
from hef_lsp.client import Client
from hef_lsp.collector import settle
from hef_lsp.configuration import Configuration
from hef_lsp.context import fusing
from hef_lsp.documents import DocumentStore, TextChange
from hef_lsp.edits import Edits
from hef_lsp.file_events import place_of
from hef_lsp.lending import lend, lend_again, take_back
from hef_lsp.places import index_directory, user_folder
from hef_lsp.progress import Report, StatusTeller, report_of
from hef_lsp.reading_ahead import ReadingAhead
from hef_lsp.resting import Resting
from hef_lsp.scheduling import InferenceLane, LaneClosed, LanePriority
from hef_lsp.settings import Settings
from hef_lsp.statistics import add_counts
from hef_lsp.workspace import WorkspaceFolder
from model.errors import ModelError

if TYPE_CHECKING:
    from hef_lsp.engine import CompletionEngine
    from hef_lsp.request import CompletionRequest
    from indexer.index import IndexView
    from model.bundle import ModelBundle

log = logging.getLogger(__name__)

FetchProgress = Callable[[str, int, int], None]
LoadModels = Callable[[Settings, FetchProgress], "ModelBundle"]
Loaded = tuple["ModelBundle", "CompletionEngine"]

AWAY = "the model rests; the next request loads it"
BUSY_OF_ITS_OWN = "loading the models"


class Session:
    """Made before `initialize`; does nothing until `open`."""

    def __init__(self, client: Client, load_models: LoadModels, cache_dir: Path | None) -> None:
        self.client = client
        self.configuration = Configuration(client)
        self.documents = DocumentStore()
        self.edits = Edits()
        self.acceptance = Acceptance(self._text_of)
        self.lane = InferenceLane()
        self.reading = ReadingAhead(self.lane, lambda: self.engine)
        self.answering = Answering(
            self.lane, self._engine_in_use, lambda: self.settings, self.documents.get, self.reading.touched
        )
        self.folders: dict[Path, WorkspaceFolder] = {}
        self.roots: list[Path] = []
        self.engine: CompletionEngine | None = None
        self.models: ModelBundle | None = None
        self.client_watches = False
        self.paused = False
        self.is_open = False
        self.status = StatusTeller(client, self.report, self.spawn)
        self._cache_dir = cache_dir or index_directory()
        self._statistics_folder = cache_dir or user_folder()
        self._load_with = load_models
        self._models_report = Report("starting")
        self._n_loads = 0
        self._resting = Resting(lambda: self.settings.model.idle_minutes, self.put_models_away)
        self._are_away = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: dict[Path, asyncio.Future[None]] = {}
        self._stopped = False
        self._closed = False

    @property
    def settings(self) -> Settings:
        return self.configuration.settings

    # Lifetime.

    def open(self) -> None:
        """Opens the folders and begins to load the models; nothing after `stop_answering`."""
        if self._stopped:
            return
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        self._resting.start()
        for root in self.roots:
            self._open_folder(root)
        self._load_models()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside the messages; what it raises is logged."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def change_roots(self, added: Iterable[Path], removed: Iterable[Path]) -> None:
        for root in removed:
            if root in self.roots:
                self.roots.remove(root)
            self._close_folder(root)
        for root in added:
            if root not in self.roots:
                self.roots.append(root)
                self._open_folder(root)
        self.overlay_all()  # a document may lie in another folder now
        self.status.changed()

    def settings_changed(self, before: Settings) -> None:
        """Starts anew what was started with other settings; the rest asks for them each time."""
        now = self.settings
        if not self.is_open or now == before:
            return
        if now.index != before.index:
            for root in self.roots:
                self._close_folder(root)
                self._open_folder(root)
        elif self.models is not None and fusing(now.context, self.models) != fusing(
            before.context, self.models
        ):
            for folder in self.folders.values():
                self._attach(folder)
        if replace(now.model, idle_minutes=0) != replace(before.model, idle_minutes=0):
            self._load_models()
        self.status.changed()

    def pause(self, paused: bool) -> None:
        """Stops or resumes the work on all indexes."""
        self.paused = paused
        for folder in self.folders.values():
            folder.pause(paused)
        self.status.changed()

    def stop_answering(self) -> None:
        """Cancels what runs; nothing is loaded or answered from here on."""
        self._stopped = True
        self._n_loads += 1
        self.engine = None
        self.answering.cancel_all()
        self.reading.stop()

    def close(self) -> None:
        """Ends folders and lane, after the batch under way. Blocks; again is fine."""
        if self._closed:
            return
        self._closed = True
        self.stop_answering()
        for task in self._tasks:
            task.cancel()
        self.status.close()
        self._resting.close()
        add_counts(self._statistics_folder, self.acceptance.take())
        self.lane.close(timeout_s=1.0)  # first, so that no folder waits for its turn
        for folder in self.folders.values():
            folder.close()

    # Statistics.

    def offered(self, uri: str, texts: list[str]) -> None:
        if self.settings.completion.statistics:
            self.acceptance.offered(uri, texts)

    def accepted(self, uri: str, changes: list[TextChange]) -> None:
        """Notices an acceptance, and looks again when it is known whether it lasted."""
        if self.acceptance.changed(uri, changes):
            asyncio.get_running_loop().call_later(SURVIVAL_S + 0.1, self.acceptance.due)

    def _text_of(self, uri: str) -> str | None:
        document = self.documents.get(uri)
        return None if document is None else document.text

    # Folders.

    def place(self, uri: str) -> tuple[WorkspaceFolder, str] | None:
        """The folder of a document and its path there."""
        found = place_of(uri, self.folders)
        return (self.folders[found[0]], found[1]) if found else None

    def overlay(self, uri: str, text: str | None) -> None:
        """Tells the index the text of an open document, or that it was closed."""
        place = self.place(uri)
        if place is not None:
            place[0].overlay(place[1], text)

    def overlay_all(self) -> None:
        for document in self.documents.all():
            self.overlay(document.uri, document.text)

    def view_of(self, request: CompletionRequest) -> IndexView | None:
        """Any thread."""
        folder = self.folders.get(Path(request.root)) if request.root is not None else None
        return folder.view() if folder is not None else None

    def _open_folder(self, root: Path) -> None:
        """Once `open` was called; after the same folder's last closing, which still holds the index."""
        if self._stopped or not self.is_open or root in self._closing:
            return
        folder = WorkspaceFolder(
            root, self.settings, self._cache_dir, self.lane, lambda _: self._soon(self.status.changed)
        )
        self.folders[root] = folder
        folder.pause(self.paused)
        for document in self.documents.all():
            place = place_of(document.uri, self.folders)
            if place is not None and place[0] == root:
                folder.overlay(place[1], document.text)
        if not self.client_watches:
            folder.watch(True)
        self._attach(folder)

    def _attach(self, folder: WorkspaceFolder) -> None:
        if self.models is not None:
            lend(folder, self.models, self.settings.context)

    def _close_folder(self, root: Path) -> None:
        """In another thread, because it may wait for the batch under way."""
        folder = self.folders.pop(root, None)
        if folder is not None:
            loop = asyncio.get_running_loop()
            self._closing[root] = loop.run_in_executor(None, folder.close)
            self._closing[root].add_done_callback(lambda _: self._folder_closed(root))

    def _folder_closed(self, root: Path) -> None:
        del self._closing[root]
        if root in self.roots and root not in self.folders:
            self._open_folder(root)
        self.status.changed()

    # Models.

    def put_models_away(self) -> None:
        """Frees what the generator holds; the indexes go on with an embedder and a tokenizer."""
        if self.models is None or self.lane.keystroke_waiting():
            return
        take_back(self.folders.values(), self.models, self.settings.context)
        self.engine = self.models = None
        self._are_away = True
        self.answering.cancel_all()
        self.reading.stop()
        self._report_models(Report("ready", AWAY))
        with suppress(LaneClosed):
            self.lane.submit(LanePriority.INDEX, settle)  # modules hold each other

    def _engine_in_use(self) -> CompletionEngine | None:
        self._resting.used()
        if self._are_away:
            self._load_models()
        return self.engine

    def _load_models(self) -> None:
        were_away, self._are_away = self._are_away, False
        self._n_loads += 1
        number, settings = self._n_loads, self.settings
        self.engine = self.models = None
        self._report_models(Report(BUSY_OF_ITS_OWN))

        def progress(label: str, done: int, total: int) -> None:
            self._soon(self._fetching, number, Report(BUSY_OF_ITS_OWN, label, done, total))

        def load() -> Loaded:
            from hef_lsp.engine import CompletionEngine  # with the index's libraries, so not at the start

            bundle = self._load_with(settings, progress)
            settle()
            return bundle, CompletionEngine(bundle, self.view_of, lambda: self.settings)

        try:
            loading = self.lane.submit(LanePriority.KEYSTROKE, load)
        except LaneClosed:
            return
        loading.add_done_callback(lambda done: self._soon(self._loaded, number, done, were_away))

    def _fetching(self, number: int, report: Report) -> None:
        if number == self._n_loads:
            self._report_models(report)

    def _loaded(self, number: int, done: Future[Loaded], were_away: bool) -> None:
        if number != self._n_loads or done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._failed(error)
            return
        self.models, self.engine = done.result()
        for note in self.models.notes:
            log.warning("%s", note)
        self._report_models(Report("ready"))
        self.reading.go_on()
        for folder in self.folders.values():
            (lend_again if were_away else lend)(folder, self.models, self.settings.context)

    def _failed(self, error: BaseException) -> None:
        """A keystroke never fails for it: completions stay empty, and the user is told once."""
        if isinstance(error, ModelError):
            message = str(error)
        else:
            log.error("the models could not be loaded", exc_info=error)
            message = f"the models could not be loaded ({type(error).__name__}); see the server's log"
        self._report_models(Report("error", message))
        self.client.say_once(message, lsp.MessageType.Error)

    def _report_models(self, report: Report) -> None:
        self._models_report = report
        self.status.changed()

    # Status.

    def report(self) -> Report:
        """The models' state until they are ready, then that of the busiest folder."""
        if self._models_report.state != "ready":
            return self._models_report
        reports = [report_of(folder.status()) for folder in self.folders.values()]
        if any(root in self.roots for root in self._closing):
            return Report("opening")
        busy = next((report for report in reports if not report.settled), None)
        worst = next((report for report in reports if report.state == "error"), None)
        return busy or worst or (Report("paused") if self.paused else self._models_report)

    def _soon(self, call: Callable[..., None], *arguments: Any) -> None:
        """Calls from any thread into the loop; nothing once that is closed."""
        loop = self._loop
        if loop is None or self._closed:
            return
        try:
            loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            log.debug("a report came after the loop was closed")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)
