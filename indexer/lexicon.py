"""The words of code that are worth looking up: identifiers and the parts they are made of.

Owns what counts as a word, for both sides of the lexical search: chunks when they are
stored and queries when they are asked. Ranking is the store's.
"""

from __future__ import annotations

import re
from functools import lru_cache

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
# camelCase, HTTPServer, utf8Decode, SNAKE_CASE: capitals before a capitalised word, a word, capitals, digits.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Longer ones are hashes and encoded data.
_LONGEST = 64

_KEYWORD_LIST = """
    abstract and any as assert async await base begin bool boolean break byte case catch char chan class
    const constexpr continue crate def default defer del delete do done double dyn elif else elsif end
    endif ensure enum except export extends extern false final finally float fn for foreach from func
    function global go goto guard if ifdef ifndef impl implements import in include inline instanceof int
    interface internal is lambda let long loop match mod module move mut namespace native new next nil none
    nonlocal not null nullptr object of operator or out override package pass private protected pub public
    raise range readonly redo ref register require rescue ret retry return sealed self short signed sizeof
    static std str string struct super switch template then this throw throws trait true try type typedef
    typename typeof undef uint undefined union unless unsafe unsigned until use using var virtual void
    volatile when where while with yield
"""
KEYWORDS = frozenset(_KEYWORD_LIST.split())


def identifier_terms(text: str) -> list[str]:
    """Identifiers of `text` and their parts, lower-case, in order, each as often as it occurs.

    ``parseHttpURL`` gives ``parsehttpurl, parse, http, url``. Keywords of the languages
    we know, single letters and digits alone are dropped.
    """
    return [term for identifier in _IDENTIFIER.findall(text) for term in _terms_of(identifier)]


@lru_cache(maxsize=65_536)
def _terms_of(identifier: str) -> tuple[str, ...]:
    if len(identifier) > _LONGEST:
        return ()
    parts = [part.lower() for part in _parts(identifier)]
    whole = identifier.strip("_").lower()
    terms = [whole, *parts] if len(parts) > 1 else [whole]
    return tuple(term for term in terms if len(term) > 1 and not term.isdigit() and term not in KEYWORDS)


def _parts(identifier: str) -> list[str]:
    if identifier.isascii():
        return _PART.findall(identifier)
    # Regular expressions know no capitals beyond ASCII.
    spaced = "".join(
        f" {letter}" if letter.isupper() and before.islower() else letter
        for before, letter in zip(" " + identifier, identifier, strict=False)
    )
    return re.findall(r"[^\W\d_]+|\d+", spaced)
