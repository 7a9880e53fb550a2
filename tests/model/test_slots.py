"""Slots against transformers' own passes over the same text, on tiny random models."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.decoding import Inputs
from model.generator import HfGenerator
from model.loading import LoadedModel
from model.protocols import NeverCancelled, Prompt, StopReason, StopRule
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.slots.fuser import MAX_CHILDREN, SlotFuser
from model.slots.projector import FEWEST, SlotProjector
from model.slots.reader import AGAIN, INTRODUCTION, SlotReader
from tests.tiny_models import load_tiny_model

TEXT = "class Counter:\n    def step(self):\n        self.count += 1\n"
OTHER = "def add(first, second):\n    return first + second\n"
TAIL = "for name in names:\n    print(name"
EXACT = 1e-4


class Parts:
    """A tiny model, its runtime, and what makes slots of it."""

    def __init__(self, folder: Path, family: str = "llama", n_slots: int = 16) -> None:
        self.loaded: LoadedModel = load_tiny_model(folder, family)
        if family == "qwen2":
            for layer in self.loaded.model.model.layers:
                for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                    linear.bias.data.normal_(generator=torch.Generator().manual_seed(1))
        self.runtime = FastRuntime(self.loaded.model, Weights.PLAIN)
        encode = self.loaded.tokenizer.encode
        self.introduction, self.again = tuple(encode(INTRODUCTION)), tuple(encode(AGAIN))
        self.reader = SlotReader(self.runtime.stack, self.introduction, self.again)
        self.fuser = SlotFuser(self.reader, self.loaded.tokenizer.encode_batch, "tiny", n_slots)
        self.projector = SlotProjector(self.runtime.layout)

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.loaded.tokenizer.encode(text))

    def read(self, inputs: Inputs) -> torch.Tensor:
        self.runtime.rewind(inputs.keys)
        logits = self.runtime.prefill(inputs, lambda: None)
        assert isinstance(logits, torch.Tensor)
        return logits.float()

    def with_slots(self, *texts: str, tail: str = TAIL, budget: int = 1000) -> Inputs:
        vectors = self.fuser.encode(texts)
        rows = self.projector.project(vectors, [0] * len(texts), budget)
        return Inputs(self.introduction, rows, self.ids(tail), are_slots=True)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_all_slots_of_a_text_say_what_reading_it_says(tmp_path: Path, family: str) -> None:
    parts = Parts(tmp_path, family, n_slots=160)
    whole = Inputs((), None, (*parts.introduction, *parts.ids(TEXT), *parts.ids(TAIL)))
    with torch.no_grad():
        wanted = parts.loaded.model(input_ids=torch.tensor([whole.ids])).logits[0, -1].float()
    assert torch.allclose(parts.read(parts.with_slots(TEXT)), wanted, atol=EXACT)


def test_scores_are_the_most_that_the_second_reading_looks_at_a_position(parts: Parts) -> None:
    ids, model = parts.ids(TEXT), parts.loaded.model
    _, scores = parts.reader.read(ids)
    model.set_attn_implementation("eager")
    text = (*parts.introduction, *ids, *parts.again, *ids)
    with torch.no_grad():
        looks = model(input_ids=torch.tensor([text]), output_attentions=True).attentions
    begin, end = len(parts.introduction), len(parts.introduction) + len(ids)
    for layer, found in zip(looks, scores, strict=True):
        heads = layer[0, :, end:, begin:end].amax(dim=1)  # [heads, n]
        assert torch.allclose(heads.view(2, 2, -1).amax(dim=1), found, atol=EXACT)


def test_a_reading_leaves_no_trace_in_the_next(parts: Parts) -> None:
    alone = parts.fuser.encode([OTHER])
    after = parts.fuser.encode([TEXT * 3, OTHER])[1]
    assert np.array_equal(alone[0], after)


def test_fewer_slots_are_those_that_are_needed_most(parts: Parts) -> None:
    n_kept, ids = parts.fuser.n_vectors, parts.ids(TEXT + OTHER)
    assert len(ids) > n_kept
    keys_values, scores = parts.reader.read(ids)
    rows = torch.from_numpy(parts.fuser.encode([TEXT + OTHER])[0])
    layout = parts.runtime.layout
    for layer in range(layout.n_layers):
        for head in range(layout.n_kv_heads):
            best = sorted(scores[layer, head].topk(n_kept).indices.tolist())
            kept = layout.keys_values(rows)[layer, head]
            assert torch.allclose(kept, keys_values[layer, head, best], atol=EXACT)
            kept_values = layout.keys_values(rows)[layer, layout.n_kv_heads + head]
            assert torch.allclose(kept_values, keys_values[layer, layout.n_kv_heads + head, best], atol=EXACT)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_text_that_says_nothing_gives_no_pseudo_token(parts: Parts, text: str) -> None:
    vectors = parts.fuser.encode([text])
    assert not vectors.any()
    assert len(parts.projector.project(vectors, [0], 48)) == 0


def test_a_short_text_has_as_many_slots_as_tokens(parts: Parts) -> None:
    vectors = parts.fuser.encode(["x\n"])
    n_tokens = len(parts.ids("x\n"))
    assert len(parts.projector.project(vectors, [0], 48)) == n_tokens < parts.fuser.n_vectors


def test_a_long_text_is_cut(parts: Parts) -> None:
    assert np.isfinite(parts.fuser.encode([TEXT * 40])).all()


def test_a_parent_keeps_the_best_of_its_children_head_by_head(parts: Parts) -> None:
    children = parts.fuser.encode([TEXT, OTHER])
    layout, n_kept = parts.runtime.layout, parts.fuser.n_vectors
    (parent,) = parts.fuser.fuse(children[None], np.ones((1, 2), dtype=bool))
    together = torch.from_numpy(children.reshape(-1, parts.fuser.dimension))
    scores, found = layout.scores(together), layout.scores(torch.from_numpy(parent))
    assert torch.allclose(found.sort(dim=-1).values, scores.topk(n_kept).values.sort(dim=-1).values)


def test_absent_children_leave_no_trace(parts: Parts) -> None:
    children = parts.fuser.encode([TEXT, OTHER])
    mask = np.array([[True, False], [False, True]])
    first, second = parts.fuser.fuse(np.stack([children, children]), mask)
    assert np.allclose(first, children[0])
    assert np.allclose(second, children[1])
    (nothing,) = parts.fuser.fuse(children[None], np.zeros((1, 2), dtype=bool))
    assert not nothing.any()


def test_short_children_are_not_drowned_in_zeros(parts: Parts) -> None:
    children = parts.fuser.encode(["x\n", TEXT])
    (parent,) = parts.fuser.fuse(children[None], np.ones((1, 2), dtype=bool))
    assert (parts.runtime.layout.scores(torch.from_numpy(parent)) >= 0).all()


def test_too_many_children_are_refused(parts: Parts) -> None:
    n = MAX_CHILDREN + 1
    children = np.ones((1, n, parts.fuser.n_vectors, parts.fuser.dimension), dtype=np.float32)
    with pytest.raises(ValueError, match="at most 16"):
        parts.fuser.fuse(children, np.ones((1, n), dtype=bool))


def test_the_best_node_stands_last_and_all_get_the_same_share(parts: Parts) -> None:
    vectors = parts.fuser.encode([TEXT, OTHER])
    rows = parts.projector.project(vectors, [0, 0], 2 * FEWEST + 1)
    best, worse = (parts.projector.project(vectors[i : i + 1], [0], FEWEST) for i in (0, 1))
    assert np.array_equal(rows, np.concatenate([worse, best]))


def test_fewer_nodes_are_read_before_any_is_read_too_little(parts: Parts) -> None:
    vectors = parts.fuser.encode([TEXT, OTHER, TEXT + OTHER])
    assert len(parts.projector.project(vectors, [0, 0, 0], 2 * FEWEST)) == 2 * FEWEST
    assert len(parts.projector.project(vectors, [0, 0, 0], 3)) == 3
    assert parts.projector.project(vectors, [0, 0, 0], 0).shape == (0, parts.runtime.layout.read_width)


def test_levels_must_fit_the_nodes(parts: Parts) -> None:
    with pytest.raises(ValueError, match="give one level a node"):
        parts.projector.project(parts.fuser.encode([TEXT]), [], 8)


def test_slots_are_kept_in_the_cache_while_they_stay(parts: Parts) -> None:
    first, longer = parts.with_slots(TEXT), parts.with_slots(TEXT, tail=TAIL + ", 'é'")
    fresh = parts.read(longer)
    parts.runtime.clear()
    parts.read(first)
    assert parts.runtime.rewind(longer.keys) == len(first.keys)
    assert torch.allclose(parts.read(longer), fresh, atol=EXACT)


def test_other_slots_replace_those_in_the_cache(parts: Parts) -> None:
    other = parts.with_slots(OTHER)
    wanted = parts.read(other)
    parts.read(parts.with_slots(TEXT))
    assert parts.runtime.rewind(other.keys) == len(parts.introduction)
    assert torch.allclose(parts.read(other), wanted, atol=EXACT)


def test_a_halt_among_the_slots_loses_nothing(parts: Parts) -> None:
    inputs = parts.with_slots(TEXT, OTHER)
    wanted = parts.read(inputs)
    for n_steps in range(1, 4):
        parts.runtime.clear()
        answers = [None] * n_steps + [StopReason.CANCELLED]
        halted = parts.runtime.prefill(inputs, lambda answers=answers: answers.pop(0) if answers else None)
        assert halted is StopReason.CANCELLED or torch.allclose(halted.float(), wanted, atol=EXACT)
        assert torch.allclose(parts.read(inputs), wanted, atol=EXACT)


def said(parts: Parts, prompt: Prompt) -> str:
    generator = HfGenerator(parts.loaded, session=parts.runtime)
    return generator.generate(prompt, StopRule(max_tokens=8), NeverCancelled()).text


def test_a_generator_reads_slots_before_the_text(parts: Parts) -> None:
    rows = parts.projector.project(parts.fuser.encode([TEXT]), [0], 48)
    with_slots = said(parts, Prompt(parts.ids(TAIL), rows))
    assert with_slots
    assert with_slots != said(parts, Prompt(parts.ids(TAIL)))


def test_slots_with_nothing_to_read_after_them_are_left_out(parts: Parts) -> None:
    rows = parts.projector.project(parts.fuser.encode([TEXT]), [0], 48)
    assert said(parts, Prompt((), rows)) == said(parts, Prompt(()))


def test_pseudo_tokens_of_another_width_are_refused(parts: Parts) -> None:
    with pytest.raises(ValueError, match=r"expected \[P, 32\] or \[P, \d+\]"):
        said(parts, Prompt(parts.ids(TAIL), np.zeros((2, 7), dtype=np.float32)))


def test_a_model_without_our_runtime_takes_no_slots(parts: Parts) -> None:
    assert HfGenerator(parts.loaded).slot_width is None
