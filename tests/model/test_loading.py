"""Models from disk: what loads, what is refused and with which words, and that nothing is printed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_models import (
    CONTEXT_WINDOW,
    EOS,
    FIM_MARKS,
    HIDDEN_SIZE,
    IM_END,
    break_config,
    load_tiny_model,
    save_tiny_gguf,
    save_tiny_model,
)
from transformers import AutoModelForCausalLM

from model import loading
from model.errors import ModelCorrupt, ModelNotFound, ModelTooLarge, ModelUnavailable
from model.generator import HfGenerator
from model.gguf_conversion import RECORD_NAME, converted_folder, ensure_converted, is_valid, load_gguf
from model.loading import _move, limit_device_memory, load_language_model, pick_device
from model.local_files import LocalModel, local_model
from model.protocols import NeverCancelled, Prompt, StopMode, StopRule

PROMPT = "def add(first, second):\n    return first"


def tokens_said(local: LocalModel) -> tuple[int, ...]:
    loaded = load_language_model(local, "cpu")
    loaded.model.to(torch.float32)
    prompt = Prompt(tuple(loaded.tokenizer.encode(PROMPT)))
    rule = StopRule(8, StopMode.BLOCK, "x\n")
    return HfGenerator(loaded).generate(prompt, rule, NeverCancelled()).token_ids


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    save_tiny_gguf(path)
    return path


def test_a_folder_loads_ready_to_run(tmp_path: Path) -> None:
    loaded = load_language_model(save_tiny_model(tmp_path / "m", "qwen2", fim=True), "cpu")
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.dtype in (torch.float32, torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {loaded.dtype}
    assert (loaded.hidden_size, loaded.context_window, loaded.device) == (HIDDEN_SIZE, CONTEXT_WINDOW, "cpu")
    assert loaded.fim is not None


def test_every_token_that_ends_a_text_is_known(tmp_path: Path) -> None:
    """Those of tokenizer, config, generation config (a list), and of the family's FIM marks."""
    plain = load_language_model(save_tiny_model(tmp_path / "plain"), "cpu").tokenizer
    fim = load_language_model(save_tiny_model(tmp_path / "fim", fim=True), "cpu").tokenizer
    assert plain.eos_ids == {plain.special_id(EOS), plain.special_id(IM_END)}
    assert fim.eos_ids == {fim.special_id(token) for token in (EOS, IM_END, *FIM_MARKS)}


def test_threads_are_set_when_asked(tmp_path: Path) -> None:
    local = save_tiny_model(tmp_path / "m")
    before = torch.get_num_threads()
    try:
        load_language_model(local, "cpu", threads=before + 1)
        assert torch.get_num_threads() == before + 1
        load_language_model(local, "cpu", threads=0)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_the_trial_prefers_float32_unless_bfloat16_is_clearly_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_tiny_model(tmp_path / "m").model.config
    for ratio, expected in ((2.0, torch.bfloat16), (1.1, torch.float32), (0.2, torch.float32)):
        seconds = {torch.float32: ratio, torch.bfloat16: 1.0}
        monkeypatch.setattr(loading, "_trial_seconds", lambda dtype, *_, seconds=seconds: seconds[dtype])
        assert loading.fastest_cpu_dtype(config) is expected


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(
        ModelUnavailable, match=r"'warp' cannot be used here.*set model.device to auto or cpu"
    ):
        pick_device("warp")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused() -> None:
    with pytest.raises(ModelUnavailable, match="'cuda' cannot be used here"):
        pick_device("cuda")


def test_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds no config\.json"):
        load_language_model(LocalModel("x", tmp_path, None, None), "cpu")


def test_truncated_weights(tmp_path: Path) -> None:
    local = save_tiny_model(tmp_path / "m")
    weights = local.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelCorrupt, match=r"cannot be loaded \(.+\); fetch or save it again"):
        load_language_model(local, "cpu")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model_type": "no-such-thing"}'])
def test_unreadable_config(tmp_path: Path, content: str) -> None:
    local = save_tiny_model(tmp_path / "m")
    (local.path / "config.json").write_text(content)
    with pytest.raises(ModelCorrupt, match="fetch or save it again"):
        load_language_model(local, "cpu")


def test_a_broken_tokenizer(tmp_path: Path) -> None:
    local = save_tiny_model(tmp_path / "m")
    (local.path / "tokenizer.json").write_text('{"version": "1.0", "model": 3}')
    with pytest.raises(ModelCorrupt):
        load_language_model(local, "cpu")


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    """transformers fills absent weights with random numbers and only warns."""
    local = save_tiny_model(tmp_path / "m")
    break_config(local.path, num_hidden_layers=3)
    with pytest.raises(ModelCorrupt, match=r"lacks 9 of the model's weights \(model\.layers\.2"):
        load_language_model(local, "cpu")


def test_weights_of_another_shape(tmp_path: Path) -> None:
    local = save_tiny_model(tmp_path / "m")
    break_config(local.path, hidden_size=64)
    with pytest.raises(ModelCorrupt):
        load_language_model(local, "cpu")


def test_a_model_whose_state_cannot_be_rewound(tmp_path: Path) -> None:
    local = save_tiny_model(tmp_path / "m", "qwen2")
    loaded = load_language_model(local, "cpu")
    loaded.model.config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(ModelUnavailable, match="linear_attention"):
        loading._check_croppable(loaded.model.config)


def test_memory_that_runs_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = save_tiny_model(tmp_path / "m")

    def no_memory(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", no_memory)
    with pytest.raises(ModelTooLarge, match=r"does not fit the memory.*choose a smaller model"):
        load_language_model(local, "cpu")


def test_a_gguf_loads_and_is_converted_once(gguf: Path) -> None:
    first = tokens_said(local_model(gguf))
    folder = converted_folder(gguf)
    made = (folder / RECORD_NAME).stat().st_mtime_ns
    assert is_valid(gguf, folder)
    assert tokens_said(local_model(gguf)) == first
    assert (folder / RECORD_NAME).stat().st_mtime_ns == made
    assert sorted(path.name for path in gguf.parent.iterdir()) == ["tiny.gguf", "tiny.gguf.converted"]


def test_the_conversion_is_the_file_s_model(gguf: Path) -> None:
    folder = ensure_converted(gguf)
    assert folder is not None
    direct, _ = load_gguf(gguf)
    converted = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    weights = converted.state_dict()
    assert weights.keys() == direct.state_dict().keys()
    for name, tensor in direct.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=2**-11, atol=1e-7)


def test_another_file_under_the_same_name_is_converted_anew(gguf: Path) -> None:
    first = tokens_said(local_model(gguf))
    save_tiny_gguf(gguf, seed=5)
    assert tokens_said(local_model(gguf)) != first


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "record", "extra"])
def test_a_damaged_conversion_is_made_anew(gguf: Path, damage: str) -> None:
    first = tokens_said(local_model(gguf))
    folder = converted_folder(gguf)
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "flip":
        data = bytearray(weights.read_bytes())
        data[-50] ^= 0xFF
        weights.write_bytes(bytes(data))
    elif damage == "gone":
        weights.unlink()
    elif damage == "record":
        (folder / RECORD_NAME).write_text("{")
    else:
        (folder / "leftover.txt").write_text("x")
    assert tokens_said(local_model(gguf)) == first
    assert is_valid(gguf, folder)


def test_a_conversion_that_looks_whole_but_does_not_load_is_made_anew(gguf: Path) -> None:
    first = tokens_said(local_model(gguf))
    folder = converted_folder(gguf)
    (folder / "config.json").write_text("{}")
    record = json.loads((folder / RECORD_NAME).read_text())
    from model.gguf_conversion import _record

    record.update(_record(gguf, folder))
    (folder / RECORD_NAME).write_text(json.dumps(record))
    assert is_valid(gguf, folder)
    assert tokens_said(local_model(gguf)) == first


def test_what_a_killed_conversion_left_is_removed(gguf: Path) -> None:
    abandoned, running = (gguf.with_name(f"{gguf.name}.converted.{end}") for end in ("old", "new"))
    for folder in (abandoned, running):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    tokens_said(local_model(gguf))
    assert not abandoned.exists() and running.exists()


def test_a_folder_that_cannot_be_written_still_serves(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokens_said(local_model(gguf))
    shutil.rmtree(converted_folder(gguf))

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("model.gguf_conversion.tempfile.mkdtemp", refused)
    assert tokens_said(local_model(gguf)) == first
    assert not converted_folder(gguf).exists()


def test_a_truncated_gguf(gguf: Path) -> None:
    local = local_model(gguf)
    gguf.write_bytes(gguf.read_bytes()[:-64])
    with pytest.raises(ModelCorrupt, match="is cut short"):
        load_language_model(local, "cpu")


def test_a_gguf_of_an_unknown_architecture(gguf: Path) -> None:
    local = local_model(gguf)
    gguf.write_bytes(
        gguf.read_bytes().replace(
            b"\x05\x00\x00\x00\x00\x00\x00\x00llama", b"\x05\x00\x00\x00\x00\x00\x00\x00llamx"
        )
    )
    with pytest.raises(ModelCorrupt, match="cannot be loaded"):
        load_language_model(local, "cpu")
    assert [path.name for path in gguf.parent.iterdir()] == ["tiny.gguf"]


def test_loading_prints_nothing(gguf: Path) -> None:
    """stdout is the protocol, and a progress bar on stderr fills an editor's log."""
    tests = Path(__file__).resolve().parents[1]
    code = (
        f"import sys; sys.path[:0] = [{str(tests.parent)!r}]\n"
        "from pathlib import Path\n"
        "from model.loading import load_language_model\n"
        "from model.local_files import local_model\n"
        f"load_language_model(local_model(Path({str(gguf)!r})), 'cpu')\n"
        f"load_language_model(local_model(Path({str(gguf)!r})), 'cpu')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_rotary_frequencies_are_not_rounded_with_the_weights(tmp_path: Path) -> None:
    """In bfloat16 a frequency is off by up to 0.4 %, which turns a distant word by whole radians."""
    model = load_tiny_model(tmp_path / "tiny").model
    before = model.model.rotary_emb.inv_freq.clone()
    _move(model, torch.device("cpu"), torch.bfloat16)
    assert model.model.embed_tokens.weight.dtype is torch.bfloat16
    assert model.model.rotary_emb.inv_freq.dtype is torch.float32
    assert torch.equal(model.model.rotary_emb.inv_freq, before)


@pytest.mark.parametrize(("most_bytes", "share"), [(0, 1.0), (2 << 30, 0.25), (99 << 30, 1.0)])
def test_a_graphics_card_is_taken_only_so_far(
    most_bytes: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's own limit, which it keeps for the whole process; 0 takes an earlier one back."""
    limits: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=8 << 30)
    )
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: limits.append(given))
    limit_device_memory(torch.device("cuda:1"), most_bytes)
    assert limits == [(share, torch.device("cuda:1"))]


def test_main_memory_knows_no_such_limit() -> None:
    limit_device_memory(torch.device("cpu"), 1)
