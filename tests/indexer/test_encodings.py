"""Every encoding a source file is likely to be in is read; bytes that are no text are not."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.encodings import decode


@pytest.mark.parametrize(
    ("data", "language", "text"),
    [
        (b"", None, ""),
        ("naïve ∀".encode(), None, "naïve ∀"),
        (codecs.BOM_UTF8 + "é".encode(), None, "é"),
        ("é = 1\n".encode("utf-16"), None, "é = 1\n"),
        (codecs.BOM_UTF16_BE + "é = 1".encode("utf-16-be"), None, "é = 1"),
        ("é".encode("utf-32"), None, "é"),
        ("# -*- coding: koi8-r -*-\ns = 'привет'\n".encode("koi8-r"), "python",
         "# -*- coding: koi8-r -*-\ns = 'привет'\n"),
        ("#!/usr/bin/python\n# vim: set fileencoding=shift_jis :\n# 日本\n".encode("shift_jis"), "python",
         "#!/usr/bin/python\n# vim: set fileencoding=shift_jis :\n# 日本\n"),
        (b"# coding: no-such-codec\n# caf\xe9\n", "python", "# coding: no-such-codec\n# café\n"),
        (b"# coding: rot13\n# caf\xe9\n", "python", "# coding: rot13\n# café\n"),
        ("# coding: koi8-r\n# привет\n".encode("koi8-r"), "ruby",
         "# coding: koi8-r\n# привет\n".encode("koi8-r").decode("cp1252")),
        (b"// caf\xe9 \x80 \x93quoted\x94 \x81\n", "c", "// café € “quoted” \x81\n"),
        ("déjà vu, déjà lu é è ".encode() + b"\xe9\n", "c", "déjà vu, déjà lu é è \ufffd\n"),
        (b"page\x0cbreak \x1b[1m\n", None, "page\x0cbreak \x1b[1m\n"),
    ],
)  # fmt: skip
def test_text(data: bytes, language: str | None, text: str) -> None:
    assert decode(data, language) == text


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x01\0\0",
        b"a" * 8000 + b"\0",
        bytes(range(1, 32)) * 10,
        b"\xff\xfe\0\0\x01\0",
        b"\xff\xfea\0\0\0",
    ],
)
def test_binary(data: bytes) -> None:
    assert decode(data, "python") is None


def test_a_nul_past_the_first_block_is_still_text() -> None:
    assert decode(b"a" * 9000 + b"\0", None) is not None


@given(st.binary(max_size=300), st.sampled_from([None, "python", "c"]))
def test_any_bytes_give_storable_text_or_nothing(data: bytes, language: str | None) -> None:
    text = decode(data, language)
    assert text is None or text.encode("utf-8").decode("utf-8") == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=200))
def test_utf8_round_trips(text: str) -> None:
    assert decode(text.encode(), None) == text.removeprefix("\ufeff")
