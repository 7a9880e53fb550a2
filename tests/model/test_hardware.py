"""Which model suits which machine."""

import dataclasses

import pytest

from model.catalogue import CATALOGUE, find_spec
from model.hardware import GIB, Hardware, describe_hardware, fits, recommend, within

LAPTOP = Hardware("cpu", "Laptop", 4, 16 * GIB, 8 * GIB, 0)
FREE = [spec for spec in CATALOGUE if spec.free_to_use]


def machine(device: str = "cpu", cores: int = 8, free: int = 8, device_memory: int = 0) -> Hardware:
    return Hardware(device, "Test", cores, 64 * GIB, free * GIB, device_memory * GIB)


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [
        (LAPTOP, "smollm2-135m"),
        (machine(cores=1, free=0), "smollm2-135m"),  # nothing fits: still the smallest
        (machine(cores=8), "qwen2.5-coder-0.5b"),
        (machine(cores=8, free=2), "smollm2-135m"),
        (machine(cores=32, free=64), "qwen2.5-coder-1.5b"),
        (machine("cuda", 4, 8, 4), "qwen2.5-coder-0.5b"),
        (machine("cuda", 4, 8, 8), "qwen2.5-coder-1.5b"),
        (machine("cuda", 4, 8, 80), "qwen2.5-coder-7b"),
        (machine("cuda", 64, 256, 1), "smollm2-135m"),  # a full GPU is not made up for by main memory
        (machine("mps", 8, 8, 10), "qwen2.5-coder-1.5b"),
    ],
)
def test_recommendations(hardware: Hardware, expected: str) -> None:
    assert recommend(hardware, FREE).name == expected


def test_more_memory_never_recommends_a_smaller_model() -> None:
    sizes = [recommend(machine("cuda", 8, 64, gib), FREE).n_parameters for gib in range(100)]
    assert sizes == sorted(sizes)


def test_fits_depends_on_free_memory() -> None:
    spec = find_spec("smollm2-135m")
    assert spec is not None
    assert fits(LAPTOP, spec)
    assert not fits(dataclasses.replace(LAPTOP, free_memory=GIB), spec)


def test_no_models_to_choose_from() -> None:
    with pytest.raises(ValueError, match="no models"):
        recommend(LAPTOP, [])


def test_this_machine_is_described() -> None:
    hardware = describe_hardware()
    assert hardware.device in ("cpu", "cuda", "mps")
    assert hardware.device_name
    assert hardware.physical_cores >= 1
    assert 0 < hardware.free_memory <= hardware.total_memory
    assert (hardware.device_memory > 0) == (hardware.device != "cpu")


def test_a_limit_on_the_graphics_card_chooses_a_smaller_model() -> None:
    gpu = machine("cuda", 8, 64, 80)
    assert recommend(within(gpu, 4 * GIB), FREE).n_parameters < recommend(gpu, FREE).n_parameters
    assert within(gpu, 0) == gpu
    assert within(gpu, 100 * GIB) == gpu
