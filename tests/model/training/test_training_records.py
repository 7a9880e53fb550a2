"""Records on disk, and the examples made of them."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import load_tiny_model

from model.protocols import FimOrder, FimTemplate
from model.tokenization import HfTokenizer
from model.training.batches import Example, Sizes, make_batch
from model.training.examples import ExampleMaker, ExamplePlan
from model.training.records import Record, RecordFile, Repository, read_repositories, write_repositories

FIM = FimTemplate("<|fim_prefix|>", "<|fim_suffix|>", "", FimOrder.SUFFIX_PREFIX, ("<|im_end|>",))
SOURCE = (
    "def area(width, height):\n    return width * height\n\n\n"
    "def volume(a, b, c):\n    return area(a, b) * c\n"
)
OTHER = "import shapes\n\n\ndef show(box):\n    print(shapes.area(box.width, box.height))\n"


def repository(sees_suffix: bool = False) -> Repository:
    files = (
        RecordFile("shapes.py", SOURCE, ((0, 2), (4, 6))),
        RecordFile("show.py", OTHER, ((0, 1), (3, 5))),
    )
    offset = OTHER.index("    print")
    record = Record(1, offset, sees_suffix, True, ((0, 0), (0, 1)))
    return Repository("shapes", "MIT", files, (record,))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> HfTokenizer:
    return load_tiny_model(tmp_path_factory.mktemp("tiny"), fim=True).tokenizer


def maker(tokenizer: HfTokenizer, repo: Repository, **changes: object) -> ExampleMaker:
    plan = ExamplePlan(**({"no_context": 0.0, "foreign": 0.0, "fill_in": 1.0} | changes))  # type: ignore[arg-type]
    return ExampleMaker([repo], tokenizer, FIM, plan, random.Random(0))


def test_repositories_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.xz"
    assert write_repositories(path, [repository(), repository(True)]) == 2
    assert list(read_repositories(path)) == [repository(), repository(True)]


def test_utilities_come_back_and_older_files_have_none(tmp_path: Path) -> None:
    path, one = tmp_path / "records.jsonl.xz", repository()
    scored = replace(one, records=(replace(one.records[0], utility=-0.25),))
    write_repositories(path, [scored])
    assert list(read_repositories(path)) == [scored]
    text = lzma.decompress(path.read_bytes()).decode()
    older = text.replace('"format_version": 2', '"format_version": 1').replace(', "utility": -0.25', "")
    path.write_bytes(lzma.compress(older.encode()))
    assert list(read_repositories(path)) == [one]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.xz"
    write_repositories(path, [repository()])

    def torn() -> Iterator[Repository]:
        yield repository(True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_repositories(path, torn())
    assert list(read_repositories(path)) == [repository()]


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl.xz"
    path.write_bytes(lzma.compress(json.dumps({"format_version": 99}).encode()))
    with pytest.raises(ValueError, match="record format 99"):
        list(read_repositories(path))


def test_prompt_and_target_join_to_the_file(tokenizer: HfTokenizer) -> None:
    example = maker(tokenizer, repository()).task(as_text=False)
    text = tokenizer.decode([*example.prompt, *example.target])
    assert text == f"# show.py\n{OTHER}"[: len(text)]
    assert tokenizer.decode(example.prompt).endswith("def show(box):")
    assert [tokenizer.decode(chunk) for chunk in example.chunks] == [
        "def area(width, height):\n    return width * height",
        "def volume(a, b, c):\n    return area(a, b) * c",
    ]


def test_text_examples_show_the_chunks_and_have_no_nodes(tokenizer: HfTokenizer) -> None:
    example = maker(tokenizer, repository()).task(as_text=True)
    assert "# def area(width, height):" in tokenizer.decode(example.prompt)
    assert example.chunks == ()


def test_a_seen_suffix_stands_before_the_prefix_and_the_hole_ends_with_a_mark(tokenizer: HfTokenizer) -> None:
    example = maker(tokenizer, repository(True)).task(as_text=False)
    ids = list(example.prompt)
    suffix, prefix = tokenizer.special_id("<|fim_suffix|>"), tokenizer.special_id("<|fim_prefix|>")
    assert ids[0] == suffix
    assert suffix is not None
    assert prefix in ids
    assert example.target[-1] == tokenizer.special_id("<|im_end|>")
    hole = tokenizer.decode(example.target[:-1])
    assert hole.strip("\n") == "    print(shapes.area(box.width, box.height))"


def test_names_that_only_the_context_has_weigh_most(tokenizer: HfTokenizer) -> None:
    example = maker(tokenizer, repository()).task(as_text=False)
    pieces = [tokenizer.decode([number]) for number in example.target]
    weights = dict(zip(pieces, example.weights, strict=True))
    text = "".join(pieces)
    assert "area" in text
    begin = text.index("area")
    place, of_area = 0, []
    for piece, weight in zip(pieces, example.weights, strict=True):
        if place < begin + 4 and place + len(piece) > begin and piece.strip(" .("):
            of_area.append(weight)
        place += len(piece)
    assert max(of_area) == 3.0
    assert min(weights.values()) <= 1.0


def test_a_parent_takes_the_slot_of_one_of_its_chunks(tokenizer: HfTokenizer) -> None:
    made = maker(tokenizer, repository())
    example = made.task(as_text=False, with_parent=True)
    assert len(example.children) == 2
    assert example.levels[example.parent_slot] == 2
    assert 0 <= example.parent_slot < len(example.chunks)


def test_reconstruction_and_continuation_have_a_chunk_for_target(tokenizer: HfTokenizer) -> None:
    made = maker(tokenizer, repository())
    again = made.reconstruct()
    assert again.chunks == (again.target,)
    following = made.continue_chunk()
    assert tokenizer.decode(following.target) == "def volume(a, b, c):\n    return area(a, b) * c"
    assert tokenizer.decode(following.chunks[0]) == "def area(width, height):\n    return width * height"


def test_a_batch_cuts_prompts_at_the_left_and_targets_at_the_right() -> None:
    sizes = Sizes(n_rows=1, text=6, target=3, n_nodes=2, chunk=5, n_memory=2)
    example = Example((1, 2, 3, 4, 5), (6, 7, 8, 9), (1.0, 2.0, 3.0, 4.0), ((1, 2, 3, 4, 5),), (0,))
    batch = make_batch("dense", [example], sizes)
    assert batch.ids.tolist() == [[3, 4, 5, 6, 7, 8]]
    assert batch.n_prompt.tolist() == [3]
    assert batch.targets.tolist() == [[6, 7, 8]]
    assert batch.chunks.tolist() == [[[1, 2, 3, 0, 0], [0, 0, 0, 0, 0]]]
    assert batch.chunk_lengths.tolist() == [[3, 0]]
    assert batch.present.tolist() == [[True, False]]


def test_a_teacher_reads_the_chunks_where_a_pupil_has_their_vectors(tokenizer: HfTokenizer) -> None:
    example = maker(tokenizer, repository(), teaches=True).task(as_text=False)
    told, prompt = tokenizer.decode(example.told), tokenizer.decode(example.prompt)
    assert told.endswith(prompt) and "# def area(width, height):" in told and len(example.chunks) == 2
    assert maker(tokenizer, repository()).task(as_text=False).told == ()


def test_a_pair_differs_in_what_is_told_alone(tokenizer: HfTokenizer) -> None:
    one = repository()
    without, told = maker(tokenizer, one).pair(one, one.records[0])
    assert (without.target, without.weights) == (told.target, told.weights)
    assert tokenizer.decode(told.prompt).endswith(tokenizer.decode(without.prompt))
    assert "# def area" in tokenizer.decode(told.prompt)
    assert tokenizer.decode(without.target).endswith("print(shapes.area(box.width, box.height))\n")
