"""The user's own folders and GGUF files."""

import json
from pathlib import Path

import pytest
from model_files import write_gguf

from model.catalogue import QWEN_FIM, STARCODER2_FIM
from model.errors import ModelCorrupt, ModelNotFound
from model.local_files import as_local_path, local_model


def make_folder(folder: Path, config: dict[str, str], weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_a_folder_reads_its_family_from_its_config(tmp_path: Path) -> None:
    local = local_model(make_folder(tmp_path / "mine", {"model_type": "starcoder2"}))
    assert (local.path, local.fim, local.spec) == (tmp_path / "mine", STARCODER2_FIM, None)
    named = make_folder(tmp_path / "x", {"model_type": "qwen2", "_name_or_path": "Qwen/Qwen2.5-Coder-0.5B"})
    assert local_model(named).fim == QWEN_FIM
    assert local_model(make_folder(tmp_path / "y", {"model_type": "llama"})).fim is None


def test_a_gguf_reads_its_family_from_its_metadata_or_file_name(tmp_path: Path) -> None:
    assert local_model(write_gguf(tmp_path / "a.gguf", "Qwen2.5 Coder 0.5B", "qwen2")).fim == QWEN_FIM
    assert local_model(write_gguf(tmp_path / "qwen2.5-coder-1.5b-q8.GGUF", "model", "qwen2")).fim == QWEN_FIM
    assert local_model(write_gguf(tmp_path / "b.gguf")).fim is None


def test_ids_follow_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = local_model(make_folder(tmp_path / "one" / "model", {"model_type": "llama"}))
    moved = local_model(make_folder(tmp_path / "two" / "model", {"model_type": "llama"}))
    trained = local_model(make_folder(tmp_path / "three" / "model", {"model_type": "llama"}, b"Weights"))
    assert first.model_id == moved.model_id != trained.model_id
    ggufs = [
        local_model(write_gguf(tmp_path / f"{seed}" / "m.gguf", seed=seed)) for seed in _folders(tmp_path, 2)
    ]
    assert ggufs[0].model_id != ggufs[1].model_id


def _folders(tmp_path: Path, n: int) -> range:
    for number in range(n):
        (tmp_path / str(number)).mkdir()
    return range(n)


def test_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds no config\.json; is it a model's folder"):
        local_model(tmp_path)
    write_gguf(tmp_path / "inside.gguf")
    with pytest.raises(ModelNotFound, match=r"name the file itself: .*inside\.gguf"):
        local_model(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00", b" " * (2**22 + 1)])
def test_a_config_that_is_none(tmp_path: Path, text: bytes) -> None:
    folder = make_folder(tmp_path / "m", {})
    (folder / "config.json").write_bytes(text)
    with pytest.raises(ModelCorrupt, match=r"config\.json"):
        local_model(folder)


def test_a_folder_with_pickled_weights_only(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", {"model_type": "llama"})
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match=r"no \.safetensors weights \(pickled"):
        local_model(folder)


def test_what_is_not_there_or_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="does not exist"):
        local_model(tmp_path / "absent.gguf")
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ModelNotFound, match=r"is no \.gguf file"):
        local_model(tmp_path / "weights.bin")
    (tmp_path / "short.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelCorrupt, match="ends inside its header"):
        local_model(tmp_path / "short.gguf")


def test_what_is_a_path_and_what_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "here").mkdir(parents=True)
    assert as_local_path("org/here") == tmp_path / "org/here"
    assert as_local_path("org/name") is None
    assert as_local_path("./org/name") == tmp_path / "org/name"
    assert as_local_path("absent.GGUF") == tmp_path / "absent.GGUF"
    for name in ("", "smollm2-135m", "x" * 5000, "nul\0byte", "~nobody-of-this-name/model"):
        assert as_local_path(name) is None, name
