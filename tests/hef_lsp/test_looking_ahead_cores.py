"""What is worked out ahead leaves a core to the keyboard; what is waited for takes all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_rig import request_at, rig

from model.protocols import NeverCancelled

torch = pytest.importorskip("torch")


def test_only_looking_ahead_leaves_a_core() -> None:
    seen: list[int] = []

    def script(prompt: str, number: int) -> str:
        seen.append(torch.get_num_threads())
        return "total"

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = rig(script)
        made.engine.complete(request_at("a = ║"), NeverCancelled())
        made.engine.prefetch(replace(request_at("b = ║"), ahead=True), NeverCancelled())
        assert seen == [2, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
