"""Where files live on the user's machine. Owns paths only; creates nothing."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path, user_data_path

APPLICATION = "hef-lsp"


def index_directory() -> Path:
    """The folder that holds one sub-folder of indexes a workspace."""
    return user_cache_path(APPLICATION, appauthor=False) / "index"


def user_folder() -> Path:
    """The folder of what is the user's own: statistics, the token of a port."""
    return user_data_path(APPLICATION, appauthor=False)


def benchmark_directory() -> Path:
    """The folder into which benchmarks' sources are unpacked."""
    return user_cache_path(APPLICATION, appauthor=False) / "benchmarks"
