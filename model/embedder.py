"""Embedders: texts to retrieval keys, and the choice among them by name.

Owns the static embedder, which needs numpy alone at run time. Transformer encoders are
`model.sentence_embedder`. Measurements behind the constants: decision record 0003.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelNotFound
from model.protocols import Embedder, FloatArray
from model.unit_rows import unit_rows

if TYPE_CHECKING:
    from model.hub import ModelHub
    from model.loading import LoadedModel

log = logging.getLogger(__name__)

STATIC, MINILM = "static", "minilm"
STATIC_VERSION = 1
"""Raised when the same weights give other vectors, so that stored keys are made anew."""
MOST_UNASKED_BYTES = 256 * 2**20
"""The largest model fetched without being asked for by `hef-lsp model pull`."""

SIF_A = 1e-4
"""`a` of the weight a / (a + p): within the range 1e-3 .. 1e-4 that Arora et al. found best."""
ZIPF_SHIFT = 2.7
"""Mandelbrot's shift: p(rank) ~ 1 / (rank + 2.7)."""
MOST_DIMENSIONS = 256
MOST_COMMON_DIRECTIONS = 16
SAMPLED_ROWS = 16_384
"""The commonest tokens, from which directions are computed; rare tokens are noise to them."""


class Rows(Protocol):
    """An embedding matrix ``[V, H]`` read in blocks: a numpy array, or weights of any type."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class BatchTokenizer(Protocol):
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...


class StaticEmbedder:
    """Weighted sums of a generator's input embeddings; no weights but those that are loaded anyway.

    Smooth inverse frequency (Arora et al. 2017, "A simple but tough-to-beat baseline for sentence
    embeddings"): a token weighs a / (a + p). p comes from Zipf's law over the id, because BPE
    numbers its merges from frequent to rare (as model2vec and wordllama do). The square root of a
    token's count damps repetition. The directions that all tokens share are removed (Mu and
    Viswanath 2018, "All-but-the-top"), then the matrix is cut to its principal `dimension`.

    All of it is linear, so it is done once to the matrix, kept as float16 ``[V, dimension]``: 25 MB
    for 49k tokens, 78 MB for 152k. Safe from any thread.
    """

    def __init__(
        self, matrix: Rows, tokenizer: BatchTokenizer, model_id: str, dimension: int = MOST_DIMENSIONS
    ) -> None:
        self._rows = static_rows(matrix, dimension)
        self._tokenizer = tokenizer
        self._model_id = f"static{STATIC_VERSION}-{self.dimension}-{model_id}"

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dimension(self) -> int:
        return int(self._rows.shape[1])

    def embed(self, texts: Sequence[str]) -> FloatArray:
        keys = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for key, ids in zip(keys, self._tokenizer.encode_batch(texts), strict=True):
            if ids:
                unique, counts = np.unique(np.asarray(ids), return_counts=True)
                key[:] = np.sqrt(counts).astype(np.float32) @ self._rows[unique].astype(np.float32)
        return unit_rows(keys)


def static_rows(matrix: Rows, dimension: int) -> NDArray[np.float16]:
    """The matrix ``[V, H]`` weighted, freed of common directions, cut to ``[V, min(dimension, H)]``."""
    n_tokens, width = matrix.shape
    weights = sif_weights(n_tokens)
    sample = np.asarray(matrix[slice(0, SAMPLED_ROWS)], dtype=np.float32) * weights[:SAMPLED_ROWS, None]
    gram = sample.T @ sample
    common = _top_directions(gram, min(MOST_COMMON_DIRECTIONS, width // 32))
    rest = np.eye(width, dtype=np.float32) - common @ common.T
    projection = rest if dimension >= width else rest @ _top_directions(rest @ gram @ rest, dimension)
    rows = np.empty((n_tokens, projection.shape[1]), dtype=np.float32)
    for start in range(0, n_tokens, SAMPLED_ROWS):
        block = slice(start, start + SAMPLED_ROWS)
        rows[block] = (np.asarray(matrix[block], dtype=np.float32) * weights[block, None]) @ projection
    # Only directions matter; at unit size nothing overflows float16, whatever the family's scale.
    return (rows / max(float(np.sqrt(np.mean(rows**2))), 1e-30)).astype(np.float16)


def sif_weights(n_tokens: int) -> FloatArray:
    """a / (a + p) for each id, the id taken for the token's rank."""
    frequency = 1.0 / (np.arange(n_tokens) + ZIPF_SHIFT)
    frequency /= frequency.sum()
    return (SIF_A / (SIF_A + frequency)).astype(np.float32)


def _top_directions(gram: FloatArray, n: int) -> FloatArray:
    """An orthonormal basis ``[H, n]`` of the strongest directions, by subspace iteration.

    Not by `eigh`: there, rounding alone may turn near-equal eigenvectors into others, and stored
    keys would no longer match those of the next start. Here the basis follows the input smoothly.
    """
    basis: FloatArray = np.random.default_rng(0).standard_normal((len(gram), n)).astype(np.float32)
    for _ in range(4):
        basis = np.linalg.qr(gram @ basis)[0]
    return basis


class _WeightRows:
    """A torch embedding matrix as `Rows`: numpy has no bfloat16, and a whole copy may not fit."""

    def __init__(self, weight: Any) -> None:  # Any: a torch tensor, which this module does not import
        self._weight = weight.detach()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._weight.shape)

    def __getitem__(self, rows: slice, /) -> FloatArray:
        block: FloatArray = self._weight[rows].float().cpu().numpy()
        return block


def make_embedder(name: str, loaded: LoadedModel, hub: ModelHub | None = None) -> Embedder:
    """`static`, `minilm`, or a sentence-transformers folder or hub id, found through `hub`.

    Raises ModelNotFound, ModelUnavailable or ModelCorrupt.
    """
    if name == STATIC:
        weight = loaded.model.get_input_embeddings().weight
        return StaticEmbedder(_WeightRows(weight), loaded.tokenizer, loaded.model_id)
    from model.sentence_embedder import MINILM_ID, SentenceTransformerEmbedder, minilm_folder

    if name == MINILM:
        return SentenceTransformerEmbedder(minilm_folder(), MINILM_ID, loaded.device)
    if hub is None:
        raise ModelNotFound(f"no embedder is called {name!r}; known here: {STATIC}, {MINILM}")
    local = hub.resolve(name, allow_download=True, max_bytes=MOST_UNASKED_BYTES)
    if not local.path.is_dir():
        raise ModelNotFound(
            f"{name} is no sentence encoder; set model.embedder to {STATIC}, {MINILM}, "
            "or to a sentence-transformers folder or hub id"
        )
    return SentenceTransformerEmbedder(local.path, local.model_id, loaded.device)
