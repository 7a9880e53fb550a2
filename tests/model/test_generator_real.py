"""The embedded model itself: it loads, completes sensibly, and reuses what it has read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from model.exact_memory import Kin, Match, TrackRecord
from model.gate import gate_for
from model.generator import HfGenerator
from model.loading import load_language_model
from model.local_files import local_model
from model.protocols import Generation, NeverCancelled, Prompt, StopMode, StopReason, StopRule
from model.runtime.fast_runtime import FastRuntime

pytestmark = pytest.mark.real_model

PREFIX = (
    "import json\n\n\n"
    'def read_settings(path):\n    """The settings in a JSON file."""\n'
    "    with open(path) as file:\n"
)


@pytest.fixture(scope="module")
def generator(embedded_model_path: Path) -> HfGenerator:
    return HfGenerator(load_language_model(local_model(embedded_model_path), "cpu"))


def test_it_completes_a_line_and_reuses_its_cache(generator: HfGenerator) -> None:
    assert (generator.hidden_size, generator.context_window, generator.fim) == (576, 8192, None)
    prefix = PREFIX + "        return json"
    ids = tuple(generator.tokenizer.encode(prefix))
    got = generator.generate(Prompt(ids), StopRule(24, prefix=prefix), NeverCancelled())
    assert got.text == ".load(file)"
    assert got.stop_reason in (StopReason.LINE, StopReason.END_OF_TEXT)
    again = tuple(generator.tokenizer.encode(prefix + "."))
    typed = generator.generate(Prompt(again), StopRule(24, prefix=prefix + "."), NeverCancelled())
    assert typed.text == "load(file)"
    assert typed.n_prefilled <= 3


def test_a_block_ends_with_its_indentation(generator: HfGenerator) -> None:
    prefix = "def add(a, b):"
    ids = tuple(generator.tokenizer.encode(prefix))
    got = generator.generate(Prompt(ids), StopRule(80, StopMode.BLOCK, prefix), NeverCancelled())
    first, *body = got.text.split("\n")
    assert got.stop_reason is StopReason.BLOCK and first == ""
    assert body and all(line.startswith("    ") for line in body if line)


def test_source_text_survives_its_tokenizer(generator: HfGenerator) -> None:
    text = Path(__file__).read_text(encoding="utf-8") + "é🎉\u2028\r\n\t<|im_end|>"
    assert generator.tokenizer.decode(generator.tokenizer.encode(text)) == text


class KnowsNothing:
    """The exact memory of an empty workspace."""

    record = TrackRecord()

    def matches(self, context: Sequence[int]) -> tuple[Match, ...]:
        return ()

    def kin(self, context: Sequence[int]) -> tuple[Kin, ...]:
        return ()


def test_an_answer_that_is_typed_along_is_not_decoded_anew(generator: HfGenerator) -> None:
    loaded = generator.loaded
    drafting = HfGenerator(loaded, gate_for("smollm2-135m"), FastRuntime(loaded.model))

    def answer(prefix: str) -> Generation:
        prompt = Prompt(tuple(generator.tokenizer.encode(prefix)), memory=KnowsNothing())
        return drafting.generate(prompt, StopRule(24, prefix=prefix), NeverCancelled())

    whole = answer(PREFIX + "        return ")
    for n_typed in (2, 3, 4):
        typed = answer(PREFIX + "        return " + whole.text[:n_typed])
        assert whole.text[:n_typed] + typed.text == whole.text
        assert typed.n_forwards < whole.n_forwards / 2
