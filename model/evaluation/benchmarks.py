"""Benchmark rows as one shape, from folders laid out as RepoEval, CrossCodeEval and RepoBench copies are.

Owns reading, unpacking and the cut at the cursor: a row's `prefix` is all that may be known of its file
(and `suffix`, where asked for). Scoring is `model.evaluation.metrics`.
"""

from __future__ import annotations

import gzip
import json
import random
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.evaluation.metrics import Scorer, crosscodeeval, repobench, repocoder

HALVES = ("dev", "heldout")
MOST_SOURCE_BYTES = 1 << 30


class NoBenchmark(Exception):
    """A benchmark's files are missing or damaged; the message says which."""


@dataclass(frozen=True)
class BenchmarkRow:
    """One completion. `repository` is a folder below the unpacked sources, `path` the file in it.

    `prefix` is the file up to the cursor, `suffix` what followed the target: it
    begins with the end of the target's line, as in an editor where that line is being written.
    """

    task_id: str
    repository: str
    path: str
    prefix: str
    suffix: str
    target: str

    @property
    def is_multiline(self) -> bool:
        return "\n" in self.target.strip()


@dataclass(frozen=True)
class Benchmark:
    """Where a benchmark lies: `folder` below the data, `rows` and the folder of `sources` in its half."""

    folder: str
    rows: str
    sources: str
    scorer: Scorer
    read: Callable[[Mapping[str, Any], Path], BenchmarkRow]


def _lines(root: Path, path: str) -> list[str]:
    text = (root / path).read_bytes().decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _repoeval(row: Mapping[str, Any], sources: Path) -> BenchmarkRow:
    meta = row["metadata"]
    repository, *parts = meta["fpath_tuple"]
    first = int(meta.get("line_no", meta.get("lineno")))
    root = _repository(sources, repository)
    lines = _lines(root, "/".join(parts))
    target = str(meta["ground_truth"])
    n_target = len([line for line in target.splitlines() if line.strip()])
    after = int(meta.get("end_line_no", first + max(1, n_target) - 1)) + 1
    return BenchmarkRow(
        f"{meta['task_id']}@{first}",
        root.relative_to(sources).as_posix(),
        "/".join(parts),
        "".join(f"{line}\n" for line in lines[:first]),
        "".join(f"\n{line}" for line in lines[after:]),
        target,
    )


def _crosscodeeval(row: Mapping[str, Any], sources: Path) -> BenchmarkRow:
    root = _repository(sources, row["repository"])
    prefix, suffix = (str(row[key]).replace("\r\n", "\n") for key in ("prompt", "right_context"))
    return BenchmarkRow(
        str(row["task_id"]),
        root.relative_to(sources).as_posix(),
        row["file"],
        prefix,
        suffix,
        str(row["groundtruth"]),
    )


def _repobench(row: Mapping[str, Any], sources: Path) -> BenchmarkRow:
    root = _repository(sources, row["repository"])
    lines, first = _lines(root, row["file_path"]), int(row["line_no"])
    return BenchmarkRow(
        str(row["task_id"]),
        root.relative_to(sources).as_posix(),
        row["file_path"],
        "".join(f"{line}\n" for line in lines[:first]),
        "".join(f"\n{line}" for line in lines[first + 1 :]),
        str(row["next_line"]),
    )


def _repository(sources: Path, name: str) -> Path:
    """The folder of a repository, at the top or one folder down."""
    direct = sources / name
    if direct.is_dir():
        return direct
    found = sorted(path for path in sources.glob(f"*/{name}") if path.is_dir())
    if not found:
        raise NoBenchmark(f"{sources} holds no repository {name}; unpack the benchmark's sources again")
    return found[0]


_CROSS = "crosscodeeval_py"
BENCHMARKS: Mapping[str, Benchmark] = {
    "repoeval-line": Benchmark("repoeval", "line_level.jsonl.gz", "repoeval", repocoder, _repoeval),
    "repoeval-api": Benchmark("repoeval", "api_level.jsonl.gz", "repoeval", repocoder, _repoeval),
    "repoeval-function": Benchmark("repoeval", "function_level.jsonl.gz", "repoeval", repocoder, _repoeval),
    "crosscodeeval": Benchmark(_CROSS, "line_completion.jsonl.gz", _CROSS, crosscodeeval, _crosscodeeval),
    "repobench-first": Benchmark(
        "repobench_style_py", "cross_file_first.jsonl.gz", _CROSS, repobench, _repobench
    ),
    "repobench-random": Benchmark(
        "repobench_style_py", "cross_file_random.jsonl.gz", _CROSS, repobench, _repobench
    ),
    "repobench-infile": Benchmark("repobench_style_py", "in_file.jsonl.gz", _CROSS, repobench, _repobench),
}


def half_of(data: Path, folder: str) -> Path:
    """The `dev` or `heldout` folder of a benchmark; raises NoBenchmark if there is none."""
    for half in HALVES:
        if (data / folder / half).is_dir():
            return data / folder / half
    raise NoBenchmark(f"{data / folder} has neither {' nor '.join(HALVES)}; give --data the folder above it")


def unpack_sources(data: Path, benchmark: Benchmark, into: Path) -> Path:
    """The folder of the benchmark's repositories, unpacked once below `into`. Raises NoBenchmark.

    Several processes may ask at once: each unpacks into a folder of its own, and the first that ends counts.
    """
    archive = half_of(data, benchmark.sources) / "sources.tar.xz"
    folder = into / f"{benchmark.sources}-{archive.parent.name}"
    if folder.is_dir():
        return folder
    if not archive.is_file():
        raise NoBenchmark(f"{archive} is missing; fetch the benchmark again")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=into) as unfinished:
        try:
            with tarfile.open(archive) as tar:
                if sum(member.size for member in tar) > MOST_SOURCE_BYTES:
                    raise NoBenchmark(f"{archive} holds over {MOST_SOURCE_BYTES >> 20} MiB; not trusted")
                tar.extractall(Path(unfinished, folder.name), filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise NoBenchmark(f"{archive} cannot be unpacked ({error}); fetch the benchmark again") from error
        with suppress(OSError):  # another process was sooner
            Path(unfinished, folder.name).rename(folder)
    if not folder.is_dir():
        raise NoBenchmark(f"{folder} cannot be made; see that its folder can be written")
    return folder


def load_rows(
    data: Path, benchmark: Benchmark, sources: Path, limit: int | None, seed: int
) -> list[BenchmarkRow]:
    """At most `limit` rows in an order drawn by `seed`: a smaller limit gives the first of them.

    Raises NoBenchmark for files that are missing or damaged.
    """
    path = half_of(data, benchmark.folder) / benchmark.rows
    try:
        rows = list(_json_lines(path))
        random.Random(seed).shuffle(rows)
        return [benchmark.read(row, sources) for row in rows[:limit]]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise NoBenchmark(f"{path} cannot be read ({error!r}); fetch the benchmark again") from error


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
