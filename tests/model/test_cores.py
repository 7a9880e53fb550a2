"""Work ahead leaves a core to the keyboard, and gives the threads back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from model.cores import one_core_left

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def threads_put_back() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "within"), [(4, 3), (2, 1), (1, 1)])
def test_one_thread_less_but_never_none(given: int, within: int) -> None:
    torch.set_num_threads(given)
    with one_core_left():
        assert torch.get_num_threads() == within
    assert torch.get_num_threads() == given


def test_the_threads_are_given_back_after_an_error() -> None:
    torch.set_num_threads(3)
    with pytest.raises(ValueError, match="broken"), one_core_left():
        raise ValueError("broken")
    assert torch.get_num_threads() == 3


def test_without_torch_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    with one_core_left():
        pass
    assert "torch" not in sys.modules
