"""What was read beforehand is what a prompt would have read: tiny random models against their own passes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import ManualCancel

from model.decoding import Inputs
from model.generator import HfGenerator
from model.loading import LoadedModel
from model.protocols import NEVER, Generation, Interrupted, OpenText, Prompt, StopMode, StopRule
from model.readings.open_files import OpenFiles
from model.readings.reader import BEFORE, OpenFileReader
from model.readings.reading import PIECE, Reading, Run
from model.readings.standing import READ_ANYWAY
from model.runtime.compact import Weights
from model.runtime.fast_runtime import FastRuntime
from model.slot_pairs import SlotPairs
from model.slots.fuser import SlotFuser
from model.slots.projector import SlotProjector
from model.slots.reader import AGAIN, SlotReader, introduction_of
from tests.tiny_models import load_tiny_model

LINES = [f"    total_{number} = first_{number % 7} + second_{number % 5}\n" for number in range(17)]
CODE = "# app.py\ndef add():\n" + "".join(LINES)
MANY = 1 << 20
NEARLY = 0.9995
"""Cosine of logits: pairs are kept as bfloat16."""


class Parts:
    """A tiny model and its generator."""

    def __init__(self, folder: Path, family: str = "llama") -> None:
        self.loaded: LoadedModel = load_tiny_model(folder, family)
        self.runtime = FastRuntime(self.loaded.model, Weights.PLAIN)
        self.generator = HfGenerator(self.loaded, session=self.runtime)
        self.introduction = introduction_of(self.loaded.tokenizer)

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.loaded.tokenizer.encode(text))

    def read(self, text: str, name: str = "a", n_tokens: int = MANY) -> int:
        """Reads all that is to be read before the end of `text`; says how many pieces that took."""
        n_pieces = 0
        while self.generator.read_on(OpenText(name, text, ""), n_tokens, NEVER):
            n_pieces += 1
        return n_pieces

    def said(self, text: str, name: str = "a", **others: Any) -> Generation:
        """What it cost is what was foretold."""
        prompt = Prompt(self.ids(text), open_text=name, **others)
        rule = StopRule(max_tokens=6, mode=StopMode.BLOCK, prefix="x\n")
        foretold = self.generator.n_to_read(prompt)
        said = self.generator.generate(prompt, rule, NEVER)
        assert foretold == said.n_prefilled
        return said

    def slots(self, text: str) -> SlotPairs:
        tokenizer = self.loaded.tokenizer
        reader = SlotReader(self.runtime.stack, self.introduction, tokenizer.encode(AGAIN))
        fuser = SlotFuser(reader, tokenizer.encode_batch, "tiny", 4)
        found = SlotProjector(fuser.format).project(fuser.encode([text]), [0], 100)
        assert isinstance(found, SlotPairs)
        return found

    def logits(self, inputs: Inputs) -> torch.Tensor:
        self.runtime.clear()
        logits = self.runtime.prefill(inputs, lambda: None)
        assert isinstance(logits, torch.Tensor)
        return logits.float()

    def open_files(self) -> OpenFiles:
        reader = OpenFileReader(self.runtime.stack, self.introduction)
        return OpenFiles(reader, self.loaded.tokenizer.encode)


@pytest.fixture(params=["llama", "qwen2"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Parts:
    torch.set_num_threads(1)
    return Parts(tmp_path, request.param)


def test_read_beforehand_is_read_at_once(parts: Parts) -> None:
    text = CODE
    ids = parts.ids(text)
    assert 2 * PIECE < len(ids) < BEFORE
    files = parts.open_files()
    while files.read_on(OpenText("a", text, ""), MANY, NEVER):
        pass
    whole = Inputs(parts.introduction, None, ids)
    runs = files.runs_in("a", whole.keys, len(parts.introduction), len(whole.keys) - 5)
    assert [(run.begin, run.end) for run in runs] == [(len(parts.introduction), len(whole.keys) - 5)]
    at_once = parts.logits(whole)
    beforehand = parts.logits(Inputs(parts.introduction, None, ids, runs))
    assert torch.cosine_similarity(at_once, beforehand, dim=0) > NEARLY
    strange = parts.logits(Inputs(parts.introduction, None, (*ids[100:], *ids[:100]), ()))
    assert torch.cosine_similarity(at_once, strange, dim=0) < NEARLY


def test_a_prompt_is_looked_for_once_until_more_is_read(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks, look = [0], Reading.runs_in

    def counting(self: Reading, *where: Any) -> tuple[Run, ...]:
        n_looks[0] += 1
        return look(self, *where)

    monkeypatch.setattr(Reading, "runs_in", counting)
    files, keys = parts.open_files(), parts.ids(CODE)
    found = list[tuple[Run, ...]]()
    while files.read_on(OpenText("a", CODE, ""), MANY, NEVER):
        found += [files.runs_in("a", keys, 0, len(keys)), files.runs_in("a", keys, 0, len(keys))]
    assert all(one is other for one, other in zip(found[::2], found[1::2], strict=True))
    n_read = [sum(run.end - run.begin for run in runs) for runs in found[::2]]
    assert n_read == sorted(set(n_read)) and n_looks[0] == len(n_read) >= 2
    files.forget("a")
    assert files.runs_in("a", keys, 0, len(keys)) == ()


def test_a_prompt_reads_the_last_tokens_and_what_was_not_read(parts: Parts) -> None:
    plain = parts.said(CODE)
    assert plain.n_read_before == 0
    parts.generator.forget()
    parts.read(CODE)
    got = parts.said(CODE)
    n_all = len(parts.introduction) + len(parts.ids(CODE))
    assert 0 < got.n_prefilled <= READ_ANYWAY + len(parts.introduction)
    assert n_all - 4 <= got.n_reused + got.n_prefilled + got.n_read_before <= n_all
    again = parts.said(CODE)
    assert (again.n_prefilled, again.n_read_before) == (1, 0)
    assert again.token_ids == got.token_ids


def test_typing_on_reuses_the_cache(parts: Parts) -> None:
    parts.read(CODE)
    parts.said(CODE)
    typed = parts.said(CODE + "    total")
    assert typed.n_prefilled <= 6 and typed.n_read_before == 0


def test_behind_slots_and_behind_text(parts: Parts) -> None:
    parts.read(CODE)
    slots = parts.slots(LINES[3])
    told = parts.said(CODE, pseudo_tokens=slots)
    assert told.n_read_before > len(parts.ids(CODE)) - 2 * READ_ANYWAY
    assert told.n_prefilled <= READ_ANYWAY + len(parts.introduction)
    parts.runtime.clear()
    snippets = parts.loaded.tokenizer.decode(parts.introduction) + "# b.py\n# x = 1\n"
    text = parts.said(snippets + CODE)
    assert abs(told.n_read_before - text.n_read_before) <= 4  # where they meet, tokens are cut otherwise
    assert text.n_prefilled <= READ_ANYWAY + len(parts.ids(snippets))


def test_what_stands_before_slots_is_read_once(parts: Parts) -> None:
    parts.read(CODE)
    parts.said(CODE)
    told = parts.said(CODE, pseudo_tokens=parts.slots(LINES[3]))
    assert told.n_reused == len(parts.introduction) and told.n_prefilled <= READ_ANYWAY


def test_an_edit_leaves_the_rest_read(parts: Parts) -> None:
    n_pieces = parts.read(CODE)
    edited = CODE.replace("total_5 =", "total_five =")
    assert n_pieces >= 3 > parts.read(edited)
    assert parts.said(edited).n_prefilled <= READ_ANYWAY + len(parts.introduction)


def test_closed_it_is_forgotten_and_another_file_is_another(parts: Parts) -> None:
    parts.read(CODE)
    assert parts.said(CODE, "b").n_read_before == 0
    parts.runtime.clear()
    parts.generator.close_text("a")
    assert parts.said(CODE).n_read_before == 0


def test_only_so_many_tokens_are_kept_and_those_near_the_cursor(parts: Parts) -> None:
    most = 2 * PIECE
    parts.read(CODE, n_tokens=most)
    got = parts.said(CODE)
    assert 0 < got.n_read_before < most
    parts.runtime.clear()
    parts.read(CODE, "b", n_tokens=most)
    assert parts.said(CODE, "a").n_read_before == 0


def test_what_lies_after_the_cursor_is_read_too(parts: Parts) -> None:
    begin = CODE[: CODE.index("    total_5")]
    text = OpenText("a", begin, CODE[len(begin) :])
    while parts.generator.read_on(text, MANY, NEVER):
        pass
    assert parts.said(CODE).n_prefilled <= READ_ANYWAY + len(parts.introduction)


def test_a_cancel_stops_between_two_layers_and_nothing_is_lost(parts: Parts) -> None:
    cancel = ManualCancel()
    text = OpenText("a", CODE, "")
    assert parts.generator.read_on(text, MANY, cancel)
    cancel.cancel()
    with pytest.raises(Interrupted):
        parts.generator.read_on(text, MANY, cancel)
    parts.read(CODE)
    assert parts.said(CODE).n_prefilled <= READ_ANYWAY + len(parts.introduction)


def test_transformers_own_modules_read_nothing_beforehand(parts: Parts) -> None:
    plain = HfGenerator(parts.loaded)
    assert not plain.read_on(OpenText("a", CODE, ""), MANY, NEVER)
    plain.close_text("a")
