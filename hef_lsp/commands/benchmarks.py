"""What the commands that read benchmarks share: the names, and the rows with their unpacked sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hef_lsp.commands.console import fail
from hef_lsp.places import benchmark_directory

if TYPE_CHECKING:
    from model.evaluation.benchmarks import Benchmark, BenchmarkRow


def benchmark_of(name: str) -> Benchmark:
    """An unknown name ends the command and lists the known ones."""
    from model.evaluation.benchmarks import BENCHMARKS

    if name not in BENCHMARKS:
        raise fail(f"there is no benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def drawn_rows(name: str, data: Path, limit: int | None, seed: int) -> tuple[list[BenchmarkRow], Path]:
    """Rows and the folder of their sources, unpacked once; a benchmark that is not there ends the command."""
    from model.evaluation.benchmarks import NoBenchmark, load_rows, unpack_sources

    benchmark, folder = benchmark_of(name), benchmark_directory()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        sources = unpack_sources(data, benchmark, folder)
        return load_rows(data, benchmark, sources, limit, seed), sources
    except NoBenchmark as error:
        raise fail(str(error)) from error
