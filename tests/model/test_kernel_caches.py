"""Few compiled kernels are kept, unless the user says otherwise, and that before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from model.decoding import CPU_CHUNK
from model.kernel_caches import CACHES, KEPT, keep_few_kernels
from model.runtime.fast_runtime import ROWS_AT_ONCE

MATRICES_OF_A_LAYER = 5
"""With the head."""


@pytest.mark.parametrize("cache", CACHES)
def test_what_the_user_set_stands(monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    monkeypatch.delenv(cache, raising=False)
    keep_few_kernels()
    assert os.environ[cache] == KEPT
    monkeypatch.setenv(cache, "7")
    keep_few_kernels()
    assert os.environ[cache] == "7"


def test_all_shapes_of_reading_are_kept() -> None:
    assert int(KEPT) > MATRICES_OF_A_LAYER * CPU_CHUNK // ROWS_AT_ONCE


def test_the_program_sees_to_it_before_torch_is_loaded() -> None:
    program = (
        "import os, sys; from hef_lsp.cli import main; sys.argv = ['hef-lsp', '--version']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"assert all(os.environ[cache] == '{KEPT}' for cache in {CACHES}) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_reading_texts_of_all_lengths_takes_no_more_memory_each() -> None:
    """Products of 400 shapes: torch's own bounds let them take some 250 MiB."""
    program = (
        "from model.kernel_caches import keep_few_kernels\n"
        "keep_few_kernels()\n"
        "import psutil, torch\n"
        "weight = torch.randn(1024, 512).bfloat16()\n"
        "def read(lengths):\n"
        "    for length in lengths:\n"
        "        torch.nn.functional.linear(torch.randn(length, 512).bfloat16(), weight)\n"
        "with torch.inference_mode():\n"
        "    read(range(9, 209))\n"
        "    before = psutil.Process().memory_info().rss\n"
        "    read(range(209, 609))\n"
        "    print(psutil.Process().memory_info().rss - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100_000_000
