"""The CPU runtime with the embedded model: its weights' levels are found, and it says the same."""

from pathlib import Path

import pytest
import torch

from model.decoding import Inputs
from model.loading import LoadedModel, load_language_model
from model.local_files import local_model
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.int4 import recovered
from model.runtime.plan import plan_of
from tests.needed_kernels import own_kernel

pytestmark = pytest.mark.real_model

N_READ, N_SAID = 200, 40


@pytest.fixture(scope="module")
def loaded(embedded_model_path: Path) -> LoadedModel:
    made = load_language_model(local_model(embedded_model_path), "cpu")
    made.model.float()
    return made


@pytest.fixture(scope="module")
def ids(loaded: LoadedModel) -> tuple[int, ...]:
    return tuple(loaded.tokenizer.encode(Path(__file__).read_text(encoding="utf-8"))[: N_READ + N_SAID])


@pytest.fixture(scope="module")
def plain(loaded: LoadedModel, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = loaded.model(torch.tensor([ids])).logits[0, N_READ:]
    return logits


@pytest.mark.parametrize(
    ("weights", "least_cosine", "least_agreement"),
    [
        (Weights.PLAIN, 0.99999, 1.0),
        pytest.param(Weights.KERNEL, 0.999, 0.95, marks=own_kernel),
        (Weights.INT4, 0.996, 0.9),
        (Weights.INT8, 0.97, 0.85),
    ],
)
def test_it_says_what_the_module_says(
    loaded: LoadedModel,
    ids: tuple[int, ...],
    plain: torch.Tensor,
    weights: Weights,
    least_cosine: float,
    least_agreement: float,
) -> None:
    runtime = FastRuntime(loaded.model, weights)
    runtime.prefill(Inputs((), None, ids[:N_READ]), lambda: None)
    got = torch.cat([runtime.verify(ids[at : at + 8]) for at in range(N_READ, N_READ + N_SAID, 8)]).float()
    assert torch.nn.functional.cosine_similarity(got, plain).min() > least_cosine
    assert (got.argmax(-1) == plain.argmax(-1)).float().mean() >= least_agreement


def test_every_matrix_of_the_four_bit_file_has_its_levels(loaded: LoadedModel) -> None:
    layer = plan_of(loaded.model).layers[17]
    assert all(recovered(matrix) for matrix in (layer.qkv, layer.out, layer.gate_up, layer.down))
