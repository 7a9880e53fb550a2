"""`hef-lsp train gate`: how far the exact memory is to be trusted, fitted on training repositories.

Owns presentation and the split into repositories that are fitted to and those that judge. Samples are
`hef_lsp.training.gate_samples`, the fit `model.gate_fitting`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hef_lsp.commands.console import err, fail, named_errors, out, progress_bar, say_fetching, shard_of
from hef_lsp.commands.training_fits import Judges, Limit, Model, Records, Threads, writing
from hef_lsp.commands.training_records import read_records
from hef_lsp.settings import ModelSettings

if TYPE_CHECKING:
    from model.gate import Gate
    from model.gate_fitting import Line
    from model.generator import HfGenerator
    from model.training.records import Repository

Output = Annotated[Path, typer.Option("--out", help="Where to write the gate, as JSON.")]


def gate(
    records: Records,
    output: Output,
    cursors: Annotated[int, typer.Option(min=1, help="At most so many of each repository.")] = 18,
    inside: Annotated[int, typer.Option(min=0, help="And so many that stand within a line.")] = 8,
    judges: Judges = 4,
    limit: Limit = 100_000,
    seed: Annotated[int, typer.Option(help="Of the cursors, the split and the fit.")] = 0,
    samples: Annotated[
        Path | None, typer.Option(help="Folder that keeps what was sampled; a later run goes on with it.")
    ] = None,
    shard: Annotated[
        str, typer.Option(help="Only sample part i of n, as i/n, for several processes; needs --samples.")
    ] = "",
    start: Annotated[
        Path | None, typer.Option(help="A gate of before to go on with; it may know fewer features.")
    ] = None,
    model: Model = "auto",
    threads: Threads = 0,
) -> None:
    """Fit the gate that weighs the generator's and the exact memory's candidates."""
    from hef_lsp.models_loading import load_models
    from hef_lsp.training.gate_samples import is_fit
    from model.gate import Gate, load_earlier_gate
    from model.gate_fitting import figures_of, fit_gate
    from model.generator import HfGenerator

    if shard and samples is None:
        raise fail("--shard samples and keeps a part; give --samples the folder to keep it in")
    number, of = shard_of(shard) if shard else (0, 1)
    repositories = [repository for repository in read_records(records) if is_fit(repository)][:limit]
    with named_errors():
        earlier = None if start is None else load_earlier_gate(start)
        generator = load_models(ModelSettings(name=model, threads=threads), say_fetching()).generator
    if not isinstance(generator, HfGenerator):
        raise fail(f"{model} is no language model of transformers; choose another with --model")
    judged = set(random.Random(seed).sample(range(len(repositories)), len(repositories) // judges))
    sampling = _Sampling(generator, cursors, inside, seed, samples)
    sampled = sampling.lines_of(repositories[number::of])
    if shard:
        return
    fitted = [line for number, lines in enumerate(sampled) if number not in judged for line in lines]
    held = [line for number in sorted(judged) for line in sampled[number]]
    try:
        weights = fit_gate(fitted, seed=seed, start=None if earlier is None else earlier.weights)
    except ValueError as error:
        raise fail(f"{error}; give more --records") from error
    provenance = {
        "generator": generator.model_id,
        "repositories": len(repositories) - len(judged),
        "cursors_a_repository": cursors,
        "inside_lines": inside,
        "lines": len(fitted),
        "steps": sum(map(len, fitted)),
        "seed": seed,
        "judged_on": {"repositories": len(judged), **asdict(figures_of(weights, held))} if held else {},
    } | ({} if earlier is None else {"gone_on_from": dict(earlier.provenance)})
    _write(Gate(weights, provenance), output)


def _write(gate: Gate, output: Path) -> None:
    with writing(output):
        output.write_text(json.dumps(gate.to_json()) + "\n", encoding="utf-8")
    out().print_json(json.dumps(dict(gate.provenance)))


@dataclass(frozen=True)
class _Sampling:
    """`cursors` where lines begin, and `inside` within them, of each repository."""

    generator: HfGenerator
    cursors: int
    inside: int
    seed: int
    folder: Path | None

    def lines_of(self, repositories: Sequence[Repository]) -> list[list[Line]]:
        """The lines of each; those kept are not made again."""
        sampled = []
        with progress_bar() as progress:
            bar = progress.add_task("repositories", total=len(repositories))
            for number, repository in enumerate(repositories):
                lines = self._lines(repository, self.cursors, False)
                sampled.append(lines + self._lines(repository, self.inside, True))
                progress.advance(bar)
                if not err().is_terminal:
                    err().print(f"{number + 1} of {len(repositories)}: {repository.name}", markup=False)
        return sampled

    def _lines(self, repository: Repository, n: int, inside: bool) -> list[Line]:
        from hef_lsp.training.gate_samples import gate_lines
        from model.gate_samples_file import KeptSamples

        kind = f"{n} inside" if inside else str(n)
        kept = KeptSamples(self.folder, self.generator.model_id, kind, self.seed) if self.folder else None
        lines = kept.read(repository.name) if kept else None
        if lines is None:
            chooser = random.Random(f"{self.seed} {repository.name} {kind}")
            lines = list(gate_lines(repository, self.generator, n, inside, chooser))
            try:
                if kept is not None:
                    kept.write(repository.name, lines)
            except OSError as error:
                raise fail(f"--samples cannot be written: {error}; choose another folder") from error
        return lines
