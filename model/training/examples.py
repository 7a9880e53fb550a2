"""From records to examples: the product's own prompt, and targets cut where tokens really end.

Owns what a row of training looks like: which context it gets, how much is dropped, which target
tokens weigh more. The prompt is `model.prompt`'s and its last word is spelt again as in
`model.healing`, so that training sees what decoding sees.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from model.healing import Vocabulary
from model.prompt import PromptLimits, PromptPlan, Snippet, build_prompt
from model.protocols import FimTemplate
from model.tokenization import HfTokenizer
from model.training.batches import Example
from model.training.drawing import Drawing, Filter
from model.training.records import ChunkPlace, Record, Repository

CHUNK, GROUP, FILE = 0, 1, 2
_IDENTIFIER = re.compile(r"[A-Za-z_]\w{2,}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class ExamplePlan:
    """Sizes in tokens, shares of 1.

    `later_weight` is that of target tokens after the first line, `identifier_weight` that of names,
    `copy_weight` of names that the context has and the window has not, `first_weight` of the first token.
    `foreign` is the share of contexts of another repository, `chosen` the filter by utility; with `teaches`
    an example has the prompt with the context as text, too.
    """

    prefix_tokens: int = 384
    suffix_tokens: int = 96
    text_tokens: int = 512
    target_tokens: int = 64
    n_hits: int = 6
    no_context: float = 0.15
    foreign: float = 0.08
    fill_in: float = 0.6
    later_weight: float = 0.4
    identifier_weight: float = 1.5
    copy_weight: float = 3.0
    first_weight: float = 1.5
    chosen: Filter = field(default_factory=Filter)
    teaches: bool = False
    comment: str = "#"


class ExampleMaker:
    """Makes examples of the records of one process; draws from `source`."""

    def __init__(
        self,
        repositories: Sequence[Repository],
        tokenizer: HfTokenizer,
        fim: FimTemplate | None,
        plan: ExamplePlan,
        source: random.Random,
    ) -> None:
        self._drawing = Drawing(repositories, plan.chosen) if repositories else None
        self._tokenizer, self._fim, self._plan, self._source = tokenizer, fim, plan, source
        self._vocabulary = Vocabulary(tokenizer)
        self._window = 8192
        ends = [tokenizer.special_id(mark) for mark in fim.stop[:1]] if fim else []
        self._end = tuple(mark for mark in ends if mark is not None)
        self.kinds: dict[str, Callable[[], Example]] = {
            "reconstruct": self.reconstruct,
            "continue": self.continue_chunk,
            "dense": lambda: self.task(as_text=False),
            "parents": lambda: self.task(as_text=False, with_parent=True),
            "text": lambda: self.task(as_text=True),
        }

    def _draw(self) -> tuple[Repository, Record]:
        assert self._drawing is not None, "made without records"
        return self._drawing.any(self._source)

    def _draw_useful(self) -> tuple[Repository, Record]:
        assert self._drawing is not None, "made without records"
        return self._drawing.useful(self._source)

    def reconstruct(self) -> Example:
        """Vectors of one chunk; the target is the chunk itself."""
        repository, record = self._draw()
        ids = self._chunk(repository, self._source.choice(record.hits))
        prompt = self._tokenizer.encode(f"{self._plan.comment} The code above, again:\n")
        return Example(tuple(prompt), ids, (1.0,) * len(ids), (ids,), (CHUNK,))

    def continue_chunk(self) -> Example:
        """Vectors of one to four chunks that follow each other; the target is the next chunk."""
        repository, record = self._draw()
        n_shown = self._source.randint(1, 4)
        file, place = self._source.choice(record.hits)
        n_chunks = len(repository.files[file].spans)
        place = max(1, min(place, n_chunks - 1))
        if n_chunks < 2:
            return self.reconstruct()
        shown = range(max(0, place - n_shown), place)
        # The best node stands last, nearest to the code: the chunk just before the target.
        chunks = tuple(self._chunk(repository, (file, i)) for i in reversed(shown))
        path = self._tokenizer.encode(f"{self._plan.comment} {repository.files[file].path}\n")
        target = self._chunk(repository, (file, place))
        return Example(tuple(path), target, (1.0,) * len(target), chunks, (CHUNK,) * len(chunks))

    def task(self, as_text: bool, with_parent: bool = False) -> Example:
        """A cursor with what was retrieved for it, as vectors or as text, or with nothing."""
        repository, record = self._draw_useful()
        file = repository.files[record.file]
        hits = self._hits(record)
        shown = repository
        if hits and self._source.random() < self._plan.foreign:
            shown, other = self._draw()
            hits = self._hits(other)
        snippets = self._snippets(shown, hits)
        texts = [snippet.text for snippet in snippets]
        reads_suffix = record.sees_suffix and self._source.random() < self._plan.fill_in
        prefix, after = file.text[: record.offset], file.text[record.offset :]
        rest, target_text = self._hole(after) if reads_suffix else ("", after)
        prompt, healed = self._prompt(prefix, rest, file.path, snippets if as_text else (), reads_suffix)
        target = tuple(self._tokenizer.encode(healed + target_text[:1000]))
        target = (*target, *self._end) if reads_suffix else target[: self._plan.target_tokens]
        weights = self._token_weights(target, len(healed), prefix, texts)
        if as_text:
            return Example(prompt, target, weights)
        chunks = tuple(self._chunk(shown, hit) for hit in hits)
        example = Example(prompt, target, weights, chunks, (CHUNK,) * len(chunks))
        if self._plan.teaches:
            told, _ = self._prompt(prefix, rest, file.path, snippets, reads_suffix)
            example = replace(example, told=told)
        return self._with_parent(example, shown, hits) if with_parent and hits else example

    def pair(self, repository: Repository, record: Record) -> tuple[Example, Example]:
        """The first line at a cursor without context, and with all that was retrieved, as text."""
        file = repository.files[record.file]
        snippets = self._snippets(repository, record.hits[: self._plan.n_hits])
        prefix, after = file.text[: record.offset], file.text[record.offset :]
        line = after[: after.find("\n") + 1] or after
        prompts = [self._prompt(prefix, "", file.path, shown, False) for shown in ((), snippets)]
        healed = prompts[0][1]
        target = tuple(self._tokenizer.encode(healed + line))[: self._plan.target_tokens]
        weights = self._token_weights(target, len(healed), prefix, [snippet.text for snippet in snippets])
        without, told = (Example(prompt, target, weights) for prompt, _ in prompts)
        return without, told

    def _snippets(self, shown: Repository, hits: Sequence[ChunkPlace]) -> tuple[Snippet, ...]:
        files = shown.files
        return tuple(Snippet(files[f].path, files[f].chunk(place), self._plan.comment) for f, place in hits)

    def _hits(self, record: Record) -> tuple[ChunkPlace, ...]:
        """The best few; now and then none, now and then fewer."""
        if self._source.random() < self._plan.no_context:
            return ()
        n = self._plan.n_hits
        if self._source.random() < 0.3:
            n = self._source.randint(1, n)
        return record.hits[:n]

    def _hole(self, after: str) -> tuple[str, str]:
        """What stands behind the hole, and the hole: the rest of the line, or up to four lines more."""
        n_lines = self._source.choice((1, 1, 1, 2, 3, 5))
        lines = after.split("\n")
        return "\n" + "\n".join(lines[n_lines:]), "\n".join(lines[:n_lines]) + "\n"

    def _prompt(
        self, prefix: str, suffix: str, path: str, snippets: tuple[Snippet, ...], reads_suffix: bool
    ) -> tuple[tuple[int, ...], str]:
        plan = PromptPlan(prefix, suffix, path, self._plan.comment, snippets)
        limits = PromptLimits(
            prefix_tokens=self._plan.prefix_tokens,
            suffix_tokens=self._plan.suffix_tokens if reads_suffix else 0,
            text_tokens=self._plan.text_tokens,
            context_window=self._window,
            reserve=self._plan.target_tokens,
        )
        ids = build_prompt(plan, limits, self._tokenizer, self._fim).prompt.token_ids
        n_taken, healed = self._vocabulary.tail(ids)
        return (ids[: len(ids) - n_taken], healed) if n_taken < len(ids) else (ids, "")

    def _token_weights(
        self, target: Sequence[int], n_healed: int, prefix: str, context: Sequence[str]
    ) -> tuple[float, ...]:
        plan = self._plan
        known = set(_IDENTIFIER.findall(prefix[-1500:]))
        offered = {word for text in context for word in _IDENTIFIER.findall(text)} - known
        pieces = [self._tokenizer.decode([number]) for number in target]
        text = "".join(pieces)
        first_end = text.find("\n", n_healed + 1)
        weights, place = [], 0
        for number, piece in enumerate(pieces):
            weight = self._name_weight(text, place, piece, offered)
            weight *= plan.first_weight if number == 0 else 1.0
            later = 0 <= first_end < place
            weights.append(weight * (plan.later_weight if later else 1.0))
            place += len(piece)
        return tuple(weights)

    def _name_weight(self, text: str, place: int, piece: str, offered: set[str]) -> float:
        match = _WORD.search(piece)
        if match is None:
            return 1.0
        at = place + match.start()
        begin = at
        while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] == "_"):
            begin -= 1
        word = _WORD.match(text, begin)
        name = word.group() if word else ""
        if name in offered:
            return self._plan.copy_weight
        return self._plan.identifier_weight if _IDENTIFIER.fullmatch(name) else 1.0

    def _chunk(self, repository: Repository, place: ChunkPlace) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(repository.files[place[0]].chunk(place[1])))

    def _with_parent(self, example: Example, shown: Repository, hits: Sequence[ChunkPlace]) -> Example:
        """One hit becomes the parent of the chunks around it; half of the time nothing else is shown."""
        slot = self._source.randrange(len(hits))
        file, place = hits[slot]
        n_chunks = len(shown.files[file].spans)
        start = max(0, min(place - self._source.randint(0, 5), n_chunks - 6))
        children = tuple(self._chunk(shown, (file, i)) for i in range(start, min(start + 6, n_chunks)))
        level = FILE if n_chunks <= 6 else GROUP
        if self._source.random() < 0.5:
            return replace(
                example, chunks=(example.chunks[slot],), levels=(level,), children=children, parent_slot=0
            )
        levels = tuple(level if i == slot else CHUNK for i in range(len(hits)))
        return replace(example, levels=levels, children=children, parent_slot=slot)
