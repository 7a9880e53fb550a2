"""What all tests share: the embedded model's place, and a closing line that counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.torch_environment import tell_torch

tell_torch()  # as the program does, and before any test imports torch
REQUIRE_MODEL = "HEF_REQUIRE_MODEL"


@pytest.fixture(scope="session")
def embedded_model_path() -> Path:
    """The GGUF of the embedded default; `make model` fetches it.

    Without it the test is skipped, unless HEF_REQUIRE_MODEL is set, as it is in CI.
    """
    from model.errors import ModelError
    from model.hub import ModelHub, default_cache_dir

    try:
        return ModelHub(default_cache_dir(), offline=True).resolve("smollm2-135m", allow_download=False).path
    except ModelError as error:
        if os.environ.get(REQUIRE_MODEL):
            raise
        pytest.skip(f"no embedded model: {error}")


def _count(reporter: pytest.TerminalReporter, *outcomes: str) -> int:
    return sum(len(reporter.stats.get(outcome, [])) for outcome in outcomes)


@pytest.hookimpl(wrapper=True)
def pytest_unconfigure(config: pytest.Config) -> Iterator[None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    yield
    if isinstance(reporter, pytest.TerminalReporter):
        passed, failed = _count(reporter, "passed"), _count(reporter, "failed", "error")
        skipped = _count(reporter, "skipped")
        print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
