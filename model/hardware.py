"""What this machine carries, and which model suits it.

Owns the probe and the recommendation. Torch is imported only inside the probe.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.catalogue import ModelSpec

GIB = 2**30
# Largest model, in parameters, whose suggestions a CPU of at least so many cores gives while one
# still wants them: decoding reads every weight once a token, prefill multiplies by each once a token.
CPU_LIMITS = ((16, 1_600_000_000), (6, 600_000_000), (0, 200_000_000))
CPU_BYTES_PER_PARAMETER = 4  # float32, what every CPU computes correctly and most compute fastest
ACCELERATOR_BYTES_PER_PARAMETER = 2  # bfloat16 or float16
WORKING_BYTES = GIB  # KV cache, activations, tokenizer, the index's vectors
WEIGHTS_MARGIN = 1.2  # loading briefly holds some weights twice


@dataclass(frozen=True)
class Hardware:
    """One machine. Memory in bytes.

    `device` is `cuda`, `mps` or `cpu`. `device_memory` is what the accelerator has free for
    us now; 0 where there is none.
    """

    device: str
    device_name: str
    physical_cores: int
    total_memory: int
    free_memory: int
    device_memory: int


def describe_hardware() -> Hardware:
    """Probes the machine; takes a second or two the first time, as it imports torch."""
    import psutil

    memory = psutil.virtual_memory()
    device, name, device_memory = _accelerator() or ("cpu", _cpu_name(), 0)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return Hardware(device, name, cores, int(memory.total), int(memory.available), device_memory)


def _accelerator() -> tuple[str, str, int] | None:
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return "cuda", torch.cuda.get_device_name(), int(free)
    if torch.backends.mps.is_available():
        return "mps", _cpu_name(), int(torch.mps.recommended_max_memory())
    return None


def _cpu_name() -> str:
    """The processor's name; `platform.processor` is empty or an architecture on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine() or "CPU"


def within(hardware: Hardware, most_device_bytes: int) -> Hardware:
    """The machine as if its accelerator had at most so many bytes free; 0 means no limit."""
    if not most_device_bytes:
        return hardware
    return replace(hardware, device_memory=min(hardware.device_memory, most_device_bytes))


def fits(hardware: Hardware, spec: ModelSpec) -> bool:
    """Whether `spec` loads here and answers while one still wants the answer."""
    if hardware.device == "cpu":
        limit = next(most for cores, most in CPU_LIMITS if hardware.physical_cores >= cores)
        needed = spec.n_parameters * CPU_BYTES_PER_PARAMETER * WEIGHTS_MARGIN + WORKING_BYTES
        return spec.n_parameters <= limit and needed <= hardware.free_memory
    needed = spec.n_parameters * ACCELERATOR_BYTES_PER_PARAMETER * WEIGHTS_MARGIN + WORKING_BYTES
    return needed <= hardware.device_memory


def recommend(hardware: Hardware, specs: Sequence[ModelSpec]) -> ModelSpec:
    """The largest of `specs` that fits; the smallest where none does.

    Raises ValueError for no specs at all.
    """
    if not specs:
        raise ValueError("no models to choose from")
    by_size = sorted(specs, key=lambda spec: spec.n_parameters)
    fitting = [spec for spec in by_size if fits(hardware, spec)]
    return fitting[-1] if fitting else by_size[0]
