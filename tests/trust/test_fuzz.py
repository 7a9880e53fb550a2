"""Any bytes to the framing and to every handler: nothing is raised, each request has exactly one answer.

The short form draws inputs by a seed; the long one lets atheris look for them, `HEF_FUZZ_MINUTES` long.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import InProcess
from tally import FULL, Row, count

MINUTES = float(os.environ.get("HEF_FUZZ_MINUTES", "30"))
N_SHORT = 3_000
LONGEST = 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InProcess]:
    made = InProcess(tmp_path)
    yield made
    made.close()


def test_drawn_inputs(server: InProcess) -> None:
    for seed in range(N_SHORT):
        chooser = random.Random(seed)
        data = chooser.randbytes(chooser.randrange(LONGEST))
        try:
            n_requests = server.one_input(data)
        except Exception as error:
            raise AssertionError(f"input {data!r}") from error
        count(Row.INPUTS_FUZZED)
        count(Row.REQUESTS_SENT, n_requests)
        count(Row.REQUESTS_ANSWERED, n_requests)


@pytest.mark.skipif(not FULL, reason="the long form: make test-trust")
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not to be had here")
def test_inputs_that_atheris_finds(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fuzz_protocol.py")
    options = [f"-max_total_time={int(MINUTES * 60)}", "-max_len=400", "-rss_limit_mb=2048", "-timeout=60"]
    ended = subprocess.run(
        [sys.executable, str(script), *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    runs = re.findall(r"^Done (\d+) runs", ended.stderr, re.MULTILINE)
    count(Row.INPUTS_FUZZED, int(runs[-1]))
