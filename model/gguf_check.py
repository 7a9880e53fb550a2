"""Whether a GGUF file is whole, read from its header alone, before any library trusts it.

Owns a bounds-checked reader of the format (versions 2 and 3,
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Reads no tensor data. The `gguf`
package's own reader believes the counts in the header and holds every array element as an
object, so a hostile or torn file makes it hang; only its table of type sizes is used here.
"""

from __future__ import annotations

import functools
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from model.errors import ModelCorrupt
from model.multiples import filled_up

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
# Limits far above any real model (vocabularies of some 300,000 entries, tensors by the thousand).
MOST_METADATA_ENTRIES = 100_000
MOST_TENSORS = 200_000
MOST_ARRAY_ELEMENTS = 4_000_000
MOST_STRING_BYTES = 16 * 2**20
MOST_NAME_BYTES = 2**16
MOST_HEADER_BYTES = 2**29
MOST_DIMENSIONS = 8
MOST_NESTED_ARRAYS = 4

KEPT_KEYS = ("general.", "split.")
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
_Scalar = int | float | bool | str | None


@dataclass(frozen=True)
class GgufInfo:
    """What a whole GGUF says of itself; `n_parameters` counts the elements of all tensors."""

    architecture: str
    name: str
    n_tensors: int
    n_parameters: int
    size_bytes: int


def check_gguf(path: Path) -> GgufInfo:
    """Reads the header of `path` and compares where the data should end with the file's size.

    Raises ModelCorrupt, with the expected and the actual size where the file is cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _Header(file, path, size).check()
    except OSError as error:
        raise ModelCorrupt(f"{path}: cannot be read ({error.strerror or error})") from error


@functools.cache
def _block_sizes() -> dict[int, tuple[int, int]]:
    """Elements and bytes of one block of each tensor type."""
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): (int(block), int(n_bytes)) for kind, (block, n_bytes) in GGML_QUANT_SIZES.items()}


class _Header:
    """Reads forward through a header; never past the file's end, never more than the limits."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file, self._path, self._size = file, path, size
        self._elements_left = MOST_ARRAY_ELEMENTS

    def check(self) -> GgufInfo:
        n_tensors, n_entries = self._counts()
        metadata = self._metadata(n_entries)
        ends = [self._tensor() for _ in range(n_tensors)]
        self._check_whole(metadata, max((end for end, _ in ends), default=0))
        if int(metadata.get("split.count") or 0) > 1:
            raise self._corrupt(
                "is one part of a split model; join the parts with `llama-gguf-split --merge`"
            )
        if not ends:
            raise self._corrupt("holds no tensors; fetch the file again")
        return GgufInfo(
            architecture=str(metadata.get("general.architecture") or ""),
            name=str(metadata.get("general.name") or ""),
            n_tensors=n_tensors,
            n_parameters=sum(elements for _, elements in ends),
            size_bytes=self._size,
        )

    def _corrupt(self, what: str) -> ModelCorrupt:
        return ModelCorrupt(f"{self._path}: {what}")

    def _read(self, n_bytes: int) -> bytes:
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            expected = self._file.tell() - len(data) + n_bytes
            raise self._corrupt(
                f"ends inside its header: at least {expected:,} bytes expected, {self._size:,} present; "
                "fetch the file again"
            )
        return data

    def _number(self, layout: str) -> int:
        return int(struct.unpack(layout, self._read(struct.calcsize(layout)))[0])

    def _count(self, most: int, what: str) -> int:
        count = self._number("<Q")
        if count > most:
            raise self._corrupt(
                f"the header claims {count:,} {what}, at most {most:,} are believed; fetch it again"
            )
        return count

    def _counts(self) -> tuple[int, int]:
        if self._file.read(4) != MAGIC:
            raise self._corrupt("is no GGUF file (its first bytes are not 'GGUF')")
        version = self._number("<I")
        if version & 0xFFFF == 0:
            raise self._corrupt("is a big-endian GGUF, which is not supported; fetch the little-endian one")
        if version not in (2, 3):
            raise self._corrupt(f"is GGUF version {version}; versions 2 and 3 are supported")
        return self._count(MOST_TENSORS, "tensors"), self._count(MOST_METADATA_ENTRIES, "metadata entries")

    def _metadata(self, n_entries: int) -> dict[str, _Scalar]:
        entries: dict[str, _Scalar] = {}
        for _ in range(n_entries):
            key = self._string(MOST_NAME_BYTES)
            value = self._value(self._number("<I"))
            if key.startswith(KEPT_KEYS):
                entries[key] = value
            if self._file.tell() > MOST_HEADER_BYTES:
                raise self._corrupt(f"has a header of over {MOST_HEADER_BYTES:,} bytes; fetch it again")
        return entries

    def _string(self, most_bytes: int) -> str:
        return self._read(self._count(most_bytes, "bytes in one string")).decode("utf-8", "replace")

    def _value(self, kind: int) -> _Scalar:
        """A scalar or string; an array is passed over and gives None."""
        if kind == _STRING:
            return self._string(MOST_STRING_BYTES)
        if kind == _ARRAY:
            self._skip_array(MOST_NESTED_ARRAYS)
            return None
        if kind not in _SCALARS:
            raise self._corrupt(f"holds metadata of unknown type {kind}; fetch it again")
        layout = _SCALARS[kind]
        value = struct.unpack(layout, self._read(struct.calcsize(layout)))[0]
        return value if isinstance(value, int | float) else None

    def _skip_array(self, depth: int) -> None:
        kind, count = self._number("<I"), self._count(self._elements_left, "array elements")
        self._elements_left -= count
        if kind in _SCALARS:
            self._skip(count * struct.calcsize(_SCALARS[kind]))
        elif kind == _STRING:
            for _ in range(count):
                self._skip(self._count(MOST_STRING_BYTES, "bytes in one string"))
        elif kind == _ARRAY and depth > 0:
            for _ in range(count):
                self._skip_array(depth - 1)
        else:
            raise self._corrupt(f"holds an array of unknown type {kind}; fetch it again")

    def _skip(self, n_bytes: int) -> None:
        if n_bytes <= 4096:  # strings of a vocabulary: a read from the buffer is cheaper than a seek
            self._read(n_bytes)
            return
        self._file.seek(n_bytes - 1, 1)
        self._read(1)

    def _tensor(self) -> tuple[int, int]:
        """Where a tensor's data end, from the start of the data, and its number of elements."""
        self._string(MOST_NAME_BYTES)
        n_dimensions = self._number("<I")
        if n_dimensions > MOST_DIMENSIONS:
            raise self._corrupt(f"the header claims a tensor of {n_dimensions} dimensions; fetch it again")
        n_elements = math.prod(self._number("<Q") for _ in range(n_dimensions))
        kind, offset = self._number("<I"), self._number("<Q")
        if kind not in _block_sizes():
            raise self._corrupt(f"holds tensors of type {kind}, which this version of hef-lsp does not know")
        block, block_bytes = _block_sizes()[kind]
        return offset + filled_up(n_elements, block) // block * block_bytes, n_elements

    def _check_whole(self, metadata: dict[str, _Scalar], data_bytes: int) -> None:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
            raise self._corrupt(f"claims an alignment of {alignment}; fetch it again")
        expected = filled_up(self._file.tell(), alignment) + data_bytes
        if self._size < expected:
            raise self._corrupt(
                f"is cut short: {expected:,} bytes expected, {self._size:,} present; fetch the file again"
            )
