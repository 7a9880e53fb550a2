"""Which positions of a prompt need no pass: they were read beforehand, or stood elsewhere in the last prompt.

Owns the choice between the two. What the cache keeps in its place is `model.runtime.fast_runtime`'s. For the
inference lane's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.decoding import Inputs
from model.readings.matching import SHORTEST_RUN, stretches_in
from model.readings.open_files import OpenFiles
from model.readings.reading import MOST_CUT_OTHERWISE, Run, worth_standing
from model.runtime.fast_runtime import FastRuntime
from model.runtime.pairs import Pairs
from model.same_start import n_same_from_start

READ_ANYWAY = 64
"""Tokens before the cursor that are read in any case, unless nothing but the window's beginning changed."""


@dataclass(frozen=True)
class FilePart:
    """The positions ``[begin, len - n_after)`` of a prompt are tokens of an open file before the cursor.

    Those ``[told)`` are what is told as text of other files, an introduction first.
    """

    name: str
    begin: int
    n_after: int
    told: tuple[int, int] = (0, 0)

    def moved_by(self, n_positions: int) -> FilePart:
        first, end = self.told
        return replace(self, begin=self.begin + n_positions, told=(first + n_positions, end + n_positions))


@dataclass(frozen=True, eq=False)
class _Gone:
    """With what the window of `name` began before it moved on: tokens, and their pairs."""

    name: str
    ids: tuple[int, ...]
    pairs: Pairs

    def standing(self, name: str, ids: Sequence[int], begin: int, n_left_out: int) -> list[Run]:
        """A run from `begin` on, if `ids` are it without the first `n_left_out`, but for the last few: where
        a window begins tokens may be cut otherwise."""
        n = n_same_from_start(self.ids[n_left_out:], ids)
        if name != self.name or n < SHORTEST_RUN or len(ids) - n > MOST_CUT_OTHERWISE:
            return []
        return [Run(begin, begin + n, (self.pairs.between(n_left_out, n_left_out + n),))]


class Standing:
    """Of one generator: `session` holds its last prompt, `open_files` what it read of files."""

    def __init__(self, session: FastRuntime, open_files: OpenFiles, introduction: Sequence[int]) -> None:
        """`introduction` are the token ids behind which files are read."""
        self._session, self._open_files = session, open_files
        self._introduction = tuple(introduction)
        self._last_keys: tuple[int, ...] = ()
        self._last_file = FilePart("", 0, 0)
        self._gone: _Gone | None = None

    def found(self, inputs: Inputs, file: FilePart, most: int) -> tuple[Inputs, FilePart]:
        """`inputs` with what stands; pairs that moved are not lifted yet. At most `most` positions.

        What was read beforehand was read behind the introduction, which so comes first.
        """
        shown, there = self._introduced(inputs, file)
        n_kept = self._session.n_shared(shown.keys)
        end = len(shown.keys) - there.n_after - READ_ANYWAY
        read = tuple[Run, ...]()
        if n_kept < end:
            read = self._open_files.runs_in(file.name, shown.keys, shown.places[1], end)
        is_shown_so = bool(read) or n_kept > self._session.n_shared(inputs.keys)
        if not is_shown_so or len(shown.keys) > most:
            shown, there, read = inputs, file, ()
            n_kept = self._session.n_shared(inputs.keys)
            end = len(inputs.keys) - file.n_after - READ_ANYWAY
        if there.begin <= n_kept < there.begin + SHORTEST_RUN:  # nothing but where the window begins
            moved = self._moved(shown, there, n_kept, len(shown.keys) - 1)
            moved = [
                *self._come_back(shown, there, n_kept, moved),
                *moved[:1],
                *_within(moved[1:], n_kept, end),
            ]
            return replace(shown, runs=_together(moved, read, n_kept)), there
        moved = self._moved(shown, there, n_kept, end)
        return replace(shown, runs=_together(read, moved, n_kept)), there

    def lifted(self, inputs: Inputs, file: FilePart) -> Inputs:
        """With the pairs of what moved, taken from the cache before anything is written there: `inputs` are
        read now."""
        self._keep_what_goes(inputs, file)
        self._last_keys, self._last_file = inputs.keys, file
        return replace(inputs, runs=tuple(self._lifted(run) for run in inputs.runs))

    def _keep_what_goes(self, inputs: Inputs, file: FilePart) -> None:
        """Looking ahead moves the window on, and the next key moves it back."""
        begin = self._last_file.begin
        moved = next((run for run in inputs.runs if not run.parts and run.begin >= file.begin), None)
        if moved is None or moved.begin >= file.begin + SHORTEST_RUN:
            return
        end = moved.source - (moved.begin - file.begin)  # both windows may begin with the same few tokens
        if end > begin:
            ids, pairs = tuple(self._session.keys[begin:end]), Pairs(self._session.lifted(begin, end))
            self._gone = _Gone(file.name, ids, pairs)

    def _come_back(self, inputs: Inputs, file: FilePart, n_kept: int, moved: Sequence[Run]) -> list[Run]:
        """What had gone, where the window begins with it again."""
        begin = max(n_kept, file.begin)
        if self._gone is None or not moved:
            return []
        ids = inputs.keys[begin : moved[0].begin]
        return self._gone.standing(file.name, ids, begin, begin - file.begin)

    def forget(self, name: str = "") -> None:
        """Drops what is kept of a file, or of any. Any thread."""
        gone = self._gone
        if gone is not None and name in ("", gone.name):
            self._gone = None

    def _lifted(self, run: Run) -> Run:
        if run.parts:
            return run
        return replace(
            run, parts=(Pairs(self._session.lifted(run.source, run.source + run.end - run.begin)),)
        )

    def _introduced(self, inputs: Inputs, file: FilePart) -> tuple[Inputs, FilePart]:
        is_introduced = inputs.ids[: len(self._introduction)] == self._introduction
        if inputs.slots or is_introduced:
            return inputs, file
        shown = Inputs(self._introduction, inputs.rows, inputs.ids)
        return shown, file.moved_by(len(self._introduction) - len(inputs.before))

    def _moved(self, inputs: Inputs, file: FilePart, n_kept: int, end: int) -> list[Run]:
        """What of the file, and of what is told as text, stood elsewhere in the last prompt.

        The file's path and the introduction are left out: what a prompt begins with draws attention wherever
        it stands then.
        """
        session, last = self._session, self._last_file
        is_known = 0 < last.begin <= session.n_shared(self._last_keys)
        if last.name != file.name or not is_known or not file.begin:
            return []
        n_intro = len(self._introduction)
        wanted = max(n_kept, file.told[0] + n_intro), min(file.told[1], end)
        told = self._found_in(inputs, wanted, (last.told[0] + n_intro, last.told[1]))
        own = self._found_in(inputs, (max(n_kept, file.begin), end), (last.begin, len(session.keys)))
        return [*told, *own]

    def _found_in(self, inputs: Inputs, wanted: tuple[int, int], known: tuple[int, int]) -> list[Run]:
        """Stretches of the positions `wanted` that stand among the positions `known` of the last prompt."""
        (begin, end), (first, last) = wanted, known
        if min(end - begin, last - first) < SHORTEST_RUN:
            return []
        ids = np.asarray(self._session.keys[first:last], dtype=np.int64)
        stretches = stretches_in(np.asarray(inputs.keys[begin:end], dtype=np.int64), ids)
        return [Run(begin + at, begin + stop, source=first + place) for at, stop, place in stretches]


def _together(first: Sequence[Run], others: Sequence[Run], begin: int) -> tuple[Run, ...]:
    """`first`, and `others` in the gaps between them, from left to right."""
    runs, at = list[Run](), begin
    for run in first:
        runs += [*_within(others, at, run.begin), run]
        at = max(at, run.end)
    most = max((run.end for run in others), default=at)
    return worth_standing([*runs, *_within(others, at, most)], begin)


def _within(runs: Sequence[Run], begin: int, end: int) -> list[Run]:
    return [part for run in runs if (part := run.within(begin, end)) is not None]
