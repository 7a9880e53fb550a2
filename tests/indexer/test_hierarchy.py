"""The shape is a pure function of what is present, and a change costs only its own path."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.chunk import digest_of
from indexer.hierarchy import Hierarchy, NodeKind

names = st.sampled_from(["a", "b", "c", "main", "util"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join).map(lambda path: path + ".py")
digests = st.lists(st.integers(0, 30).map(lambda n: digest_of(str(n))), min_size=1, max_size=40)
states = st.dictionaries(paths, digests, max_size=8)


def picture(tree: Hierarchy) -> dict[str, object]:
    return {node.id: node for node in tree.nodes()}


def many_chunks(count: int, tag: str = "") -> list[str]:
    return [digest_of(tag, str(i)) for i in range(count)]


@given(st.lists(states, min_size=1, max_size=4))
@settings(deadline=None)
def test_update_equals_build(history: list[dict[str, list[str]]]) -> None:
    tree = Hierarchy.build({})
    for before, after in zip([{}, *history], history, strict=False):
        tree = tree.update({path: after.get(path) for path in before | after})
        assert picture(tree) == picture(Hierarchy.build(after))
        assert len(tree) == len(list(tree.nodes()))


crowds = st.sets(st.integers(0, 90), max_size=60)


@given(st.lists(st.tuples(crowds, st.integers(0, 2)), min_size=1, max_size=5), st.sampled_from(["", "pkg/"]))
@settings(deadline=None)
def test_update_equals_build_in_a_crowded_folder(history: list[tuple[set[int], int]], folder: str) -> None:
    """Groups come, go and flatten as the folder grows and shrinks by one file or by many."""
    tree, state = Hierarchy.build({}), dict[str, list[str]]()
    for numbers, salt in history:
        before, state = state, {f"{folder}{n}.py": many_chunks(1, f"{n}{salt * (n % 2)}") for n in numbers}
        differing = {p: state.get(p) for p in before | state if before.get(p) != state.get(p)}
        tree = tree.update(differing)
        assert picture(tree) == picture(Hierarchy.build(state))
        assert len(tree) == len(list(tree.nodes()))
        assert all(node.id in tree.node(node.parent).children for node in tree.nodes() if node.parent)


def test_a_deep_trie_grown_and_shrunk_in_batches_equals_build() -> None:
    """Hashes of one batch that begin alike: both ways are made again, to their ends."""
    state = {f"many/{n}.py": many_chunks(1, str(n)) for n in range(3_000)}
    paths, tree = list(state), Hierarchy.build({})
    for start in range(0, len(paths), 64):
        tree = tree.update({path: state[path] for path in paths[start : start + 64]})
    assert picture(tree) == picture(Hierarchy.build(state))
    for start in range(0, 2_000, 64):
        tree = tree.update(dict.fromkeys(paths[start : start + 64]))
    kept = {path: state[path] for path in paths[start + 64 :]}
    assert picture(tree) == picture(Hierarchy.build(kept))
    assert len(tree) == len(list(tree.nodes()))


@given(states)
@settings(deadline=None)
def test_families_are_small_and_parents_know_their_children(state: dict[str, list[str]]) -> None:
    tree = Hierarchy.build(state)
    for node in tree.nodes():
        assert len(node.children) <= Hierarchy.MAX_CHILDREN
        children = [tree.node(child) for child in node.children]
        assert all(child.parent == node.id for child in children)
        assert node.n_chunks == (1 if node.kind is NodeKind.CHUNK else sum(c.n_chunks for c in children))
        if node.kind is not NodeKind.CHUNK:
            assert node.digest == digest_of(node.kind.name, *(child.digest for child in children))
    assert tree.root.n_chunks == sum(map(len, state.values()))


@given(states)
@settings(deadline=None)
def test_a_parent_is_higher_than_its_children(state: dict[str, list[str]]) -> None:
    """So that fusing by height needs only what came before."""
    tree = Hierarchy.build(state)
    for node in tree.nodes():
        heights = [tree.node(child).height for child in node.children]
        assert node.height == (1 + max(heights) if heights else 0) or node is tree.root


def test_an_empty_workspace_has_a_root() -> None:
    tree = Hierarchy.build({})
    assert (len(tree), tree.root.kind, tree.root.n_chunks) == (1, NodeKind.REPOSITORY, 0)


def test_ancestors_lead_to_the_repository() -> None:
    tree = Hierarchy.build({"pkg/inner/a.py": many_chunks(2)})
    ids = [node.id for node in tree.ancestors("chunk:pkg/inner/a.py#1")]
    assert ids == ["file:pkg/inner/a.py", "directory:pkg/inner", "directory:pkg", "repository:"]


def test_a_new_file_among_many_dirties_one_path() -> None:
    state = {f"f{i}.py": many_chunks(1, str(i)) for i in range(1000)}
    before = Hierarchy.build(state)
    after = before.update({"new.py": many_chunks(1, "new")})
    known = {node.digest for node in before.nodes()}
    new = [node for node in after.nodes() if node.digest not in known]
    assert len(new) <= 2 + 6  # the chunk, the file, and one path of groups with the repository


def test_an_inserted_chunk_dirties_few_groups() -> None:
    digests = many_chunks(600)
    before = Hierarchy.build({"big.py": digests})
    for place in (0, 5, 300, 599, 600):
        after = before.update({"big.py": [*digests[:place], digest_of("new"), *digests[place:]]})
        known = {node.digest for node in before.nodes()}
        new = [node for node in after.nodes() if node.digest not in known]
        assert len(new) <= 16, (place, [node.id for node in new])


def test_only_the_changed_families_are_made_again() -> None:
    state = {f"pkg{i}/f{j}.py": many_chunks(3, f"{i}{j}") for i in range(20) for j in range(20)}
    before = Hierarchy.build(state)
    after = before.update({"pkg3/f4.py": many_chunks(4, "x")})
    kept = [path for path in before._files if after._files[path] is before._files[path]]
    assert len(kept) == 399
    assert [
        path for path in before._directories if after._directories[path] is not before._directories[path]
    ] == [
        "",
        "pkg3",
    ]


def test_a_folder_that_empties_is_gone() -> None:
    tree = Hierarchy.build({"a/b/c.py": many_chunks(1), "d.py": many_chunks(1)}).update({"a/b/c.py": None})
    assert "directory:a/b" not in tree
    assert "directory:a" not in tree
    assert "file:d.py" in tree


def test_a_file_that_becomes_a_folder() -> None:
    tree = Hierarchy.build({"a": many_chunks(20)}).update({"a": None, "a/b.py": many_chunks(20)})
    assert picture(tree) == picture(Hierarchy.build({"a/b.py": many_chunks(20)}))
