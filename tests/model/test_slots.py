"""Slots against transformers' own passes over the same text, on tiny random models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import ManualCancel

from indexer.packed import packed, packed_size, unpacked
from model.decoding import Inputs
from model.generator import HfGenerator
from model.loading import LoadedModel
from model.protocols import FloatArray, Generation, Interrupted, NeverCancelled, Prompt, StopReason, StopRule
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.plan import plan_of
from model.slot_pairs import SlotPairs
from model.slots.fuser import MAX_CHILDREN, SlotFuser, filled_slots_of
from model.slots.layout import SlotLayout, standing_at_end
from model.slots.pairs import PairFormat, Pairs, pairs_of, together
from model.slots.projector import SlotProjector
from model.slots.reader import AGAIN, INTRODUCTION, SlotReader
from tests.tiny_models import load_tiny_model

TEXT = "class Counter:\n    def step(self):\n        self.count += 1\n"
OTHER = "def add(first, second):\n    return first + second\n"
TAIL = "for name in names:\n    print(name"
EXACT = 1e-4


class Parts:
    """A tiny model, its runtime, and what makes slots of it."""

    def __init__(self, folder: Path, family: str = "llama", filled_slots: int = 4) -> None:
        self.loaded: LoadedModel = load_tiny_model(folder, family)
        if family == "qwen2":
            for layer in self.loaded.model.model.layers:
                for linear in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
                    linear.bias.data.normal_(generator=torch.Generator().manual_seed(1))
        self.runtime = FastRuntime(self.loaded.model, Weights.PLAIN)
        encode = self.loaded.tokenizer.encode
        self.introduction, self.again = tuple(encode(INTRODUCTION)), tuple(encode(AGAIN))
        self.reader = SlotReader(self.runtime.stack, self.introduction, self.again)
        self.fuser = SlotFuser(self.reader, self.loaded.tokenizer.encode_batch, "tiny", filled_slots)
        self.projector = SlotProjector(self.fuser.format)

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.loaded.tokenizer.encode(text))

    def unpacked(self, vectors: FloatArray) -> Pairs:
        return self.fuser.format.unpacked(torch.from_numpy(vectors))

    def kept(self, text: str) -> Pairs:
        return self.unpacked(self.fuser.encode([text])[0])

    def read(self, inputs: Inputs) -> torch.Tensor:
        self.runtime.rewind(inputs.keys)
        logits = self.runtime.prefill(inputs, lambda: None)
        assert isinstance(logits, torch.Tensor)
        return logits.float()

    def with_slots(self, *texts: str, tail: str = TAIL, budget: int = 1000) -> Inputs:
        vectors = self.fuser.encode(texts)
        rows = self.projector.project(vectors, [0] * len(texts), budget)
        return Inputs(self.introduction, rows, self.ids(tail))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_all_slots_of_a_text_say_what_reading_it_says(tmp_path: Path, family: str) -> None:
    parts = Parts(tmp_path, family, filled_slots=160)
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


def test_a_reading_can_be_left_off_at_each_layer_and_leaves_no_trace(parts: Parts) -> None:
    wanted = parts.fuser.encode([TEXT])
    n_layers = parts.runtime.layout.n_layers
    for n_looks in range(2 * n_layers):
        with pytest.raises(Interrupted):
            parts.fuser.encode([OTHER], ManualCancel(n_looks))
        assert np.array_equal(parts.fuser.encode([TEXT], ManualCancel(2 * n_layers)), wanted)


def test_the_pairs_kept_are_those_that_are_needed_most_whosever_they_are(parts: Parts) -> None:
    n_kept, ids = parts.fuser.format.n_pairs, parts.ids(TEXT + OTHER)
    keys_values, scores = parts.reader.read(ids)
    kept = parts.kept(TEXT + OTHER)
    n_layers, n_kv, n = scores.shape
    assert n_kept < scores.numel()
    best = sorted(scores.flatten().topk(n_kept).indices.tolist())
    assert kept.heads.tolist() == [place // n for place in best]
    for pair, place in zip(kept.numbers, best, strict=True):
        layer, head, at = np.unravel_index(place, (n_layers, n_kv, n))
        wanted = torch.cat([keys_values[layer, head, at], keys_values[layer, n_kv + head, at]])
        assert torch.allclose(pair, wanted, atol=EXACT)


def test_a_head_keeps_no_more_than_it_may() -> None:
    heads = torch.tensor([0, 0, 0, 1, 1, 3])
    pairs = Pairs(heads, torch.arange(12.0).view(6, 2), torch.tensor([0.9, 0.7, 0.8, 0.1, 0.2, 0.3]))
    kept = pairs.best_of_heads(2)
    assert kept.heads.tolist() == [0, 0, 1, 1, 3]
    assert kept.numbers[:, 0].tolist() == [0.0, 4.0, 6.0, 8.0, 10.0]


def test_pairs_of_a_head_stay_in_the_order_of_their_texts() -> None:
    first = Pairs(torch.tensor([0, 2]), torch.tensor([[1.0], [2.0]]), torch.ones(2))
    second = Pairs(torch.tensor([0, 1, 2]), torch.tensor([[3.0], [4.0], [5.0]]), torch.ones(3))
    both = together([first, second])
    assert both.heads.tolist() == [0, 0, 1, 2, 2]
    assert both.numbers.flatten().tolist() == [1.0, 3.0, 4.0, 2.0, 5.0]


def test_slots_are_filled_from_the_end() -> None:
    heads = torch.tensor([0, 0, 3, 1, 0])
    assert standing_at_end(heads, 4).tolist() == [1, 2, 3, 3, 3]


def test_pairs_take_as_many_positions_as_one_head_has_at_most() -> None:
    numbers = np.zeros((4, 2), dtype=np.float32)
    assert len(SlotPairs(np.array([0, 0, 5, 0]), numbers, 6, 1)) == 3
    assert len(SlotPairs(np.zeros(0, dtype=np.int64), numbers[:0], 6, 0)) == 0


@pytest.mark.parametrize(("n_pairs", "worth"), [(0, 0), (1, 1), (6, 1), (7, 2)])
def test_pairs_are_worth_as_many_pseudo_tokens_as_they_would_fill(n_pairs: int, worth: int) -> None:
    pairs = SlotPairs(np.zeros(n_pairs, dtype=np.int64), np.zeros((n_pairs, 2), dtype=np.float32), 6, 1)
    assert pairs.worth == worth


def test_pairs_are_named_by_their_content(parts: Parts) -> None:
    first, again, other = (parts.with_slots(text) for text in (TEXT, TEXT, OTHER))
    assert first.keys == again.keys
    n_before = len(parts.introduction)
    assert not set(first.keys[n_before : first.places[1]]) & set(other.keys[n_before : other.places[1]])
    assert all(key < 0 for key in first.keys[n_before : first.places[1]])


def test_pairs_come_back_from_their_vectors_and_from_eight_bits(parts: Parts) -> None:
    pairs = pairs_of(*parts.reader.read(parts.ids(TEXT))).best(100)
    stored = PairFormat(parts.runtime.layout, 120)
    vectors = stored.packed(pairs)
    assert vectors.shape == (stored.n_vectors, stored.dimension)
    back = stored.unpacked(torch.from_numpy(unpacked(packed(vectors.numpy()))).view(vectors.shape))
    assert packed_size(vectors.numel()) < 2 * vectors.numel()  # in eight bits
    assert torch.equal(back.heads, pairs.heads)
    assert torch.allclose(back.numbers, pairs.numbers, atol=0.05)
    exact = stored.unpacked(vectors)
    assert torch.equal(exact.numbers, pairs.numbers)
    assert torch.equal(exact.scores, pairs.scores)


def test_layers_of_the_deepest_models_stay_exact_in_eight_bits() -> None:
    stored = PairFormat(SlotLayout(126, 8, 32), 126 * 8)
    pairs = Pairs(torch.arange(126 * 8), torch.ones(126 * 8, 64), torch.ones(126 * 8))
    vectors = stored.packed(pairs)
    back = stored.unpacked(torch.from_numpy(unpacked(packed(vectors.numpy()))).view(vectors.shape))
    assert torch.equal(back.heads, pairs.heads)


def test_more_pairs_than_fit_are_refused(parts: Parts) -> None:
    pairs = pairs_of(*parts.reader.read(parts.ids(TEXT)))
    with pytest.raises(ValueError, match="at most 3 fit"):
        PairFormat(parts.runtime.layout, 3).packed(pairs)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_text_that_says_nothing_gives_no_pseudo_token(parts: Parts, text: str) -> None:
    vectors = parts.fuser.encode([text])
    assert not vectors.any()
    assert len(parts.projector.project(vectors, [0], 48)) == 0


def test_a_short_text_has_as_many_slots_as_tokens(parts: Parts) -> None:
    vectors = parts.fuser.encode(["x\n"])
    n_tokens = len(parts.ids("x\n"))
    assert n_tokens * parts.runtime.layout.n_heads < parts.fuser.format.n_pairs
    assert len(parts.projector.project(vectors, [0], 48)) == n_tokens


def test_a_long_text_is_cut(parts: Parts) -> None:
    assert np.isfinite(parts.fuser.encode([TEXT * 40])).all()


def test_a_parent_keeps_the_best_of_its_children(parts: Parts) -> None:
    children = parts.fuser.encode([TEXT, OTHER])
    (parent,) = parts.fuser.fuse(children[None], np.ones((1, 2), dtype=bool))
    both = together([parts.unpacked(child) for child in children])
    kept = parts.unpacked(parent)
    best = both.scores.topk(parts.fuser.format.n_pairs).values
    assert torch.allclose(kept.scores.sort(descending=True).values, best)


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
    assert len(parts.unpacked(parent)) == parts.fuser.format.n_pairs


def test_too_many_children_are_refused(parts: Parts) -> None:
    n = MAX_CHILDREN + 1
    children = np.ones((1, n, parts.fuser.n_vectors, parts.fuser.dimension), dtype=np.float32)
    with pytest.raises(ValueError, match="at most 16"):
        parts.fuser.fuse(children, np.ones((1, n), dtype=bool))


def test_the_best_node_stands_last(parts: Parts) -> None:
    vectors, layout = parts.fuser.encode([TEXT, OTHER]), parts.runtime.layout
    both = parts.projector.project(vectors, [0, 0], 1000)
    best = parts.projector.project(vectors[:1], [0], 1000)
    for head in range(layout.n_heads):
        alone, among = (pairs.numbers[pairs.heads == head] for pairs in (best, both))
        assert np.array_equal(among[len(among) - len(alone) :], alone)


def test_a_budget_is_of_whole_nodes_the_best_ones(parts: Parts) -> None:
    vectors, n_heads = parts.fuser.encode([TEXT, OTHER, TEXT + OTHER]), parts.runtime.layout.n_heads
    assert parts.fuser.format.n_pairs == 4 * n_heads
    for budget, n_shown in ((4, 1), (7, 1), (8, 2), (11, 2), (12, 3), (100, 3)):
        shown = parts.projector.project(vectors, [0, 0, 0], budget)
        wanted = parts.projector.project(vectors[:n_shown], [0] * n_shown, 1000)
        assert len(shown.heads) == n_shown * parts.fuser.format.n_pairs
        assert (shown.n_nodes, shown.worth) == (n_shown, 4 * n_shown)
        assert np.array_equal(shown.heads, wanted.heads) and np.array_equal(shown.numbers, wanted.numbers)


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_of_a_node_that_is_larger_than_the_budget_the_best_pairs_are_shown(parts: Parts, budget: int) -> None:
    vectors = parts.fuser.encode([TEXT, OTHER])
    shown, whole = parts.projector.project(vectors, [0, 0], budget), parts.unpacked(vectors[0])
    best = whole.scores.topk(budget * parts.runtime.layout.n_heads).indices.sort().values
    assert np.array_equal(shown.heads, whole.heads[best].numpy())
    assert np.array_equal(shown.numbers, whole.numbers[best].numpy())


def test_a_node_that_says_nothing_takes_nothing_of_the_budget(parts: Parts) -> None:
    vectors = parts.fuser.encode(["", TEXT, OTHER])
    shown = parts.projector.project(vectors, [0, 0, 0], 8)
    assert len(shown.heads) == 2 * parts.fuser.format.n_pairs


def test_no_head_takes_more_room_than_there_is_and_those_it_shows_are_its_best(parts: Parts) -> None:
    vectors = parts.fuser.encode([TEXT, OTHER])
    shown = parts.projector.project(vectors, [0, 0], 1000, room=3)
    assert len(shown) == 3
    both = together([parts.unpacked(vector) for vector in vectors[::-1]])
    head = int(torch.bincount(both.heads).argmax())
    of_head = both.heads == head
    best = both.numbers[of_head][both.scores[of_head].topk(3).indices.sort().values]
    assert np.array_equal(shown.numbers[shown.heads == head], best.numpy())


@pytest.mark.parametrize("budget", [0, -1])
def test_without_a_budget_nothing_is_shown(parts: Parts, budget: int) -> None:
    pairs = parts.projector.project(parts.fuser.encode([TEXT]), [0], budget)
    assert len(pairs) == len(pairs.numbers) == pairs.n_nodes == 0


def test_without_nodes_nothing_is_shown(parts: Parts) -> None:
    assert len(parts.projector.project(parts.fuser.encode([]), [], 48)) == 0


def test_what_a_head_has_not_is_hidden_from_it(parts: Parts) -> None:
    """Whatever numbers stand where a head has no pair, the logits are the same."""
    inputs = parts.with_slots(TEXT, OTHER)
    wanted = parts.read(inputs)
    begin, end = inputs.places
    parts.runtime._keys = [0] * end  # not cleared: what follows is taken over on top of this
    parts.runtime._cache.show(0, end)
    with torch.inference_mode():
        parts.runtime._cache.whole[0][:, :, begin:end] = 3.0
    parts.runtime._keys = list(inputs.keys[:begin])
    assert torch.allclose(parts.read(inputs), wanted, atol=EXACT)
    hidden = parts.runtime._cache.hidden
    assert hidden is not None and bool((hidden[..., begin:end] < 0).any())
    with torch.inference_mode():
        hidden[..., begin:end] = 0
    assert not torch.allclose(parts.read(inputs), wanted, atol=EXACT)


def test_after_slots_a_prompt_without_any_is_read_as_ever(parts: Parts) -> None:
    plain = Inputs((), None, parts.ids(TEXT + OTHER))
    wanted = parts.read(plain)
    for tail in (TAIL, ""):
        parts.read(parts.with_slots(TEXT, OTHER, tail=TAIL + tail))
        assert torch.allclose(parts.read(plain), wanted, atol=EXACT)


def test_steps_after_slots_say_what_reading_says(parts: Parts) -> None:
    """Hidden pairs stay hidden in the passes of few rows, and behind a cache that grew."""
    inputs = parts.with_slots(TEXT, OTHER, tail=TAIL * 3)
    wanted = parts.read(inputs)
    begun = Inputs(inputs.before, inputs.rows, inputs.ids[:4])
    for runtime in (parts.runtime, FastRuntime(parts.loaded.model, Weights.PLAIN, first_capacity=8)):
        runtime.clear()
        runtime.prefill(begun, lambda: None)
        for at in range(4, len(inputs.ids), 3):
            logits = runtime.verify(inputs.ids[at : at + 3])
        assert torch.allclose(logits[-1].float(), wanted, atol=EXACT)


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


def test_slots_are_not_counted_as_read(parts: Parts) -> None:
    generator = HfGenerator(parts.loaded, session=parts.runtime)
    ids, n_before = parts.ids(TAIL)[:4], len(parts.introduction)

    def told(text: str) -> Generation:
        pairs = parts.projector.project(parts.fuser.encode([text]), [0], 48)
        assert len(pairs) > len(ids)
        return generator.generate(Prompt(ids, pairs), StopRule(max_tokens=1), NeverCancelled())

    first, other, again = told(TEXT), told(OTHER), told(OTHER)
    assert n_before < first.n_prefilled <= n_before + len(ids)
    assert other.n_reused == n_before
    assert 0 < other.n_prefilled <= len(ids)
    assert again.n_prefilled == 1


def test_slots_with_nothing_to_read_after_them_are_left_out(parts: Parts) -> None:
    rows = parts.projector.project(parts.fuser.encode([TEXT]), [0], 48)
    assert said(parts, Prompt((), rows)) == said(parts, Prompt(()))


@pytest.mark.parametrize("change", ["head", "width"])
def test_pairs_of_another_generator_are_refused(parts: Parts, change: str) -> None:
    layout = parts.runtime.layout
    head = layout.n_heads if change == "head" else 0
    numbers = np.zeros((1, 2 * layout.head_size + (change == "width")), dtype=np.float32)
    with pytest.raises(ValueError, match="another generator's"):
        said(parts, Prompt(parts.ids(TAIL), SlotPairs(np.array([head]), numbers, layout.n_heads, 1)))


def test_a_model_without_our_runtime_takes_no_slots(parts: Parts) -> None:
    pairs = parts.projector.project(parts.fuser.encode([TEXT]), [0], 48)
    with pytest.raises(ValueError, match="our own runtime"):
        HfGenerator(parts.loaded).generate(Prompt((1,), pairs), StopRule(max_tokens=1), NeverCancelled())


@pytest.mark.parametrize(
    ("n_heads", "n_kv_heads", "filled"), [(9, 3, 8), (12, 2, 16), (28, 4, 19), (4, 4, 8)]
)
def test_heads_that_share_their_keys_keep_more_of_them(
    tmp_path: Path, n_heads: int, n_kv_heads: int, filled: int
) -> None:
    plan = plan_of(load_tiny_model(tmp_path).model)
    assert filled_slots_of(replace(plan, n_heads=n_heads, n_kv_heads=n_kv_heads)) == filled
