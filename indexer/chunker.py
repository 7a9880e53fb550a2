"""Source text to chunks: runs of whole lines, cut at syntactic borders, small enough to compress at once.

Owns the choice among borders and the comparison of two lists of chunks. Where the
borders are is `indexer.borders`. Any thread may call; nothing is kept between calls.

What holds for every file:

- chunks are in order, never overlap, and cover every line that is not blank, save lines
  over 4096 characters (data, not code), which are left out and always part two chunks;
- a chunk's text is its lines joined by ``\\n``, whatever ended them in the file, without
  blank lines at either end, so that its digest does not depend on the line endings;
- a chunk has at most `max_tokens`, unless it is one line that alone has more;
- an edit changes few chunks: cuts depend on what stands near them, not on how much stands
  before. Definitions begin anew once a chunk has some substance; elsewhere the cut falls
  on the best border of a window, ties broken by the digest of the line, so that two
  versions of a file fall into step again soon after an insertion.

Tokens are counted line by line, with one for each line end; joined lines never have
noticeably more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from zlib import crc32

from indexer.borders import LINE_LEVEL, Border, syntax_borders
from indexer.chunk import NO_LANGUAGE, Chunk, make_chunk
from indexer.grammars import grammar_of

# Raise it when the same text may give other chunks: the store then cuts every file again.
CHUNKER_VERSION = 1

TokenCounter = Callable[[Sequence[str]], list[int]]

_LINE_END = re.compile(r"\r\n|\n|\r")
# Lines of brackets and the words that close or continue a block belong to what stands above.
_CLOSER = re.compile(
    r"\s*(?:[()\[\]{}<>;,]|(?:end|else|finally|fi|done|esac)\b|#endif\b)"
    r"(?:[()\[\]{}<>;,:\s]|else\b|finally\b)*(?://.*|#.*)?"
)
_LONGEST_LINE = 4096
# A definition begins a new chunk once the present one has this share of the limit ...
_SUBSTANCE = 0.25
# ... or, whatever it has, if its first lines say so: one in so many does. Without this a row of
# tiny functions would be grouped by how many stand before, and an edit would shift all groups.
_STEP = 4
# Any other cut is made past this share of the limit, or, before a definition, past a token header.
_LEAST_FILL = 0.5
_LEAST_HEADER = 0.06


@dataclass(frozen=True)
class ChunkDiff:
    """What two versions of a file have in common: `kept` chunks, wherever they moved."""

    kept: int
    added: tuple[Chunk, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A file ready to be cut. `cost[i]` is the number of tokens in the lines before line i."""

    lines: tuple[str, ...]
    cost: tuple[int, ...]

    def n_tokens(self, start: int, end: int) -> int:
        """Of the lines [start, end), with the line ends between them."""
        return self.cost[end] - self.cost[start] - 1

    def is_blank(self, line: int) -> bool:
        return not self.lines[line].strip()

    def is_left_out(self, line: int) -> bool:
        return len(self.lines[line]) > _LONGEST_LINE


@dataclass(frozen=True)
class _Piece:
    """Lines [start, end) that are not to be parted, without blank ends; `border` is at their start."""

    start: int
    end: int
    border: Border


def chunk_source(
    path: str, language: str | None, text: str, count_tokens: TokenCounter, max_tokens: int = 128
) -> list[Chunk]:
    """The chunks of `text`, in order. Never raises for what the text holds."""
    source = _read(text, count_tokens)
    grammar = grammar_of(language)
    borders = {} if grammar is None else syntax_borders(grammar, source.lines, source.cost, max_tokens)
    return [
        _chunk(path, language, source, start, end)
        for first, last in _stretches(source)
        for start, end in _cuts(source, _pieces(source, borders, first, last, max_tokens), max_tokens)
    ]


def diff_chunks(old: Sequence[str], new: Sequence[Chunk]) -> ChunkDiff:
    """Compares as multisets of digests, so that moved chunks are kept and copies are counted."""
    spare = Counter(old)
    added = []
    for chunk in new:
        if spare[chunk.digest] > 0:
            spare[chunk.digest] -= 1
        else:
            added.append(chunk)
    removed = tuple(spare.elements())
    return ChunkDiff(len(old) - len(removed), tuple(added), removed)


def _read(text: str, count_tokens: TokenCounter) -> _Source:
    """Splits `text` and counts its lines in one batch; lines that repeat are counted once."""
    lines = tuple(_LINE_END.split(text))
    distinct = [line for line in dict.fromkeys(lines) if line.strip() and len(line) <= _LONGEST_LINE]
    counts = dict(zip(distinct, count_tokens(distinct) if distinct else [], strict=True))
    cost = accumulate((counts.get(line, 0) + 1 for line in lines), initial=0)
    return _Source(lines, tuple(cost))


def _stretches(source: _Source) -> Iterator[tuple[int, int]]:
    """The runs of lines [first, last) between lines that are left out, without blank ends."""
    first = 0
    for line in range(len(source.lines) + 1):
        if line < len(source.lines) and not source.is_left_out(line):
            continue
        start, end = _trim(source, first, line)
        if start < end:
            yield start, end
        first = line + 1


def _trim(source: _Source, start: int, end: int) -> tuple[int, int]:
    while start < end and source.is_blank(start):
        start += 1
    while start < end and source.is_blank(end - 1):
        end -= 1
    return start, end


def _pieces(
    source: _Source, borders: dict[int, Border], first: int, last: int, max_tokens: int
) -> list[_Piece]:
    """[first, last) cut at every border, and at every line where a piece would be too large."""
    marks = [(first, borders.get(first, Border(0, False)))]
    marks += [(line, borders[line]) for line in sorted(borders) if first < line < last]
    pieces = []
    for (start, border), stop in zip(marks, [*(line for line, _ in marks[1:]), last], strict=True):
        piece = _Piece(start, _trim(source, start, stop)[1], border)
        if source.n_tokens(start, piece.end) > max_tokens:
            inner = [line for line in range(start + 1, piece.end) if not source.is_blank(line)]
            pieces.append(_Piece(start, start + 1, border))
            pieces.extend(_Piece(line, line + 1, Border(LINE_LEVEL, False)) for line in inner)
        else:
            pieces.append(piece)
    return pieces


def _cuts(source: _Source, pieces: list[_Piece], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Joins neighbouring pieces into chunks [start, end)."""
    i = 0
    while i < len(pieces):
        stop = _next_cut(source, pieces, i, max_tokens)
        yield pieces[i].start, pieces[stop - 1].end
        i = stop


def _next_cut(source: _Source, pieces: list[_Piece], i: int, max_tokens: int) -> int:
    """Which piece begins the chunk after the one that begins with piece `i`."""
    start = pieces[i].start
    stop = i + 1
    while stop < len(pieces) and source.n_tokens(start, pieces[stop].end) <= max_tokens:
        share = source.n_tokens(start, pieces[stop - 1].end) / max_tokens
        if _begins_anew(source, pieces[stop], share):
            return stop
        stop += 1
    if stop == len(pieces):
        return stop
    candidates = []
    for k in range(i + 1, stop + 1):
        least = _LEAST_HEADER if pieces[k].border.strong else _LEAST_FILL
        if source.n_tokens(start, pieces[k - 1].end) >= least * max_tokens:
            candidates.append(k)
    return min(candidates, key=lambda k: _badness(source, pieces[k], k), default=stop)


def _begins_anew(source: _Source, piece: _Piece, share: float) -> bool:
    """Whether `piece` begins a chunk although the present one, with `share` of the limit, has room for it."""
    if not piece.border.strong or share < _LEAST_HEADER or _is_closer(source, piece.start):
        return False
    head = "\n".join(source.lines[piece.start : min(piece.end, piece.start + 2)])
    return share >= _SUBSTANCE or crc32(head.encode("utf-8", "replace")) % _STEP == 0


def _badness(source: _Source, piece: _Piece, place: int) -> tuple[bool, bool, int, bool, int]:
    """Orders the cuts before pieces, best first: definitions, then shallow, after a blank line, by digest.

    Among definitions the last of the window wins, so that small ones stay together.
    """
    closer = _is_closer(source, piece.start)
    strong = piece.border.strong and not closer
    after_blank = piece.start > 0 and source.is_blank(piece.start - 1)
    tie = -place if strong else crc32(source.lines[piece.start].strip().encode("utf-8", "replace"))
    return closer, not strong, piece.border.level, not after_blank, tie


def _is_closer(source: _Source, line: int) -> bool:
    return _CLOSER.fullmatch(source.lines[line]) is not None


def _chunk(path: str, language: str | None, source: _Source, start: int, end: int) -> Chunk:
    text = "\n".join(source.lines[start:end])
    return make_chunk(path, language or NO_LANGUAGE, start, end, text, source.n_tokens(start, end))
