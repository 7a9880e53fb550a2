"""Text to ids and back, exactly, over real tokenizers trained on the fly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import FIM_MARKS, tiny_backend
from tokenizers import Tokenizer, decoders, models, normalizers, trainers

from model.tokenization import HfTokenizer, TextStream

BYTE_LEVEL = HfTokenizer(tiny_backend(), {0, 1}, special_tokens=FIM_MARKS)


def sentencepiece_like() -> Tokenizer:
    """As in the Llama 2 family: a blank put before every text, and taken off every decoded one."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=list("▁abcdefghijklmnopqrstuvwxyz"),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["def add ( a , b ) :\n    return a + b x y z w"] * 3, trainer)
    return tokenizer


SENTENCEPIECE = HfTokenizer(sentencepiece_like(), ())


@given(st.text(max_size=80))
def test_text_survives_byte_level_ids(text: str) -> None:
    readable = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode(text)) == readable


@pytest.mark.parametrize("text", ["a .b , c ' d", "  x", "x  \n\n  y ", "don 't", "é🎉\u2028", "\r\n\t", ""])
@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, SENTENCEPIECE], ids=["byte-level", "sentencepiece"])
def test_blanks_are_not_cleaned_up(tokenizer: HfTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_piece_from_the_middle_keeps_its_first_blank() -> None:
    """A SentencePiece decoder strips the first blank of whatever it is given: suggestions lost it."""
    raw = sentencepiece_like()
    piece = [raw.token_to_id("▁"), raw.token_to_id("y")]
    assert raw.decode(piece) == "y"
    assert SENTENCEPIECE.decode(piece) == " y"


def test_half_a_surrogate_pair_is_read_as_a_replacement() -> None:
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode("a\ud83cb")) == "a\ufffdb"


def test_special_tokens_in_source_text_stay_text() -> None:
    """Both those listed as special and those that Qwen lists as ordinary added tokens."""
    for mark in ("<|endoftext|>", "<|im_end|>", *FIM_MARKS):
        number = BYTE_LEVEL.special_id(mark)
        assert number is not None
        ids = BYTE_LEVEL.encode(f"x = '{mark}'")
        assert number not in ids
        assert BYTE_LEVEL.decode(ids) == f"x = '{mark}'"
        assert BYTE_LEVEL.decode([number]) == mark


def test_unknown_special_tokens_are_none() -> None:
    assert BYTE_LEVEL.special_id("<|nobody|>") is None
    assert BYTE_LEVEL.special_id("") is None


def test_batches_equal_single_texts() -> None:
    texts = ["def f():", "", "é🎉", "x\ud83c", "<|im_end|>"]
    assert BYTE_LEVEL.encode_batch(texts) == [BYTE_LEVEL.encode(text) for text in texts]
    assert BYTE_LEVEL.count(texts) == [len(BYTE_LEVEL.encode(text)) for text in texts]
    assert BYTE_LEVEL.encode_batch([]) == [] and BYTE_LEVEL.count([]) == []


@given(st.text(alphabet="aé🎉\u4e2d \n", max_size=20))
def test_a_stream_hands_out_whole_characters_only(text: str) -> None:
    stream = TextStream(BYTE_LEVEL)
    pieces = [stream.push(number) for number in BYTE_LEVEL.encode(text)]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_of_several_tokens_comes_with_its_last() -> None:
    ids = BYTE_LEVEL.encode("\u4e2d")
    assert len(ids) == 3
    stream = TextStream(BYTE_LEVEL)
    assert [stream.push(number) for number in ids] == ["", "", "\u4e2d"]


def test_bytes_that_never_make_a_character_do_not_hold_the_text_for_ever() -> None:
    first_byte = BYTE_LEVEL.encode("\u4e2d")[0]
    stream = TextStream(BYTE_LEVEL)
    assert any(stream.push(first_byte) for _ in range(20))
