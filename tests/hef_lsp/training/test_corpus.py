"""What may be trained on."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hef_lsp.training.corpus import Corpus, CorpusCounts, Exclusions, fingerprints_of, read_corpora

LONG = "".join(f"value_{i} = compute({i})\n" for i in range(40))
OTHER = "".join(f"other_{i} = render({i})\n" for i in range(40))


def wheel(folder: Path, name: str, files: dict[str, str], licence: str = "License-Expression: MIT") -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\n{licence}\n\nLong text: GPL\n")
    return path


def read(folder: Path, exclusions: Exclusions | None = None) -> tuple[list[Corpus], CorpusCounts]:
    counts = CorpusCounts()
    return list(read_corpora(folder.iterdir(), exclusions or Exclusions(), counts)), counts


def test_a_wheel_and_an_sdist_give_their_sources(tmp_path: Path) -> None:
    wheel(tmp_path, "first", {"first/a.py": LONG, "first/b.py": OTHER, "first/data.json": "{}"})
    with tarfile.open(tmp_path / "second-1.0.tar.gz", "w:gz") as sdist:
        for name, text in (
            ("PKG-INFO", "Name: second\nClassifier: License :: OSI Approved :: BSD License\n"),
            ("second/a.py", LONG + "x = 1\n"),
            ("second/b.py", OTHER + "x = 1\n"),
        ):
            info = tarfile.TarInfo(f"second-1.0/{name}")
            info.size = len(text)
            sdist.addfile(info, io.BytesIO(text.encode()))
    corpora, counts = read(tmp_path)
    assert [(c.name, sorted(c.files)) for c in corpora] == [
        ("first", ["first/a.py", "first/b.py"]),
        ("second", ["second/a.py", "second/b.py"]),
    ]
    assert corpora[1].licence == "License :: OSI Approved :: BSD License"
    assert (counts.packages, counts.files) == (2, 4)


@pytest.mark.parametrize(
    "licence",
    [
        "License-Expression: GPL-3.0-or-later",
        "License: MIT or LGPL",
        "Summary: none said",
        "License: MPL-2.0",
    ],
)
def test_only_permissive_licences_are_taken(tmp_path: Path, licence: str) -> None:
    wheel(tmp_path, "first", {"first/a.py": LONG, "first/b.py": OTHER}, licence)
    corpora, counts = read(tmp_path)
    assert corpora == []
    assert counts.left_out == {"licence not known to be permissive": 1}


def test_excluded_names_are_left_out_however_they_are_written(tmp_path: Path) -> None:
    names = tmp_path / "exclude.txt"
    names.write_text("# benchmarks\nsome-owner/First_Part\tfirst.part\n")
    folder = tmp_path / "archives"
    folder.mkdir()
    wheel(folder, "first_part", {"a.py": LONG, "b.py": OTHER})
    _, counts = read(folder, Exclusions.read(names, None))
    assert counts.left_out == {"package excluded by name": 1}


def test_a_file_that_stands_in_a_benchmark_is_left_out(tmp_path: Path) -> None:
    values = np.sort(fingerprints_of(LONG))
    assert len(values) > 0
    values.astype("<u8").tofile(tmp_path / "marks")
    folder = tmp_path / "archives"
    folder.mkdir()
    indented = "def f():\n" + "".join(f"    {line}\n" for line in LONG.splitlines())
    wheel(folder, "first", {"a.py": indented, "b.py": OTHER, "c.py": OTHER + "more = 1\n"})
    corpora, counts = read(folder, Exclusions.read(None, tmp_path / "marks"))
    assert sorted(corpora[0].files) == ["b.py", "c.py"]
    assert counts.left_out == {"stands in a benchmark": 1}


def test_copies_short_files_and_broken_archives_are_counted(tmp_path: Path) -> None:
    wheel(
        tmp_path,
        "first",
        {"a.py": LONG, "b.py": LONG.replace("\n", "\n\n"), "c.py": "x = 1\n", "d.py": OTHER},
    )
    (tmp_path / "broken-1.whl").write_bytes(b"PK no zip")
    corpora, counts = read(tmp_path)
    assert len(corpora[0].files) == 2  # one of the two copies
    assert counts.left_out == {"seen before": 1, "short": 1, "archive cannot be read": 1}


def test_a_folder_is_a_repository_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    (own / "pkg").mkdir(parents=True)
    (own / "pkg" / "a.py").write_text(LONG)
    (own / "b.py").write_text(OTHER)
    (own / "ignored.py").write_text(LONG.replace("value", "third"))
    (own / ".gitignore").write_text("ignored.py\n")
    (corpus,), counts = read(tmp_path)
    assert (corpus.name, corpus.licence) == ("mine", "a local folder")
    assert set(corpus.files) == {"pkg/a.py", "b.py"} and counts.packages == 1
