"""What was freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from model.freed_memory import give_back

PROGRAM = """
import pathlib
from model.freed_memory import give_back

def resident_mib():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

kept = [[bytearray(60_000), bytearray(60_000)] for _ in range(1_500)]
holes = [second for _, second in kept]  # what stays lies between what is freed
del kept
before = resident_mib()
give_back()
assert before - resident_mib() > 50, (before, resident_mib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems' allocators are not asked")
def test_pages_between_what_stays_are_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("this C library has nothing to ask")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked a library"))
    give_back()


def test_a_library_that_cannot_be_asked_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    give_back()
