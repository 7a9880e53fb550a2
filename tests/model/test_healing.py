"""What is taken back of a prompt's end, and which tokens may spell it again."""

import pytest
from tiny_models import FIM_MARKS, tiny_backend

from model.healing import Healing, Vocabulary
from model.tokenization import HfTokenizer

TOKENIZER = HfTokenizer(tiny_backend(), {0, 1}, special_tokens=FIM_MARKS)
VOCABULARY = Vocabulary(TOKENIZER)
TEXTS = TOKENIZER.texts_of_ordinary_tokens()


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("def f():\n    ", "\n    "),
        ("    return first", " first"),
        ("x = ", " "),
        ("self.count", "count"),
        ("print(", "("),
        ("a\n", "\n"),
        ("", ""),
    ],
)
def test_the_last_word_blank_or_mark_is_taken_back(text: str, taken: str) -> None:
    ids = TOKENIZER.encode(text)
    n_taken, spelt = VOCABULARY.tail(ids)
    assert spelt == taken
    assert TOKENIZER.decode(ids[: len(ids) - n_taken]) + spelt == text


def test_of_a_long_word_only_its_end_is_taken_back() -> None:
    n_taken, spelt = VOCABULARY.tail(TOKENIZER.encode("qzqzqzqzqzqzqz"))
    assert n_taken == 4 and spelt == "qzqz"


@pytest.mark.parametrize("mark", ["<|endoftext|>", "<|fim_middle|>"])
def test_special_tokens_are_never_taken_back(mark: str) -> None:
    number = TOKENIZER.special_id(mark)
    assert number is not None
    assert VOCABULARY.tail([*TOKENIZER.encode("x"), number]) == (0, "")
    assert VOCABULARY.tail([number, *TOKENIZER.encode("ab")])[1] == "ab"


@pytest.mark.parametrize("text", ["x = '\u4e2d", "\U0001f389\u4e2d", "a\u4e2da\u4e2d"])
def test_characters_of_several_tokens_are_not_taken_back(text: str) -> None:
    """They could not be spelt again, for none of their tokens is a whole character."""
    ids = TOKENIZER.encode(text)
    assert VOCABULARY.tail(ids) == (0, "")


@pytest.mark.parametrize("text", ["r", "re", " ret", "\n    ", "(", "first"])
def test_tokens_that_continue_equal_a_search_through_all(text: str) -> None:
    expected = {i for i, t in TEXTS.items() if t and (t.startswith(text) or text.startswith(t))}
    assert set(VOCABULARY.continuing(text)) == expected
    assert len(VOCABULARY.continuing(text)) == len(expected)


def test_spelling_goes_on_token_by_token_and_then_allows_all() -> None:
    healing = Healing(VOCABULARY, "return")
    assert healing.take("re") == "" and healing.text == "turn"
    assert not healing.goes_beyond("turn") and healing.goes_beyond("turned")
    assert healing.take("turned") == "ed"
    assert healing.allowed is None
