"""A GGUF that is cut short, lies or is something else never reaches a library."""

import struct
import time
import tracemalloc
from pathlib import Path

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import gguf_header, write_gguf

from model.errors import ModelCorrupt
from model.gguf_check import check_gguf

HUGE = 2**62


def test_a_whole_file_is_described_as_the_package_reads_it(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", name="Tiny Model")
    info, reference = check_gguf(path), gguf.GGUFReader(path)
    assert (info.architecture, info.name) == ("llama", "Tiny Model")
    assert info.n_tensors == len(reference.tensors) == 3
    assert info.n_parameters == sum(int(tensor.n_elements) for tensor in reference.tensors) == 768
    assert info.size_bytes == path.stat().st_size


def test_a_truncated_file_is_told_with_both_sizes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(
        ModelCorrupt, match=rf"cut short: {len(whole):,} bytes expected, {len(whole) - 100:,} present"
    ):
        check_gguf(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    for length in [*range(400), *range(400, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelCorrupt):
            check_gguf(path)


def test_trailing_bytes_are_no_fault(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes() + bytes(50))
    assert check_gguf(path).n_tensors == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no GGUF file"),
        (b"PK\x03\x04 a zip", "no GGUF file"),
        (b"GGUF\x03", "ends inside its header"),
        (b"GGUF" + struct.pack("<I", 1), "GGUF version 1"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian"),
        (gguf_header(HUGE, 0), f"claims {HUGE:,} tensors"),
        (gguf_header(0, HUGE), f"claims {HUGE:,} metadata entries"),
        (gguf_header(100_000, 100_000), "ends inside its header"),
        (gguf_header(0, 1, struct.pack("<Q", HUGE)), "bytes in one string"),
        (gguf_header(0, 1, struct.pack("<Q1sIIQ", 1, b"k", 9, 8, HUGE)), "array elements"),
        (gguf_header(0, 1, struct.pack("<Q1sIIQ", 1, b"k", 9, 0, 4_000_000)), "ends inside its header"),
        (gguf_header(0, 1, struct.pack("<Q1sI", 1, b"k", 77)), "unknown type 77"),
        (
            gguf_header(0, 1, struct.pack("<Q1sI", 1, b"k", 9) + struct.pack("<IQ", 9, 1) * 9),
            "unknown type 9",
        ),
        (gguf_header(1, 0, struct.pack("<Q1sI", 1, b"t", 2**31)), "dimensions"),
        (gguf_header(1, 0, struct.pack("<Q1sIQIQ", 1, b"t", 1, 32, 999, 0)), "tensors of type 999"),
        (gguf_header(1, 0, struct.pack("<Q1sIQIQ", 1, b"t", 1, HUGE, 0, HUGE)), "cut short"),
    ],
)
def test_lying_headers_neither_hang_nor_eat_memory(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(ModelCorrupt, match=message) as raised:
            check_gguf(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(path) in str(raised.value)
    assert peak < 20 * 2**20
    assert time.monotonic() - started < 60


def test_a_large_hole_behind_a_lying_array_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    path.write_bytes(gguf_header(0, 50_000, struct.pack("<Q1sIIQ", 1, b"k", 9, 8, 3_900_000)))
    with path.open("r+b") as file:
        file.truncate(8 * 2**30)  # a sparse file: zeros to read for as long as one believes the count
    started = time.monotonic()
    with pytest.raises(ModelCorrupt, match="holds no tensors"):
        check_gguf(path)
    assert time.monotonic() - started < 60


def test_one_part_of_a_split_model_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "part.gguf", "llama")
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelCorrupt, match="one part of a split model"):
        check_gguf(tmp_path / "part.gguf")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.gguf", tmp_path):
        with pytest.raises(ModelCorrupt, match="cannot be read"):
            check_gguf(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 700), junk=st.binary(min_size=1, max_size=16))
def test_any_damage_gives_an_answer_or_model_corrupt(tmp_path: Path, at: int, junk: bytes) -> None:
    path = tmp_path / "tiny.gguf"
    if not path.exists():
        write_gguf(path)
    whole = path.read_bytes()
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(whole[:at] + junk + whole[at + len(junk) :])
    try:
        check_gguf(damaged)
    except ModelCorrupt as error:
        assert "damaged.gguf" in str(error)
