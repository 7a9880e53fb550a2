"""The training loop: two stages on one clock, checkpoints, metrics, exact resume of what was learned.

Owns the optimiser, the schedule and the loop. The schedule goes by the share of the time budget that is
spent, since a machine is to be had for minutes, not for steps; a run that is killed goes on from its last
state.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.training.batches import Batch
from model.training.network import Network
from model.training.objective import Terms, objective

ALIGN_STAGE, TASK_STAGE = 0, 1
ALIGNING = ("reconstruct", "continue")
Evaluate = Callable[[Network], Mapping[str, float]]


@dataclass(frozen=True)
class TrainingPlan:
    """`minutes` of training in all, `align` of it for the first stage; learning rates at their peak.

    `adapts_at_once`: the generator's adapter, learned before, takes part in the first stage, too. With
    `steps` the schedule goes by them and not by the clock: a run that was killed ends as one that was not.
    """

    minutes: float = 20.0
    steps: int = 0
    align: float = 0.15
    warm_up_steps: int = 100
    projector_lr: float = 1e-3
    fuser_lr: float = 4e-4
    decoder_lr: float = 3e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    last_lr: float = 0.03
    log_every_s: float = 10.0
    save_every_s: float = 120.0
    evaluate_every_s: float = 240.0
    adapts_at_once: bool = False
    terms: Terms = field(default_factory=Terms)
    seed: int = 0


class Trainer:
    """Invariant: `spent_s` counts training time only, and with the parameters it is the whole state."""

    def __init__(
        self,
        network: Network,
        batches: Iterator[Batch],
        set_stage: Callable[[int], None],
        plan: TrainingPlan,
        folder: Path,
        evaluate: Evaluate | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.network, self.plan, self.folder = network, plan, folder
        self._batches, self._set_stage, self._evaluate, self._say = batches, set_stage, evaluate, say
        self._groups = _parameter_groups(network, plan)
        on_gpu = next(network.parameters()).is_cuda
        self._optimizer = torch.optim.AdamW(
            [{"params": group, "lr": 0.0} for group, _, _ in self._groups],
            betas=(0.9, 0.98),
            weight_decay=plan.weight_decay,
            fused=on_gpu,
        )
        self.step, self.n_examples, self.n_batches, self.spent_s = 0, 0, 0, 0.0
        self._steps_of_stage = [0, 0]
        self._metrics = folder / "metrics.jsonl"

    @property
    def share(self) -> float:
        """Of the budget that is spent, 0 to 1."""
        if self.plan.steps:
            return min(1.0, self.step / self.plan.steps)
        return min(1.0, self.spent_s / (60 * self.plan.minutes))

    @property
    def stage(self) -> int:
        return ALIGN_STAGE if self.share < self.plan.align else TASK_STAGE

    def run(self, until_s: float = math.inf) -> bool:
        """Trains until the budget is spent (True) or `until_s` of a monotonic clock (False)."""
        last = logged = saved = evaluated = time.monotonic()
        sums: dict[str, list[Tensor]] = {}
        self._set_stage(self.stage)
        while self.share < 1.0 and last < until_s:
            batch = self._next()
            stage = self.stage
            self._set_stage(stage)
            if stage == ALIGN_STAGE and batch.kind not in ALIGNING:
                continue
            for name, part in self._update(batch, stage).items():
                sums.setdefault(f"{name}_{batch.kind}", []).append(part)
            now = time.monotonic()
            if now - logged >= self.plan.log_every_s:
                self._log(_means(sums))
                sums, logged = {}, now
            if now - saved >= self.plan.save_every_s:
                self.save()
                saved = now
            if self._evaluate is not None and now - evaluated >= self.plan.evaluate_every_s:
                self.evaluate()
                evaluated = now
            after = time.monotonic()
            self.spent_s += now - last  # saving and evaluating are not training
            last = after
        self._log(_means(sums))
        self.save()
        return self.share >= 1.0

    def run_steps(self, n: int) -> None:
        """So many updates, whatever the clock says."""
        for _ in range(n):
            self._update(self._next(), self.stage)

    def _next(self) -> Batch:
        self.n_batches += 1
        return next(self._batches).to(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _update(self, batch: Batch, stage: int) -> dict[str, Tensor]:
        self._set_rates(stage)
        self.network.adapts = self._adapts(stage)
        parts = objective(self.network, batch, self.plan.terms)
        # Nothing is learnt where the adapter stays as it is and no row of the batch has vectors.
        if parts["loss"].requires_grad:
            parts["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._steps_of_stage[stage] += 1
        self.n_examples += len(batch.ids)
        return {name: part.detach() for name, part in parts.items()}

    def _adapts(self, stage: int) -> bool:
        return self.plan.adapts_at_once or stage == TASK_STAGE

    def _set_rates(self, stage: int) -> None:
        for group, (_, peak, first_stage) in zip(self._optimizer.param_groups, self._groups, strict=True):
            group["lr"] = peak * self._rate(first_stage) if stage >= first_stage else 0.0

    def _rate(self, first_stage: int) -> float:
        """Of the peak: a rise over the first steps that train the parameter, then a cosine."""
        n_steps = 1 + sum(self._steps_of_stage[first_stage:])
        cosine = 0.5 * (1 + math.cos(math.pi * self.share))
        return min(1.0, n_steps / self.plan.warm_up_steps) * (
            self.plan.last_lr + (1 - self.plan.last_lr) * cosine
        )

    def evaluate(self) -> Mapping[str, float]:
        """Runs the evaluation and logs it."""
        self.network.adapts = self._adapts(self.stage)
        figures = dict(self._evaluate(self.network)) if self._evaluate is not None else {}
        self._log(figures)
        return figures

    def _log(self, figures: Mapping[str, float]) -> None:
        row = {
            "step": self.step,
            "examples": self.n_examples,
            "spent_s": round(self.spent_s, 1),
            "stage": self.stage,
            **{name: round(value, 4) for name, value in figures.items()},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._say(json.dumps(row))

    def save(self) -> None:
        """The whole state, by a rename, so that a kill leaves the last one."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "examples": self.n_examples,
            "batches": self.n_batches,
            "spent_s": self.spent_s,
            "steps_of_stage": self._steps_of_stage,
            "plan": asdict(self.plan),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.folder / "state.new")
        (self.folder / "state.new").replace(self.folder / "state.pt")

    def resume(self) -> bool:
        """Goes on from the folder's state; False if there is none."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return False
        state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.n_examples, self.spent_s = state["step"], state["examples"], state["spent_s"]
        self.n_batches = int(state.get("batches", self.step))
        self._steps_of_stage = list(state["steps_of_stage"])
        return True


def _means(sums: Mapping[str, list[Tensor]]) -> dict[str, float]:
    return {name: float(torch.stack(values).mean()) for name, values in sums.items()}


def resumed_batch(folder: Path) -> int:
    """How many batches were drawn when the state in `folder` was saved; 0 if there is none."""
    path = folder / "state.pt"
    if not path.is_file():
        return 0
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return int(state.get("batches", state["step"]))


Group = tuple[list[nn.Parameter], float, int]


def _parameter_groups(network: Network, plan: TrainingPlan) -> list[Group]:
    """Parameters, peak learning rate, first stage; the decoder's adapter waits for the task."""
    groups: list[Group] = [
        (list(network.projector.parameters()), plan.projector_lr, ALIGN_STAGE),
        (list(network.fuser.parameters()), plan.projector_lr, ALIGN_STAGE),
        (list(network.fuser_adapter.parameters()), plan.fuser_lr, ALIGN_STAGE),
    ]
    if network.decoder_adapter is not None:
        # Frozen, it costs no gradients and has no part in their clipping.
        network.decoder_adapter.requires_grad_(plan.decoder_lr > 0)
        if plan.decoder_lr > 0:
            groups.append((list(network.decoder_adapter.parameters()), plan.decoder_lr, TASK_STAGE))
    return groups
