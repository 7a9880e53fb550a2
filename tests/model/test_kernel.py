"""The kernel of our own: its products, its whole passes, and how it is built."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import torch
from test_runtime_attention import model_with
from test_runtime_compact import model_of_levels, tokens
from test_runtime_half import always, linears, logits_of, some_matrix
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from model.decoding import CPU_CHUNK, Inputs
from model.runtime.attention import Attention
from model.runtime.compact import Weights, decoding_stack, fastest_weights, possible_weights
from model.runtime.fast_runtime import FastRuntime
from model.runtime.kernel import library
from model.runtime.kernel.layers import takes
from model.runtime.kernel.matrices import GROUP, PANEL, SCALE_BYTES, kernel_multiply, packed
from model.runtime.layers import embedded, run_layers
from model.runtime.plan import Matrix, plan_of
from model.runtime.row_costs import MOST_ROWS
from tests.needed_kernels import own_kernel

SHAPES = ((960, 576), (576, 1536), (16, 32), (301, 64))
HEADS = {"one to a key head": (4, 4, 32), "three": (9, 3, 64), "wide": (4, 2, 128), "five": (10, 2, 32)}


@pytest.fixture(params=[1, 2, 3])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def unpacked(blocks: torch.Tensor) -> torch.Tensor:
    n_panels, n_groups, _ = blocks.shape
    scales = blocks[..., :SCALE_BYTES].contiguous().view(torch.float16).float()
    numbers = blocks[..., SCALE_BYTES:].contiguous().view(torch.int8).view(n_panels, n_groups, GROUP, PANEL)
    return (numbers * scales.unsqueeze(2)).permute(0, 3, 1, 2).reshape(n_panels * PANEL, -1)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_is_off_by_half_a_scale_of_its_group(shape: tuple[int, int]) -> None:
    weight = some_matrix(*shape).weight
    off = (unpacked(packed(weight))[: len(weight)] - weight).abs().view(len(weight), -1, GROUP)
    scales = weight.view(len(weight), -1, GROUP).abs().amax(-1, keepdim=True) / 127
    assert (off <= 0.51 * scales).all()


def test_blocks_of_eight_bits_come_out_as_they_were() -> None:
    torch.manual_seed(0)
    steps = (torch.rand(48, 4, 1) / 100).half().float()
    numbers = torch.randint(-127, 128, (48, 4, GROUP))
    numbers[..., 0] = 127  # as each block of such a file has, there or with the other sign
    weight = (steps * numbers).view(48, -1)
    assert torch.equal(unpacked(packed(weight)), weight)


def test_nothing_stays_nothing() -> None:
    assert not unpacked(packed(torch.zeros(16, 64))).any()


@own_kernel
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 7, 130])
def test_the_product_is_that_of_the_packed_matrix(bias: bool, n_rows: int, n_threads: int) -> None:
    for shape in SHAPES:
        matrix = some_matrix(*shape, bias=bias)
        rows = torch.randn(n_rows, shape[1])
        exact = torch.nn.functional.linear(rows, unpacked(packed(matrix.weight))[: shape[0]], matrix.bias)
        torch.testing.assert_close(kernel_multiply(matrix)(rows), exact, atol=1e-5, rtol=1e-5)


@own_kernel
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_keeps_its_bits_beside_others(shape: tuple[int, int], n_threads: int) -> None:
    multiply = kernel_multiply(some_matrix(*shape))
    rows = torch.randn(11, shape[1])
    alone = torch.cat([multiply(row) for row in rows.split(1)])
    for begin, end in ((0, 2), (0, 3), (1, 5), (2, 9), (0, 11)):
        assert torch.equal(multiply(rows[begin:end]), alone[begin:end])


@own_kernel
def test_callers_take_turns() -> None:
    multiply = kernel_multiply(some_matrix(576, 1536))
    rows = torch.randn(8, 40, 1536)
    wanted = [multiply(some) for some in rows]
    got: list[list[torch.Tensor]] = [[] for _ in rows]

    def call(number: int) -> None:
        for _ in range(30):
            got[number].append(multiply(rows[number]))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for each, one in zip(got, wanted, strict=True):
        assert len(each) == 30 and all(torch.equal(some, one) for some in each)


@own_kernel
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_threads_of_its_own(n_threads: int) -> None:
    multiply, rows = kernel_multiply(some_matrix(576, 1536)), torch.randn(3, 1536)
    wanted = multiply(rows)
    child = os.fork()
    if child == 0:
        os._exit(int(not torch.equal(multiply(rows), wanted)))
    deadline_s = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def qwen() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 300}
    model = Qwen2ForCausalLM(Qwen2Config(num_attention_heads=4, num_key_value_heads=2, **sizes)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_()
    made: PreTrainedModel = model
    return made


MODELS = {name: lambda shape=shape: model_with(*shape, torch.float32) for name, shape in HEADS.items()} | {
    "with biases": qwen,
    "levels": model_of_levels,
}


@own_kernel
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 8, 9, 40, CPU_CHUNK])
@torch.inference_mode()
def test_a_pass_is_that_of_its_layers_by_torch(make: type, n_rows: int, n_threads: int) -> None:
    runtime = FastRuntime(make(), Weights.KERNEL)
    assert runtime._kernel is not None
    ids = [token % 300 for token in tokens(90 + n_rows)]
    runtime.prefill(Inputs((), None, tuple(ids[:90])), lambda: None)
    rows, cache = embedded(runtime._plan, ids[90:]), runtime._cache
    apart = replace(runtime._few, attention=Attention.APART)
    exact = run_layers(apart, rows.clone(), cache.slots(90, 90 + n_rows))
    wanted = cache.whole[0][:, :, 90 : 90 + n_rows].clone()
    cache.whole[0][:, :, 90 : 90 + n_rows] = 0
    cache.readied(90, 90 + n_rows)
    torch.testing.assert_close(runtime._kernel.run(rows, cache, 90), exact, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cache.whole[0][:, :, 90 : 90 + n_rows], wanted, atol=1e-4, rtol=1e-4)


@own_kernel
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_drafts_and_steps_say_the_same_to_the_last_bit(make: type, n_threads: int) -> None:
    ids = tuple(token % 300 for token in tokens(90))
    runtime = FastRuntime(make(), Weights.KERNEL)
    steps = logits_of(runtime, ids, 60)
    for lengths in ((4, 1, 2, 8, 3, 5, 7), (8, 8, 6, 8), (30,)):
        runtime.drop(len(steps))
        places = accumulate(lengths, initial=60)
        drafts = [runtime.verify(ids[at:end]) for at, end in pairwise(places)]
        assert torch.equal(torch.cat(drafts), steps)


@own_kernel
def test_a_prompt_says_the_same_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, Weights.KERNEL)
    ids = tuple(token % 300 for token in tokens(3 * CPU_CHUNK))
    runtime = FastRuntime(model_of_levels(), Weights.KERNEL)
    whole = runtime.prefill(Inputs((), None, ids), lambda: None)
    for kept in (1, 40, CPU_CHUNK + 3):
        runtime.drop(len(ids) - kept)
        assert torch.equal(runtime.prefill(Inputs((), None, ids), lambda: None), whole)


@own_kernel
def test_logits_are_nearer_than_those_of_torchs_eight_bits() -> None:
    ids = tokens(90)
    with torch.no_grad():
        plain = model_of_levels()(torch.tensor([ids])).logits[0, 60:]
    off = {
        weights: float((logits_of(FastRuntime(model_of_levels(), weights), ids, 60) - plain).abs().max())
        for weights in (Weights.KERNEL, Weights.INT8)
    }
    assert off[Weights.KERNEL] < off[Weights.INT8]
    assert off[Weights.KERNEL] < 0.03 * float(plain.abs().max())


@own_kernel
def test_a_module_that_none_else_reads_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, Weights.KERNEL)
    ids, model = tokens(90), model_of_levels()
    runtime = FastRuntime(model, Weights.KERNEL)
    before = logits_of(runtime, ids, 60)
    runtime.empty(model)
    assert {len(linear.weight) for layer in model.model.layers for linear in linears(layer)} == {0}
    assert torch.equal(logits_of(runtime, ids, 60), before)
    assert runtime.stack.attention is Attention.MASKED and runtime.stack.layers is runtime._few.layers


@own_kernel
def test_models_that_it_does_not_fit_take_another_format() -> None:
    narrow = plan_of(model_with(4, 2, 24, torch.float32))
    short = plan_of(model_of_levels().bfloat16())
    for plan in (narrow, short):
        assert not takes(plan) and Weights.KERNEL not in possible_weights(plan)
        with pytest.raises(ValueError, match="does not take this model"):
            decoding_stack(plan, Weights.KERNEL)
    with pytest.raises(ValueError, match=r"40 inputs, not a multiple of 32"):
        kernel_multiply(some_matrix(16, 40))
    with pytest.raises(ValueError, match=r"of torch.bfloat16, not torch.float32"):
        kernel_multiply(Matrix(torch.zeros(16, 64, dtype=torch.bfloat16)))


@own_kernel
def test_it_is_built_once(tmp_path: Path) -> None:
    path = library.built(tmp_path / "kernels")
    written = path.stat().st_mtime_ns
    assert library.built(tmp_path / "kernels") == path and path.stat().st_mtime_ns == written
    assert [each.name for each in (tmp_path / "kernels").iterdir()] == [path.name]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """As if nothing had been built yet."""
    folder = tmp_path / "kernels"
    monkeypatch.setattr(library, "default_folder", lambda: folder)
    library._found.cache_clear()
    yield folder
    library._found.cache_clear()


def test_without_a_compiler_torchs_kernels_are_taken(
    monkeypatch: pytest.MonkeyPatch, fresh: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "why_not_here", lambda: None)
    monkeypatch.setattr(library, "COMPILERS", (fresh / "cc",))
    with caplog.at_level(logging.INFO):
        plan = plan_of(model_of_levels())
        assert fastest_weights(plan) is not Weights.KERNEL
        assert library.library() is None
    assert [each.message for each in caplog.records if "by torch's kernels" in each.message] == [
        "passes run by torch's kernels, not by our own: it could not be built: "
        "no C compiler in /usr/bin or /usr/local/bin; install gcc or clang"
    ]
    with pytest.raises(ValueError, match="there is no kernel on this machine"):
        kernel_multiply(some_matrix(16, 32))


@own_kernel
def test_what_the_compiler_says_is_told(
    monkeypatch: pytest.MonkeyPatch, fresh: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.c"
    wrong.write_text("int hef_scratch(")
    monkeypatch.setattr(library, "SOURCE", wrong)
    with caplog.at_level(logging.INFO):
        assert library.library() is None
    assert "it could not be built" in caplog.text and "wrong.c" in caplog.text
    assert list(fresh.iterdir()) == []


@own_kernel
def test_a_compiler_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("cc", library.LONGEST_BUILD_S)

    monkeypatch.setattr(library.subprocess, "run", hang)
    assert library.library() is None


def test_what_cannot_be_loaded_is_no_kernel(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
    monkeypatch.setattr(library, "why_not_here", lambda: None)
    fresh.mkdir()
    broken = fresh / "broken.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(library, "built", lambda _: broken)
    assert library.library() is None


@own_kernel
@pytest.mark.parametrize("opened", ["folder", "library"])
def test_what_others_could_have_written_is_not_run(
    fresh: Path, caplog: pytest.LogCaptureFixture, opened: str
) -> None:
    path = library.built(fresh)
    (path if opened == "library" else fresh).chmod(0o777)
    with caplog.at_level(logging.INFO):
        assert library.library() is None
    assert "others may write to" in caplog.text
    (path if opened == "library" else fresh).chmod(0o700)
    library._found.cache_clear()
    assert library.library() is not None


@own_kernel
def test_a_compiler_on_the_path_is_not_run(
    monkeypatch: pytest.MonkeyPatch, fresh: Path, tmp_path: Path
) -> None:
    planted, ran = tmp_path / "bin" / "cc", tmp_path / "ran"
    planted.parent.mkdir()
    planted.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CC", str(planted))
    monkeypatch.setenv("GCC_EXEC_PREFIX", f"{planted.parent}/")
    assert library.library() is not None
    assert not ran.exists()


def test_other_machines_have_none(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
    monkeypatch.setattr(library.platform, "machine", lambda: "arm64")
    assert "arm64" in (library.why_not_here() or "")
    assert library.library() is None
    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert library.why_not_here() == "this processor lacks AVX2"


@own_kernel
def test_prompts_and_steps_are_read_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, Weights.KERNEL)
    runtime = FastRuntime(model_of_levels(), Weights.KERNEL)
    runtime.warm_up()
    assert runtime.row_costs.n_few == MOST_ROWS and runtime.n_positions == 0
