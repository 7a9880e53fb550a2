"""Torch is told before it is loaded, unless the user says otherwise; few kernels are kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from model.decoding import CPU_CHUNK
from model.runtime.compact import PLAIN_ROWS
from model.torch_environment import KERNELS_KEPT, TOLD, tell_torch

MATRICES_OF_A_LAYER = 5
"""With the head."""


@pytest.mark.parametrize("name", TOLD)
def test_what_the_user_set_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    tell_torch()
    assert os.environ[name] == TOLD[name]
    monkeypatch.setenv(name, "12")
    tell_torch()
    assert os.environ[name] == "12"


def test_the_program_sees_to_it_before_torch_is_loaded() -> None:
    program = (
        "import os, sys; from hef_lsp.cli import main; sys.argv = ['hef-lsp', '--version']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"assert {TOLD}.items() <= os.environ.items() and 'torch' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name not in TOLD}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_all_shapes_of_reading_are_kept() -> None:
    n_shapes = MATRICES_OF_A_LAYER * CPU_CHUNK // PLAIN_ROWS.multiple
    assert n_shapes < KERNELS_KEPT


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems' allocators are not asked")
def test_reading_texts_of_all_lengths_takes_no_more_memory_each() -> None:
    """Products of 600 shapes. By torch's own bounds 200 more of them take 106 MiB, as the allocator counts.

    What is resident moves by some 60 MiB from run to run.
    """
    program = (
        "from model.torch_environment import tell_torch\n"
        "tell_torch()\n"
        "import ctypes, torch\n"
        "class Counts(ctypes.Structure):\n"
        "    _fields_ = [(name, ctypes.c_size_t) for name in 'abcdefghij']\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mallinfo2.restype = Counts\n"
        "def in_use():\n"
        "    counts = libc.mallinfo2()\n"
        "    return counts.h + counts.e\n"  # what is handed out, in the heap and mapped
        "weight = torch.randn(1024, 512).bfloat16()\n"
        "def read(lengths):\n"
        "    for length in lengths:\n"
        "        torch.nn.functional.linear(torch.randn(length, 512).bfloat16(), weight)\n"
        "with torch.inference_mode():\n"
        "    read(range(9, 209))\n"
        "    before = in_use()\n"
        "    read(range(209, 609))\n"
        "    print(in_use() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 30_000_000
