"""Training on a machine that has torch and transformers and nothing else of ours: one command.

Owns the order there: load the generator from its quantised file, read records, train for a while,
assess, and leave results in pieces small enough to carry. Called again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer as Backend
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from model.errors import CheckpointMismatch
from model.fuser import FuserConfig
from model.projector import ProjectorConfig
from model.protocols import FimOrder, FimTemplate
from model.tokenization import HfTokenizer
from model.training.assessment import ARMS, Assessment, exact_matches, read_rows, with_adapter
from model.training.drawing import Filter
from model.training.examples import ExamplePlan
from model.training.lean import LeanModel, block
from model.training.loading import BatchSource, LoadPlan
from model.training.network import Network, NetworkConfig
from model.training.objective import Terms
from model.training.records import Repository, read_repositories, write_repositories
from model.training.results import digests, learned, read_pieces, write_pieces
from model.training.trainer import Trainer, TrainingPlan, resumed_batch
from model.training.utility import Scorer, scored

SCORED = "scored.jsonl.xz"
"""In the folder of the state: the records with their utilities."""

SMOLLM_FIM = FimTemplate(
    prefix="<jupyter_code>",
    suffix="<jupyter_text>",
    middle="",
    order=FimOrder.SUFFIX_PREFIX,
    stop=("<|im_end|>",),
)
"""Marks that SmolLM2 has in its vocabulary and that its chat form does not use, taught here."""


def main() -> None:
    """Reads its arguments from the command line; prints metrics as JSON lines."""
    options = _arguments().parse_args()
    began_s = time.monotonic()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16
    model, tokenizer = load(options.model, options.gguf, device, dtype)
    config = network_config(model, options)
    lean = LeanModel.of(model, dtype)
    network = Network(lean, config, _compiled(options.compile))
    if options.start is not None:
        start_from(network, read_pieces(options.start), everything=not options.start_adapters_only)
    plan = example_plan(options)
    loading = load_plan(plan, config, options)
    assessment = Assessment(
        read_rows(options.assess)[: options.assess_rows], tokenizer, plan, loading.sizes()["dense"]
    )
    repositories = read_records(options, network, tokenizer, plan)
    _say(f"ready after {time.monotonic() - began_s:.0f} s: {_summary(repositories, network)}")
    training = TrainingPlan(
        minutes=options.minutes,
        steps=options.steps,
        align=options.align,
        decoder_lr=options.decoder_lr,
        seed=options.seed,
        adapts_at_once=options.start is not None,
        terms=Terms(options.structure, options.kl),
    )
    source = BatchSource(repositories, tokenizer, SMOLLM_FIM, loading, pin=device.type == "cuda")
    trainer = Trainer(
        network,
        iter(source),
        source.set_stage,
        training,
        options.state,
        lambda trained: assessment.likelihood(trained),
        _say,
    )
    trainer.resume()
    if trainer.step == 0:
        trainer.evaluate()
    finished = trainer.run(began_s + options.until_s)
    arms = (*ARMS, *(f"dense:{budget}" for budget in options.budgets))
    report = final_report(network, model, assessment, arms) if options.final or finished else {}
    leave_results(options, network, trainer, report)
    _say(f"finished={finished} after {time.monotonic() - began_s:.0f} s")


def example_plan(options: argparse.Namespace) -> ExamplePlan:
    """What an example is made of."""
    return ExamplePlan(
        prefix_tokens=options.prefix_tokens,
        suffix_tokens=80,
        text_tokens=options.text_tokens,
        n_hits=options.n_hits,
        foreign=options.foreign,
        chosen=Filter(options.least_utility, options.unhelpful),
        teaches=options.kl > 0,
    )


def load_plan(plan: ExamplePlan, config: NetworkConfig, options: argparse.Namespace) -> LoadPlan:
    """From the batch on that the state of an earlier call would have drawn next."""
    return LoadPlan(
        plan,
        config.fuser.n_vectors,
        rows=options.rows,
        workers=options.workers,
        seed=options.seed,
        first=resumed_batch(options.state),
        align_batches=math.ceil(options.align * options.steps) if options.steps else None,
        leaves_only=options.leaves_only,
    )


def read_records(
    options: argparse.Namespace, network: Network, tokenizer: HfTokenizer, plan: ExamplePlan
) -> list[Repository]:
    """All records; with `--score-minutes` those of the first call score theirs, for all calls."""
    kept = options.state / SCORED
    if kept.is_file():
        return list(read_repositories(kept))
    repositories = [repository for path in options.records for repository in read_repositories(path)]
    if options.score_minutes <= 0:
        return repositories
    scorer = Scorer(network, tokenizer, SMOLLM_FIM, plan, options.rows)
    until_s = time.monotonic() + 60 * options.score_minutes
    repositories = list(scored(repositories, scorer, options.score_records, until_s, options.seed))
    options.state.mkdir(parents=True, exist_ok=True)
    write_repositories(kept, repositories)
    n_scored = sum(record.utility is not None for one in repositories for record in one.records)
    _say(json.dumps({"scored": n_scored}))
    return repositories


def leave_results(
    options: argparse.Namespace, network: Network, trainer: Trainer, report: dict[str, Any]
) -> None:
    """Sizes, weights, metrics so far, and a report that says of which run all of them are."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    (out / "network.json").write_text(json.dumps(asdict(network.config), indent=1))
    write_pieces(out, learned(network))
    if (options.state / "metrics.jsonl").is_file():
        shutil.copyfile(options.state / "metrics.jsonl", out / "metrics.jsonl")
    report |= {"steps": trainer.step, "examples": trainer.n_examples, "spent_s": trainer.spent_s}
    report |= {"seed": options.seed, "data_sha256": options.data_sha256, "files": digests(out)}
    (out / "report.json").write_text(json.dumps(report, indent=1))
    _say(json.dumps(report))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, help="folder with the tokenizer and the weights")
    parser.add_argument("--gguf", default=None, help="name of the quantised file in that folder")
    parser.add_argument("--records", type=Path, nargs="+", required=True)
    parser.add_argument("--assess", type=Path, required=True)
    parser.add_argument("--assess-rows", type=int, default=384)
    parser.add_argument("--state", type=Path, required=True, help="folder of the state between calls")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", "--max-minutes", type=float, default=20.0, help="of training")
    parser.add_argument("--until-s", type=float, default=1e9, help="stop this call after so many seconds")
    parser.add_argument("--steps", type=int, default=0, help="a budget in steps instead of minutes")
    parser.add_argument("--align", type=float, default=TrainingPlan.align)
    parser.add_argument(
        "--decoder-lr", type=float, default=TrainingPlan.decoder_lr, help="0 leaves the adapter as it is"
    )
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--fuser-rank", type=int, default=64)
    parser.add_argument("--decoder-rank", type=int, default=32)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--n-vectors", type=int, default=8, help="vectors of each node")
    parser.add_argument("--n-hits", type=int, default=ExamplePlan.n_hits, help="nodes shown at most")
    parser.add_argument("--leaves-only", action="store_true", help="train no parents")
    parser.add_argument("--text-tokens", type=int, default=ExamplePlan.text_tokens)
    parser.add_argument("--foreign", type=float, default=ExamplePlan.foreign, help="contexts of others")
    parser.add_argument("--least-utility", type=float, default=Filter.least, help="nats a token")
    parser.add_argument("--unhelpful", type=float, default=Filter.unhelpful, help="share below that")
    parser.add_argument("--score-minutes", type=float, default=0.0, help="score utilities before training")
    parser.add_argument("--score-records", type=int, default=10**9, help="of each repository at most")
    parser.add_argument("--structure", type=float, default=Terms.structure, help="weight of that term")
    parser.add_argument("--kl", type=float, default=Terms.kl, help="weight of the teacher that reads text")
    parser.add_argument("--budgets", type=int, nargs="*", default=[], help="assess with fewer pseudo-tokens")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prefix-tokens", type=int, default=ExamplePlan.prefix_tokens)
    parser.add_argument("--start", type=Path, default=None, help="results of a run to start from")
    parser.add_argument(
        "--start-adapters-only", action="store_true", help="leave the learned fuser and projector of --start"
    )
    parser.add_argument("--data-sha256", default="", help="of the records, for the report")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--final", action="store_true", help="assess exact matches at the end of this call")
    return parser


def load(folder: Path, gguf: str | None, device: torch.device, dtype: torch.dtype) -> tuple[Any, HfTokenizer]:
    """The generator, for evaluation only, and its tokenizer."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    named = {"gguf_file": gguf} if gguf else {}
    model = cast(Any, AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **named)).to(device).eval()
    model.requires_grad_(False)
    if (folder / "tokenizer.json").is_file():
        backend = Backend.from_file(str(folder / "tokenizer.json"))
    else:
        backend = cast(Any, AutoTokenizer.from_pretrained(folder, **named)).backend_tokenizer
    marks = (SMOLLM_FIM.prefix, SMOLLM_FIM.suffix)
    ends = [
        number
        for mark in ("<|im_end|>", "<|endoftext|>")
        if (number := backend.token_to_id(mark)) is not None
    ]
    return model, HfTokenizer(backend, ends, special_tokens=marks)


def network_config(model: Any, options: argparse.Namespace) -> NetworkConfig:
    """Sizes from the model and the options."""
    hidden = int(model.config.hidden_size)
    weight = model.get_input_embeddings().weight.float()
    norm = float(f"{weight.norm(dim=1).mean().item():.2g}")
    maps = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    fuser = FuserConfig(
        hidden,
        norm,
        n_vectors=options.n_vectors,
        n_layers=min(options.layers, model.config.num_hidden_layers),
        dimension=options.dimension,
        max_tokens=136,
        lora_rank=options.fuser_rank,
        lora_alpha=2.0 * options.fuser_rank,
        lora_targets=maps,
    )
    projector = ProjectorConfig(hidden, norm, n_vectors=options.n_vectors, dimension=options.dimension)
    return NetworkConfig(fuser, projector, options.decoder_rank, 2.0 * options.decoder_rank)


def start_from(network: Network, tensors: Mapping[str, torch.Tensor], everything: bool = True) -> None:
    """Takes over what an earlier run learned, or its adapters alone; those of the fuser read for its head.

    Raises CheckpointMismatch where tensors are missing or of other sizes; then nothing was taken over.
    """
    wanted = learned(network)
    if not everything:
        wanted = {k: t for k, t in wanted.items() if k.startswith(("adapter.", "fuser.adapters."))}
    for name, tensor in wanted.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise CheckpointMismatch(
                f"of the weights to start from, {name} is {found}, here {tuple(tensor.shape)}; give the "
                "sizes of that run (--layers, --fuser-rank, --decoder-rank, --dimension)"
            )
    for module, prefix in ((network.fuser_adapter, "fuser.adapters."), (network.decoder_adapter, "adapter.")):
        if module is not None:
            module.start_from({name.removeprefix(prefix): t for name, t in tensors.items()})
    if everything:
        for part, head in (("fuser.", network.fuser), ("projector.", network.projector)):
            head.load_state_dict({name: tensors[f"{part}{name}"] for name in head.state_dict()})


def _compiled(wanted: bool) -> Any:
    if not wanted:
        return block
    cast(Any, torch)._dynamo.config.recompile_limit = 64
    cast(Any, torch)._dynamo.config.cache_size_limit = 64
    return torch.compile(block)


def _summary(repositories: list[Repository], network: Network) -> str:
    n_records = sum(len(repository.records) for repository in repositories)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    return f"{len(repositories)} repositories, {n_records} records, {n_parameters} parameters"


def final_report(
    network: Network, model: nn.Module, assessment: Assessment, arms: Sequence[str] = ARMS
) -> dict[str, Any]:
    """Likelihood and exact matches: of the generator as it was, then with everything learned."""
    network.adapts = False
    report: dict[str, Any] = {"nll_before": assessment.likelihood(network, ("none", "text"))}
    report["em_before"] = {
        arm: exact_matches(assessment.rows, assessment.predictions(network, model, arm))
        for arm in ("none", "text")
    }
    network.adapts = True
    report["nll"] = assessment.likelihood(network, arms)
    adapted = with_adapter(model, network.decoder_adapter)
    report["em"] = {
        arm: exact_matches(assessment.rows, assessment.predictions(network, adapted, arm)) for arm in arms
    }
    return report


if __name__ == "__main__":
    main()
