"""Fitting the gate: at each step of lines that were written, which candidate was right?

Owns the objective, its optimiser and the figures on lines that it was not fitted to. Samples are made by
`hef_lsp.training.gate_samples`.

What is maximised is the likelihood of the right candidate among the candidates and, to the same part, that of
whole lines: a line is right only if each of its steps is. docs/log.md compares others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.candidates import FEATURES, LOG_PROB
from model.gate import GateWeights

N_HIDDEN = 64
EPOCHS = 20
LINES_A_STEP = 64
LEARNING_RATE = 3e-3
FURTHER_RATE, FURTHER_EPOCHS = 1e-3, 12
"""Where an earlier fit is gone on with."""
WEIGHT_DECAY = 0.1
PADDING_SCORE = -1e9
WHOLE_LINES = 1.5
"""The weight of a line's probability beside half a nat: three to one makes both gradients alike."""


@dataclass(frozen=True, eq=False)
class GateSample:
    """A step: `features` ``[C, F]`` of its candidates, the model's best first, and those `right` ``[C]``."""

    features: Tensor
    right: Tensor


Line = Sequence[GateSample]


@dataclass(frozen=True)
class Figures:
    """Of steps and of whole lines, the share in which the best by the model, and by the gate, is right."""

    n_lines: int
    n_steps: int
    steps_model: float
    steps_gate: float
    lines_model: float
    lines_gate: float


@dataclass(frozen=True, eq=False)
class _Padded:
    """All steps: features ``[N, C, F]``, right and there ``[N, C]``, and of which line each is ``[N]``."""

    features: Tensor
    right: Tensor
    there: Tensor
    line: Tensor

    @staticmethod
    def of(lines: Sequence[Line]) -> _Padded:
        steps = [(number, sample) for number, line in enumerate(lines) for sample in line]
        features = nn.utils.rnn.pad_sequence([sample.features for _, sample in steps], batch_first=True)
        right = nn.utils.rnn.pad_sequence([sample.right for _, sample in steps], batch_first=True)
        sizes = torch.tensor([len(sample.right) for _, sample in steps])
        there = torch.arange(features.shape[1])[None] < sizes[:, None]
        return _Padded(features, right, there, torch.tensor([number for number, _ in steps]))


def fit_gate(
    lines: Sequence[Line], n_hidden: int = N_HIDDEN, seed: int = 0, start: GateWeights | None = None
) -> GateWeights:
    """The weights; the same for the same lines and seed. Raises ValueError without a step to learn from.

    With `start` what was fitted before is gone on with, in smaller steps: a feature that it made nothing of
    gets small weights, and `n_hidden` more units are free for what is new.
    """
    data = _Padded.of(lines) if any(lines) else None
    if data is None or not data.right.any():
        raise ValueError("no step has a candidate that is right; the gate needs lines of other repositories")
    torch.manual_seed(seed)
    fresh = _fresh(n_hidden)
    begun = fresh if start is None else _widened(start, fresh)
    parameters = [part.clone().requires_grad_() for part in vars(begun).values()]
    rate, epochs = (LEARNING_RATE, EPOCHS) if start is None else (FURTHER_RATE, FURTHER_EPOCHS)
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=WEIGHT_DECAY)
    places = _places_of_lines(data.line, len(lines))
    order = [number for number, line in enumerate(lines) if len(line)]
    chooser = random.Random(seed)
    for _ in range(epochs):
        chooser.shuffle(order)
        for begin in range(0, len(order), LINES_A_STEP):
            chosen = torch.cat([places[number] for number in order[begin : begin + LINES_A_STEP]])
            loss = _loss(_weights(parameters), data, chosen)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return _weights([parameter.detach() for parameter in parameters])


def figures_of(weights: GateWeights, lines: Sequence[Line]) -> Figures:
    """How model and gate do on `lines`, which have steps."""
    data = _Padded.of(lines)
    first = _right_at(data, data.there.float() * data.features[..., LOG_PROB] + _hidden_padding(data))
    best = _right_at(data, weights.scores(data.features) + _hidden_padding(data))
    whole = [(_whole_lines(right, data.line, len(lines))) for right in (first, best)]
    return Figures(
        len(lines),
        len(data.line),
        round(float(first.double().mean()), 4),
        round(float(best.double().mean()), 4),
        round(whole[0], 4),
        round(whole[1], 4),
    )


def _fresh(n_hidden: int) -> GateWeights:
    """The model's log-probability alone, in nats: the feature is a fifth of it."""
    inner = nn.Linear(len(FEATURES), n_hidden)
    nothing = torch.zeros(len(FEATURES)), torch.zeros(n_hidden)
    return GateWeights(torch.tensor(5.0), nothing[0], inner.weight.detach(), inner.bias.detach(), nothing[1])


def _widened(start: GateWeights, more: GateWeights) -> GateWeights:
    """Scores as `start` does, with the units of `more` beside it, which say nothing yet."""
    hidden = start.hidden.clone()
    unknown = (hidden == 0).all(0)
    hidden[:, unknown] = 0.1 * torch.randn(len(hidden), int(unknown.sum()))
    return GateWeights(
        start.trust,
        start.linear,
        torch.cat([hidden, more.hidden]),
        torch.cat([start.bias, more.bias]),
        torch.cat([start.out, more.out]),
    )


def _weights(parameters: Sequence[Tensor]) -> GateWeights:
    trust, linear, hidden, bias, out = parameters
    return GateWeights(trust, linear, hidden, bias, out)


def _places_of_lines(line: Tensor, n_lines: int) -> list[Tensor]:
    order = torch.argsort(line, stable=True)
    sizes = torch.bincount(line, minlength=n_lines).tolist()
    return list(torch.split(order, sizes))


def _loss(weights: GateWeights, data: _Padded, chosen: Tensor) -> Tensor:
    """Half the nats of the right candidates, less `WHOLE_LINES` times the mean probability of whole lines.

    Steps without a right candidate, and lines with such a step, count for nothing.
    """
    right, padding = data.right[chosen], _hidden_padding(data)[chosen]
    scores = (weights.scores(data.features[chosen]) + padding).log_softmax(-1)
    known = right.any(-1)
    nats = -scores.masked_fill(~right, PADDING_SCORE).logsumexp(-1) * known
    line = torch.unique(data.line[chosen], return_inverse=True)[1]
    zeros = torch.zeros(int(line.max()) + 1)
    possible = zeros.index_add(0, line, (~known).float()) == 0
    whole = (-zeros.index_add(0, line, nats)).exp()[possible]
    return 0.5 * nats.sum() / known.sum().clamp(min=1) - WHOLE_LINES * whole.sum() / max(1, len(whole))


def _hidden_padding(data: _Padded) -> Tensor:
    return (~data.there).float() * PADDING_SCORE


def _right_at(data: _Padded, scores: Tensor) -> Tensor:
    best = scores.argmax(-1, keepdim=True)
    return data.right.gather(-1, best)[:, 0]


def _whole_lines(right: Tensor, line: Tensor, n_lines: int) -> float:
    wrong = torch.zeros(n_lines).index_add_(0, line, (~right).float())
    return float((wrong == 0).double().mean())
