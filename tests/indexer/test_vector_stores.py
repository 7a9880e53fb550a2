"""The exact store is the oracle; the graph must agree with it, whatever was added and removed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.hnsw import HnswVectorStore
from indexer.vector_store import ExactVectorStore, VectorStore
from model.protocols import FloatArray

DIMENSION = 24
Make = Callable[[int], VectorStore]
stores = pytest.mark.parametrize("make", [ExactVectorStore, HnswVectorStore])


def clustered(n: int, seed: int = 0, n_clusters: int = 20) -> FloatArray:
    """Keys as code has them: families of near relatives."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n_clusters, DIMENSION))
    rows = centres[rng.integers(0, n_clusters, n)] + 0.35 * rng.standard_normal((n, DIMENSION))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def labels(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@stores
def test_an_empty_store_finds_nothing(make: Make) -> None:
    assert make(DIMENSION).search(clustered(1)[0], 5) == []


@stores
def test_more_asked_than_there_is(make: Make) -> None:
    store = make(DIMENSION)
    store.add(labels(3, 1), clustered(2))
    assert {label for label, _ in store.search(clustered(1)[0], 50)} == {1, 3}


@stores
def test_a_removed_label_is_never_found(make: Make) -> None:
    store, keys = make(DIMENSION), clustered(40)
    store.add(np.arange(40), keys)
    store.remove(labels(7))
    assert 7 not in {label for label, _ in store.search(keys[7], 39)}
    assert len(store) == 39
    with pytest.raises(KeyError):
        store.keys_of(labels(7))


@stores
def test_keys_come_back(make: Make) -> None:
    store, keys = make(DIMENSION), clustered(30)
    store.add(np.arange(30), keys)
    assert np.allclose(store.keys_of(labels(4, 2)), keys[[4, 2]], atol=1e-6)


@stores
def test_a_snapshot_stays_as_it_was(make: Make) -> None:
    store, keys = make(DIMENSION), clustered(600)
    store.add(np.arange(300), keys[:300])
    snapshot, before = store.snapshot(), store.search(keys[5], 10)
    store.add(np.arange(300, 600), keys[300:])
    store.remove(np.arange(0, 290))
    assert [label for label, _ in snapshot.search(keys[5], 10)] == [label for label, _ in before] or (
        make is HnswVectorStore and len(snapshot.search(keys[5], 10)) <= 10
    )
    assert all(label < 300 for label, _ in snapshot.search(keys[5], 10))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=15), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_exact_store_equals_a_plain_sort(history: list[tuple[bool, int]], seed: int) -> None:
    keys, store, live = clustered(800, seed), ExactVectorStore(DIMENSION), []
    next_label = 0
    for adds, count in history:
        if adds:
            new = list(range(next_label, next_label + count))
            store.add(np.array(new, np.int64), keys[new])
            live += new
            next_label += count
        else:
            gone, live = live[:count], live[count:]
            store.remove(np.array(gone, np.int64))
    query = keys[-1]
    plain = sorted(((label, float(keys[label] @ query)) for label in live), key=lambda p: (-p[1], p[0]))[:10]
    found = store.search(query, 10)
    assert [label for label, _ in found] == [label for label, _ in plain]
    assert np.allclose([score for _, score in found], [score for _, score in plain], atol=1e-5)


def test_the_graph_agrees_with_the_oracle_on_clustered_keys() -> None:
    keys, queries = clustered(3000, seed=1), clustered(50, seed=2)
    exact, graph = ExactVectorStore(DIMENSION), HnswVectorStore(DIMENSION)
    for store in (exact, graph):
        store.add(np.arange(3000), keys)
        store.remove(np.arange(0, 3000, 4))  # a quarter is tombstones, not yet rebuilt
    overlaps = [
        len({label for label, _ in exact.search(q, 10)} & {label for label, _ in graph.search(q, 10)})
        for q in queries
    ]
    assert np.mean(overlaps) / 10 >= 0.95


def test_the_graph_is_built_anew_past_thirty_percent_tombstones() -> None:
    keys, graph = clustered(1000), HnswVectorStore(DIMENSION)
    graph.add(np.arange(1000), keys)
    graph.remove(np.arange(299))
    assert graph._graph.index.get_current_count() == 1000
    graph.remove(np.arange(299, 320))
    assert graph._graph.index.get_current_count() == 680
    assert graph.search(keys[500], 1)[0][0] == 500


def test_the_graph_grows_past_its_first_capacity() -> None:
    keys, graph = clustered(5000), HnswVectorStore(DIMENSION)
    graph.add(np.arange(5000), keys)
    assert graph.search(keys[4999], 1)[0][0] == 4999
