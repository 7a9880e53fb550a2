"""Weights made small: those with levels come back bit for bit, others within half a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import save_tiny_model
from transformers import AutoModelForCausalLM

from model.errors import ModelCorrupt, ModelNotFound
from model.training.compact_weights import (
    COMPACT_FILE,
    WEIGHTS_FILE,
    compact,
    compact_folder,
    restore_folder,
    restored,
)


def levelled(n_outputs: int = 96, n_inputs: int = 64) -> torch.Tensor:
    """As a GGUF of type Q4_1 unpacks: each block has all its ends, a float16 smallest and step."""
    source = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 16, (n_outputs, n_inputs // 32, 32), generator=source)
    levels[..., 0], levels[..., 1] = 0, 15
    smallest = -torch.rand(n_outputs, n_inputs // 32, 1, generator=source).half().float()
    step = (0.01 + 0.1 * torch.rand(n_outputs, n_inputs // 32, 1, generator=source)).half().float()
    return (levels * step + smallest).flatten(1).half()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).half()


def test_weights_with_levels_come_back_and_take_five_bits() -> None:
    weight = levelled()
    small = compact("w", weight)
    assert set(small) == {"w:levels", "w:ends"}
    assert 8 * sum(tensor.nbytes for tensor in small.values()) == 5 * weight.numel()
    reference = weight.float().view(96, 2, 32)
    again = restored(small, torch.float16)["w"]
    assert torch.allclose(again.float().view(96, 2, 32), reference, rtol=2e-3, atol=2e-3)
    assert (again != weight).float().mean() < 0.02  # a unit of the last place, where a step was rounded


def test_weights_without_levels_lie_within_half_a_step() -> None:
    weight = noise(8, 64)
    small = compact("w", weight)
    assert set(small) == {"w:bytes", "w:steps"}
    blocks = weight.float().view(8, 2, 32)
    off = (restored(small, torch.float32)["w"].view(8, 2, 32) - blocks).abs()
    assert bool((off <= 0.51 * blocks.abs().amax(-1, keepdim=True) / 127).all())


def test_one_row_without_levels_behind_the_probed_ones_is_found() -> None:
    weight = levelled()
    weight[80] = noise(64)
    assert set(compact("w", weight)) == {"w:bytes", "w:steps"}


@pytest.mark.parametrize(
    "tensor",
    [
        noise(64),
        noise(4, 33),
        torch.full((2, 32), torch.inf),
        torch.full((2, 32), 7e4),
        torch.ones(2, 32).long(),
    ],
)
def test_what_is_no_matrix_of_blocks_stays_as_it_is(tensor: torch.Tensor) -> None:
    small = compact("w", tensor)
    assert set(small) == {"w"}
    assert torch.equal(restored(small, torch.float16)["w"], tensor)


def test_blocks_of_equal_weights_come_back() -> None:
    for value in (0.0, 0.5, -3.0):
        weight = torch.full((2, 64), value).half()
        assert torch.equal(restored(compact("w", weight), torch.float16)["w"], weight)


def test_a_restored_folder_says_what_the_model_says(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny").path
    done = compact_folder(folder, tmp_path / "small")
    assert done.n_bytes < (folder / WEIGHTS_FILE).stat().st_size / 3
    assert 0 < done.largest_error < 0.5 / 127 + 1e-3
    assert not (tmp_path / "small" / WEIGHTS_FILE).exists()
    restore_folder(tmp_path / "small")
    ids = torch.arange(5, 25)[None]
    first, second = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)(input_ids=ids).logits
        for path in (folder, tmp_path / "small")
    )
    assert torch.nn.functional.cosine_similarity(first, second, dim=-1).min() > 0.99


def test_restoring_is_done_once(tmp_path: Path) -> None:
    save_file({"w": noise(2, 32)}, tmp_path / WEIGHTS_FILE)
    restore_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS_FILE]
    assert set(load_file(tmp_path / WEIGHTS_FILE)) == {"w"}


def test_missing_and_damaged_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds no \.safetensors weights"):
        compact_folder(tmp_path, tmp_path / "out")
    with pytest.raises(ModelNotFound, match="unpack it again"):
        restore_folder(tmp_path)
    (tmp_path / COMPACT_FILE).write_bytes(b"torn")
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        restore_folder(tmp_path)
