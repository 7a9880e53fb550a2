"""Identifiers fall into the words a person would look for."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.lexicon import KEYWORDS, identifier_terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("parse_http_request", ["parse_http_request", "parse", "http", "request"]),
        ("getUserName", ["getusername", "get", "user", "name"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("parseURL", ["parseurl", "parse", "url"]),
        ("MAX_RETRIES", ["max_retries", "max", "retries"]),
        ("__init__", ["init"]),
        ("_cache", ["cache"]),
        ("utf8Decode", ["utf8decode", "utf", "decode"]),
        ("vector2d", ["vector2d", "vector"]),
        ("x = i + y1", ["y1"]),
        ("def load(self): return None", ["load"]),
        ("for item in items: yield item", ["item", "items", "item"]),
        ("naïveÜber", ["naïveüber", "naïve", "über"]),
        ("größe", ["größe"]),
        ("名前_変数", ["名前_変数", "名前", "変数"]),
        ("3px 0xff 12", ["px", "xff"]),
        ("a" * 65, []),
        ("___", []),
        ("", []),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert identifier_terms(text) == terms


@given(st.text(max_size=200))
def test_terms_are_lower_case_words_and_no_keywords(text: str) -> None:
    for term in identifier_terms(text):
        assert term == term.lower()
        assert len(term) > 1
        assert term not in KEYWORDS
        assert not any(letter.isspace() for letter in term)


def test_a_chunk_takes_milliseconds_at_most() -> None:
    text = "value_of_things = computeAllThings(first_thing, secondThing)\n" * 20
    identifier_terms(text)
    start = time.process_time()
    for _ in range(100):
        identifier_terms(text)
    assert time.process_time() - start < 20
