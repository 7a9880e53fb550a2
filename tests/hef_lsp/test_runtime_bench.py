"""The comparison with llama.cpp: equal work, each racer's figures, and a file that llama.cpp understands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import load_tiny_model, save_tiny_model
from typer.testing import CliRunner

from hef_lsp.bench import runtime as bench
from hef_lsp.cli import app
from model import loading
from model.adapter import AdapterConfig
from model.adapter_gguf import write_adapter
from model.local_files import LocalModel, local_model
from tests.needed_kernels import HAS_HALF


@pytest.fixture
def local(tmp_path: Path) -> LocalModel:
    save_tiny_model(tmp_path / "tiny")
    return local_model(tmp_path / "tiny")


def by_rote(prefill_ms: float, said_ms: float) -> Callable[..., tuple[float, float]]:
    return lambda *_: (prefill_ms, said_ms)


def test_ours_is_set_against_llama_cpp_at_the_same_work(
    local: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = bench.N_SAID - 1
    racers = {
        bench.BASELINE: by_rote(100.0, 10.0 * n),
        bench.BASELINE_ADAPTED: by_rote(200.0, 20.0 * n),
        "int4": by_rote(50.0, 12.0 * n),
        "int4, adapter": by_rote(50.0, 22.0 * n),
    }
    monkeypatch.setattr(bench, "_racers", lambda *_: (racers, [1, 2]))
    report = bench.measure_runtime(bench.RuntimePlan(local, "none", 1, None, n_rounds=2))
    assert report["int4"]["to_llama_cpp"]["token_min_ms"] == 1.2
    assert report["int4, adapter"]["to_llama_cpp"]["token_p50_ms"] == 1.1
    assert report["int4, adapter"]["to_llama_cpp"]["prefill_min_ms"] == 0.25
    assert "to_llama_cpp" not in report[bench.BASELINE_ADAPTED]
    assert bench.runtime_table(report).row_count == 4


def test_our_runtime_reads_and_says(local: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "N_PROMPT", 40)
    monkeypatch.setattr(loading, "fastest_cpu_dtype", lambda _: torch.float32)
    report = bench.measure_runtime(bench.RuntimePlan(local, "none", 1, None, n_rounds=2))
    assert set(report) == {"int4", "int8", *(["half"] if HAS_HALF else [])}
    assert all(figures["token_min_ms"] > 0 for figures in report.values())


def test_a_folder_is_no_file_for_llama_cpp(local: LocalModel, tmp_path: Path) -> None:
    with pytest.raises(bench.NoRuntime, match="is no GGUF file"):
        bench.measure_runtime(bench.RuntimePlan(local, "none", 1, tmp_path))


def test_the_command_keeps_its_figures(tmp_path: Path, local: LocalModel) -> None:
    file = tmp_path / "figures.json"
    arguments = ["--model", str(local.path), "--rounds", "1", "--threads", "1", "--checkpoint", "none"]
    done = CliRunner().invoke(app, ["bench", "runtime", *arguments, "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert '"racers"' in file.read_text()


def test_an_adapters_file_has_the_names_and_the_rows_that_llama_cpp_wants(tmp_path: Path) -> None:
    """transformers undoes the order of rows when it reads a file; so must the test."""
    from gguf import GGUFReader

    model = load_tiny_model(tmp_path / "tiny").model
    n_heads, n_kv = model.config.num_attention_heads, model.config.num_key_value_heads
    attention = model.model.layers[0].self_attn
    tensors = {}
    for target, linear in (
        ("q_proj", attention.q_proj),
        ("k_proj", attention.k_proj),
        ("v_proj", attention.v_proj),
    ):
        n_out, n_in = linear.weight.shape
        tensors[f"adapter.layers.0.{target}.down"] = torch.randn(2, n_in)
        tensors[f"adapter.layers.0.{target}.up"] = torch.randn(n_out, 2)
    config = AdapterConfig(2, 4.0, ("q_proj", "k_proj", "v_proj"))
    assert (
        write_adapter(tmp_path / "a.gguf", config, {**tensors, "fuser.x": torch.zeros(1)}, n_heads, n_kv) == 6
    )
    reader = GGUFReader(tmp_path / "a.gguf")
    found = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert float(reader.fields["adapter.lora.alpha"].contents()) == 4.0
    assert np.allclose(found["blk.0.attn_v.weight.lora_b"], tensors["adapter.layers.0.v_proj.up"].numpy())
    assert np.allclose(found["blk.0.attn_q.weight.lora_a"], tensors["adapter.layers.0.q_proj.down"].numpy())
    for name, heads, target in (("attn_q", n_heads, "q_proj"), ("attn_k", n_kv, "k_proj")):
        rows = found[f"blk.0.{name}.weight.lora_b"]
        undone = rows.reshape(heads, rows.shape[0] // heads // 2, 2, 2).swapaxes(2, 1).reshape(rows.shape)
        assert np.allclose(undone, tensors[f"adapter.layers.0.{target}.up"].numpy())
