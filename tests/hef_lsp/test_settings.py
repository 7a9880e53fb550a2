"""Settings: every entry is converted, checked and named when it is bad; nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hef_lsp.settings import ContextMode, Settings, settings_from_options
from hef_lsp.settings_reference import settings_reference
from hef_lsp.settings_schema import settings_sections, with_settings

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_given_is_the_default() -> None:
    assert settings_from_options(None) == (Settings(), [])
    assert settings_from_options({}) == (Settings(), [])


def test_an_empty_lua_table_is_nothing_and_no_complaint() -> None:
    for options in ([], {"hef": []}, {"completion": []}):
        assert settings_from_options(options) == (Settings(), [])


def test_names_in_both_cases_and_with_or_without_the_section() -> None:
    inner = {"completion": {"debounceMs": 10, "max_tokens": 5}, "context": {"mode": "dense"}}
    for options in (inner, {"hef": inner}):
        settings, problems = settings_from_options(options)
        assert problems == []
        assert (settings.completion.debounce_ms, settings.completion.max_tokens) == (10, 5)
        assert settings.context.mode is ContextMode.DENSE


def test_later_options_keep_what_they_do_not_name() -> None:
    first, _ = settings_from_options({"completion": {"maxTokens": 7}})
    second, _ = settings_from_options({"completion": {"debounceMs": 0}}, first)
    assert (second.completion.max_tokens, second.completion.debounce_ms) == (7, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"completion": {"debounce": 1}}, ["hef.completion.debounce", "no such setting", "debounce_ms"]),
        ({"completion": {"maxTokens": "many"}}, ["hef.completion.maxTokens", "expected int", "64 is kept"]),
        ({"completion": {"maxTokens": True}}, ["expected int"]),
        ({"completion": {"maxTokens": 0}}, ["0 is outside 1 to 1024"]),
        ({"context": {"mode": "magic"}}, ["'magic' is not one of auto, dense, text, none"]),
        ({"context": {"mode": ["dense"]}}, ["is not one of"]),
        ({"index": {"exclude": "*.py"}}, ["expected a list of strings"]),
        ({"index": 3}, ["hef.index: expected an object"]),
        ([1, 2], ["hef: expected an object, got list"]),
    ],
)
def test_a_bad_entry_is_named_and_keeps_its_value(options: object, words: list[str]) -> None:
    settings, problems = settings_from_options(options)
    assert settings == Settings()
    assert len(problems) == 1
    for word in words:
        assert word in problems[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["model", "context", "completion", "index", "hef", "x"]), json_values))
def test_any_json_is_survived(options: dict[str, object]) -> None:
    settings, problems = settings_from_options(options)
    assert isinstance(settings, Settings)
    assert all(isinstance(problem, str) for problem in problems)


def test_the_settings_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_reference()


def test_the_vscode_manifest_is_up_to_date() -> None:
    manifest = (ROOT / "editors" / "vscode" / "package.json").read_text(encoding="utf-8")
    assert manifest == with_settings(manifest), "run `make docs`"


def test_what_the_vscode_manifest_declares_is_what_the_server_knows() -> None:
    options: dict[str, dict[str, object]] = {}
    for section in settings_sections():
        for name, schema in section["properties"].items():
            _, group, key = name.split(".")
            options.setdefault(group, {})[key] = schema["default"]
    assert settings_from_options(options) == (Settings(), [])
