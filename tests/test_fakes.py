"""The fakes satisfy the protocols and keep the promises that other tests build upon."""

from __future__ import annotations

import threading
import time

import numpy as np
from fakes import (
    FakeEmbedder,
    FakeFuser,
    FakeGenerator,
    FakeProjector,
    FakeTokenizer,
    ManualCancel,
    continuing,
    fake_bundle,
    inducing,
)
from hypothesis import given
from hypothesis import strategies as st

from model.protocols import (
    Embedder,
    Fork,
    Fuser,
    Generator,
    NeverCancelled,
    Projector,
    Prompt,
    StopMode,
    StopReason,
    StopRule,
    Tokenizer,
)


def _typed_as_protocols() -> tuple[Tokenizer, Generator, Embedder, Fuser, Projector]:
    """Never called: mypy checks here that each fake is what it stands for."""
    return FakeTokenizer(), FakeGenerator(), FakeEmbedder(), FakeFuser(), FakeProjector()


def _say(generator: FakeGenerator, text: str, rule: StopRule) -> str:
    prompt = Prompt(tuple(generator.tokenizer.encode(text)))
    return generator.generate(prompt, rule, NeverCancelled()).text


@given(st.text())
def test_the_tokenizer_gives_back_every_text(text: str) -> None:
    tokenizer = FakeTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.count([text]) == [len(tokenizer.encode(text))]


def test_special_tokens_are_reached_by_name_only() -> None:
    tokenizer = FakeTokenizer()
    assert tokenizer.special_id("<|endoftext|>") in tokenizer.eos_ids
    assert not set(tokenizer.encode("<|endoftext|>")) & tokenizer.eos_ids
    assert tokenizer.special_id("<nothing>") is None


def test_the_generator_stops_at_line_block_and_limit() -> None:
    generator = FakeGenerator(["a b\nc"])
    assert _say(generator, "x", StopRule(9)) == "a b"
    assert _say(generator, "x", StopRule(9, StopMode.BLOCK)) == "a b\nc"
    assert _say(generator, "x", StopRule(2, StopMode.BLOCK)) == "a "
    assert [call.generation.stop_reason for call in generator.calls] == [
        StopReason.LINE,
        StopReason.END_OF_TEXT,
        StopReason.LIMIT,
    ]


def test_branches_and_scripts() -> None:
    generator = FakeGenerator(["one", "two"])
    begins = (None, Fork((1,), 0.0), Fork((2,), 0.0))
    assert [_say(generator, "x", StopRule(9, begin=begin)) for begin in begins] == ["one", "two", "two"]
    assert _say(FakeGenerator(continuing("def f(x):\n    return x\n")), "def f(", StopRule(9)) == "x):"
    assert _say(FakeGenerator(inducing()), "load(path, strict)\nload(", StopRule(9)) == "path, strict)"


def test_the_generator_counts_what_it_reuses() -> None:
    generator = FakeGenerator(["z"])
    for text in ("a b c", "a b c d", "a x"):
        _say(generator, text, StopRule(1))
    assert [call.generation.n_reused for call in generator.calls] == [0, 5, 2]


def test_cancel_stops_the_slow_generator_within_a_token() -> None:
    generator = FakeGenerator(["w " * 500], delay_s=0.002)
    cancel = ManualCancel()
    prompt = Prompt(tuple(generator.tokenizer.encode("x")))
    thread = threading.Thread(target=lambda: generator.generate(prompt, StopRule(1000), cancel))
    thread.start()
    assert generator.first_token.wait(5)
    cancel.cancel()
    thread.join(5)
    assert not thread.is_alive()
    (call,) = generator.calls
    assert call.generation.stop_reason is StopReason.CANCELLED
    assert call.n_after_cancel <= 1
    assert generator.n_tokens < 1000


def test_a_past_deadline_says_nothing() -> None:
    generator = FakeGenerator(["abc"])
    assert _say(generator, "x", StopRule(9, deadline_s=time.monotonic() - 1)) == ""


def test_like_texts_lie_near() -> None:
    near, far, query = FakeEmbedder().embed(
        ["def load_config(path): ...", "class Widget: colour = 3", "cfg = load_config(path)"]
    )
    assert float(query @ near) > 0.5 > float(query @ far)
    assert float(np.linalg.norm(near)) == np.float32(1) or abs(float(np.linalg.norm(near)) - 1) < 1e-5
    assert not FakeEmbedder().embed(["+-"]).any()


def test_fusing_knows_order_and_ignores_what_is_masked() -> None:
    fuser = FakeFuser()
    children = fuser.encode(["a", "b", "c"])[None]
    mask = np.array([[True, True, False]])
    fused = fuser.fuse(children, mask)
    other = children.copy()
    other[0, 2] = np.nan
    assert np.array_equal(fused, fuser.fuse(other, mask))
    assert np.array_equal(fused, fuser.fuse(children[:, :2], mask[:, :2]))
    assert not np.array_equal(fused, fuser.fuse(children[:, [1, 0, 2]], mask))
    assert (fuser.n_encoded, fuser.n_fused) == (3, 4)


def test_the_projector_keeps_its_budget() -> None:
    bundle = fake_bundle()
    assert bundle.fuser is not None and bundle.projector is not None
    vectors = bundle.fuser.encode(["a", "b"])
    assert bundle.projector.project(vectors, [0, 2], 48).shape == (8, 8)
    assert bundle.projector.project(vectors, [0, 2], 5).shape == (5, 8)
    assert bundle.projector.project(vectors[:0], [], 48).shape == (0, 8)
