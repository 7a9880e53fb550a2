"""Text to token ids and back, exactly, over a fast tokenizer of the `tokenizers` library.

Owns exactness: special tokens that stand in source text stay ordinary text, pieces decode to
what they stand for wherever they are in a text, and text arrives only in whole characters.
Loading tokenizers from disk is `model.loading`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

log = logging.getLogger(__name__)

REPLACEMENT = "\ufffd"
LONGEST_CHARACTER_TOKENS = 8
"""A character is at most 4 bytes; what still decodes to U+FFFD after so many tokens is one."""

SHORT_CHARS, SHORT_TEXTS = 1024, 512
"""Texts so short are kept with their ids, so many of them: parts of a prompt that stay from key to key."""

_PROBE = "x y  z\n w"
_MARKS_OF_MODELS = re.compile(r"<[|｜][^<>\s]+[|｜]>")


class HfTokenizer:
    """A `model.protocols.Tokenizer`. Safe from several threads: nothing changes after the start
    but which short texts are kept.

    `prefix_ids` are the tokens that the family puts before every text (`<s>`); `encode` leaves
    them out, and the generator puts them in front of everything else.
    """

    def __init__(
        self,
        backend: Backend,
        eos_ids: Iterable[int],
        prefix_ids: Sequence[int] = (),
        special_tokens: Iterable[str] = (),
    ) -> None:
        self._backend = _exact(backend)
        self._short = lru_cache(maxsize=SHORT_TEXTS)(self._ids_of)
        self._eos_ids = frozenset(eos_ids)
        self.prefix_ids = tuple(prefix_ids)
        self._keep_special_tokens_apart(special_tokens)
        added = self._backend.get_added_tokens_decoder()
        special = {number for number, token in added.items() if token.special}
        self._special_ids = special | self._eos_ids | set(self.prefix_ids)

    @property
    def eos_ids(self) -> frozenset[int]:
        return self._eos_ids

    @property
    def n_ids(self) -> int:
        """The vocabulary's size, added tokens included."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def is_ordinary(self, token_id: int) -> bool:
        """Whether the id stands for text, and is no mark of the model's."""
        return token_id not in self._special_ids

    def texts_of_ordinary_tokens(self) -> dict[int, str]:
        """Every ordinary id's text; U+FFFD where it is no whole character."""
        ids = [number for number in self._backend.get_vocab().values() if self.is_ordinary(number)]
        texts = self._backend.decode_batch([[number] for number in ids], skip_special_tokens=False)
        return dict(zip(ids, texts, strict=True))

    def encode(self, text: str) -> list[int]:
        """Ids without special tokens; a lone surrogate is read as U+FFFD."""
        return list(self._short(text) if len(text) <= SHORT_CHARS else self._ids_of(text))

    def _ids_of(self, text: str) -> Sequence[int]:
        return tuple(self._backend.encode(_encodable(text), add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._backend.encode_batch_fast([_encodable(t) for t in texts], add_special_tokens=False)
        return [list(one.ids) for one in encoded]

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""
        encoded = self._backend.encode_batch_fast([_encodable(t) for t in texts], add_special_tokens=False)
        return [len(one) for one in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, blanks as they are; bytes that make no character give U+FFFD."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def to_json(self) -> str:
        """The whole tokenizer, as the file ``tokenizer.json`` holds it."""
        return str(self._backend.to_str())

    def special_id(self, token: str) -> int | None:
        found = self._backend.token_to_id(token) if token else None
        return None if found is None else int(found)

    def _keep_special_tokens_apart(self, named: Iterable[str]) -> None:
        # Some families (Qwen) list their own marks as ordinary added tokens, which a tokenizer
        # finds in any text: a source file that quotes one would end the prompt there.
        added = (token.content for token in self._backend.get_added_tokens_decoder().values())
        marks = [text for text in added if _MARKS_OF_MODELS.fullmatch(text)]
        known = [text for text in named if self.special_id(text) is not None]
        self._backend.add_special_tokens(
            [AddedToken(text, special=True, normalized=False) for text in {*marks, *known}]
        )
        self._backend.encode_special_tokens = True


class TextStream:
    """Turns ids into text as they come, handing out whole characters only."""

    def __init__(self, tokenizer: HfTokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []

    def push(self, token_id: int) -> str:
        """The text that `token_id` completes; empty while a character is incomplete."""
        self._pending.append(token_id)
        text = self._tokenizer.decode(self._pending)
        if text.endswith(REPLACEMENT) and len(self._pending) < LONGEST_CHARACTER_TOKENS:
            return ""
        self._pending.clear()
        return text


def _encodable(text: str) -> str:
    """`text` itself, or with U+FFFD for what no UTF-8 can hold (editors may send half a pair)."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _decodes_piecewise(backend: Backend) -> bool:
    ids = backend.encode(_PROBE, add_special_tokens=False).ids
    return "".join(backend.decode([i], skip_special_tokens=False) for i in ids) == _PROBE


def _exact(backend: Backend) -> Backend:
    """`backend` without the blank that SentencePiece families put before every text and take off again.

    That blank belongs to whole documents. Ours are pieces of one, joined by their ids, and a
    decoder that strips it eats the first blank of a suggestion.
    """
    backend.no_truncation()
    backend.no_padding()
    if _decodes_piecewise(backend):
        return backend
    state = json.loads(backend.to_str())
    state["normalizer"] = _without(state["normalizer"], "normalizers", "Prepend")
    state["decoder"] = _without(state["decoder"], "decoders", "Strip")
    for part in ("pre_tokenizer", "decoder"):
        _never_prepend(state[part])
    exact = Backend.from_str(json.dumps(state))
    if not _decodes_piecewise(exact):
        log.warning("this tokenizer changes blanks between encoding and decoding; suggestions may show it")
    return exact


def _without(component: dict[str, Any] | None, parts: str, kind: str) -> dict[str, Any] | None:
    """A tokenizer's component (its JSON) without its parts of `kind`."""
    if component is None or component["type"] == kind:
        return None
    if component["type"] == "Sequence":
        kept = [part for part in component[parts] if part["type"] != kind]
        return {**component, parts: kept} if kept else None
    return component


def _never_prepend(component: dict[str, Any] | None) -> None:
    if component is None:
        return
    for part in component.get("pretokenizers") or component.get("decoders") or [component]:
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "never"
        if part["type"] == "ByteLevel":
            part["add_prefix_space"] = False
