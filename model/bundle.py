"""The bundle: everything with weights that a server needs, loaded by one call.

Owns which checkpoint `auto` means, and what happens when a part is missing: without a generator
there is nothing to serve and the error goes up; without embedder or checkpoint the server runs on,
and a note says why and what to do.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.adapter import merge_adapter
from model.checkpoint import Checkpoint, build_modules, load_checkpoint, seeded_checkpoint
from model.decoding import DecodingSession
from model.embedder import MOST_UNASKED_BYTES, STATIC, make_embedder
from model.errors import ModelError, ModelNotFound
from model.freed_memory import give_back
from model.fuser import FuserConfig
from model.gate import gate_for
from model.generator import HfGenerator
from model.hub import ModelHub
from model.layers import Backbone
from model.loading import LoadedModel, load_language_model
from model.projector import ProjectorConfig
from model.protocols import Embedder, Fuser, Generator, NeverCancelled, Projector, Prompt, StopRule
from model.runtime.fast_runtime import FastRuntime
from model.slots.fuser import SlotFuser, filled_slots_of
from model.slots.maps import SlotMaps
from model.slots.needs import Needs
from model.slots.projector import SlotProjector
from model.slots.reader import AGAIN, SlotReader, introduction_of
from model.tokenization import HfTokenizer

log = logging.getLogger(__name__)

AUTO, NO_CHECKPOINT = "auto", "none"
SLOTS = "slots"
DENSE, TEXT = "dense", "text"
WEIGHTS_FOLDER = Path(__file__).parent / "weights"
"""Trained checkpoints that travel with the package, one folder for each generator's name."""
USUAL_TEXT = 512
"""Tokens of the repository that text mode tells at most, by default."""
PATIENCE_S = 0.8
"""What reading these may take, or `auto` means slots."""
KNOWN_WITHOUT_MAPS = re.compile(r"qwen2\.5-coder-1\.5b", re.IGNORECASE)
"""Names of generators whose slots were measured as they are: they say most of what text says."""
_PROBE = "def total(items):\n    return sum(x.value for x in items)  # ½ é 漢 🎉\n\t" + "".join(
    chr(code) for code in range(32, 127)
)


@dataclass
class ModelBundle:
    """What `load_bundle` found. `fuser` and `projector` are both there or both None.

    `tokenizer_id` is the same for tokenizers that cut text alike, whatever the model.
    `preferred_context` is "dense" where that was measured to say as much in less time and time is short
    (`prefers_slots`), or where the checkpoint's own evaluation says so, else "text". `fuses_on_demand`:
    a slot's memory is a reading of the whole chunk.
    """

    generator: Generator
    embedder: Embedder
    fuser: Fuser | None
    projector: Projector | None
    count_tokens: Callable[[Sequence[str]], list[int]]
    encode: Callable[[Sequence[str]], list[list[int]]]
    tokenizer_id: str
    preferred_context: str
    fuses_on_demand: bool
    notes: tuple[str, ...]


def load_bundle(
    name: str,
    device: str,
    threads: int,
    embedder: str,
    checkpoint: str,
    hub: ModelHub,
    memories: str = AUTO,
    most_device_bytes: int = 0,
    keeps_module: bool = True,
) -> ModelBundle:
    """Resolves, fetches if small and allowed by `hub`, and loads everything.

    `memories`: ``slots`` where our runtime runs the generator, ``vectors``, the checkpoint's, or ``auto``:
    vectors of a checkpoint that was measured to win by them, else slots. `most_device_bytes` of an
    accelerator's memory are taken, 0 for no limit. Without `keeps_module` the generator's
    own layers are given up where nothing here computes with them (`FastRuntime.empty`): less memory.

    Raises ModelError where the generator cannot be had; see `ModelBundle.notes` for the rest.
    """
    local = hub.resolve(name, allow_download=True, max_bytes=MOST_UNASKED_BYTES)
    loaded = load_language_model(local, device, threads, most_device_bytes)
    notes: list[str] = []
    key_model = _embedder(embedder, loaded, hub, notes)
    short_name = local.spec.name if local.spec else ""
    loaded, fuser, projector, context = _trained_side(checkpoint, loaded, short_name, notes)
    for note in notes:
        log.warning("%s", note)
    takes_slots = memories == SLOTS or (memories == AUTO and context != DENSE)
    session = _fast_session(loaded)
    if isinstance(session, FastRuntime) and (takes_slots or fuser is None) and not keeps_module:
        session.empty(loaded.model)
    if takes_slots and isinstance(session, FastRuntime):
        maps = SlotMaps.for_generator(short_name)
        fuser, projector = slot_side(session, loaded, Needs.for_generator(short_name), maps)
        context = DENSE if prefers_slots(session, loaded.model_id, short_name, maps) else TEXT
    generator = HfGenerator(replace(loaded, changes={}), gate_for(short_name), session)
    _warm_up(generator)
    give_back()
    return ModelBundle(
        generator=generator,
        embedder=key_model,
        fuser=fuser,
        projector=projector,
        count_tokens=loaded.tokenizer.count,
        encode=loaded.tokenizer.encode_batch,
        tokenizer_id=tokenizer_id(loaded.tokenizer),
        preferred_context=context,
        fuses_on_demand=isinstance(fuser, SlotFuser),
        notes=tuple(notes),
    )


def slot_side(
    session: FastRuntime, loaded: LoadedModel, needs: Needs | None, maps: SlotMaps | None
) -> tuple[Fuser, Projector]:
    """What makes memories of the generator's own keys and values, and chooses among them."""
    tokenizer = loaded.tokenizer
    reader = SlotReader(session.stack, introduction_of(tokenizer), tokenizer.encode(AGAIN), needs)
    n_filled = filled_slots_of(session.stack.plan)
    fuser = SlotFuser(reader, tokenizer.encode_batch, loaded.model_id, n_filled)
    return fuser, SlotProjector(fuser.format, maps)


def prefers_slots(session: FastRuntime, model_id: str, short_name: str, maps: SlotMaps | None) -> bool:
    """Whether slots were measured with this very generator (docs/log.md), and text is long in reading here.

    With exact memory slots are a little behind text where other files' words are all that counts, so that
    text is told where it costs no patience.
    """
    are_learnt = maps is not None and maps.provenance.get("generator") == model_id
    are_known = bool(KNOWN_WITHOUT_MAPS.search(f"{short_name} {model_id}"))
    return (are_learnt or are_known) and session.seconds_a_token * USUAL_TEXT > PATIENCE_S


def _warm_up(generator: HfGenerator) -> None:
    """Weights are mapped, not read, and kernels chosen at first use: seconds, paid here and not at a key."""
    ids = generator.tokenizer.encode(_PROBE)
    generator.generate(Prompt(tuple(ids)), StopRule(max_tokens=1), NeverCancelled())


def _fast_session(loaded: LoadedModel) -> DecodingSession | None:
    """Our own runtime where it can run the model; made last, for it takes the weights as they are."""
    reason = FastRuntime.supports(loaded.model)
    try:
        runtime = FastRuntime(loaded.model, changes=loaded.changes) if reason is None else None
        if runtime is not None and loaded.device != "cpu" and not runtime.agrees_with(loaded.model):
            reason = "our runtime does not give its logits on this device"
        if runtime is not None and reason is None:
            runtime.warm_up()
    except (RuntimeError, NotImplementedError) as error:
        reason = f"our runtime does not work on this device: {error}"
    if reason is not None:
        log.info("%s runs by transformers' modules: %s", loaded.model_id, reason)
        return None
    return runtime


def tokenizer_id(tokenizer: HfTokenizer) -> str:
    """Names a tokenizer by its size and by how it cuts a probe of code and odd characters."""
    ids = tokenizer.encode(_PROBE)
    return hashlib.sha256(f"{tokenizer.n_ids} {ids}".encode()).hexdigest()[:16]


def _embedder(name: str, loaded: LoadedModel, hub: ModelHub, notes: list[str]) -> Embedder:
    try:
        return make_embedder(name, loaded, hub)
    except ModelError as error:
        notes.append(f"The embedder {name!r} is not used, {STATIC!r} is instead: {error}")
        return make_embedder(STATIC, loaded)


def _trained_side(
    name: str, loaded: LoadedModel, short_name: str, notes: list[str]
) -> tuple[LoadedModel, Fuser | None, Projector | None, str]:
    """The generator with the checkpoint's adapter merged in, fuser, projector, preferred context."""
    if name == NO_CHECKPOINT:
        return loaded, None, None, TEXT
    try:
        checkpoint = find_checkpoint(name, loaded, short_name)
        loaded = adapted(loaded, checkpoint)
        backbone = Backbone.of(loaded.model, checkpoint.config.fuser.n_layers)
        fuser, projector = build_modules(checkpoint, backbone, loaded.tokenizer.encode_batch)
    except ModelError as error:
        notes.append(f"The checkpoint is not used, the generator is, as it came: {error}")
        return loaded, None, None, TEXT
    return loaded, fuser, projector, DENSE if checkpoint.config.prefers_dense else TEXT


def adapted(loaded: LoadedModel, checkpoint: Checkpoint) -> LoadedModel:
    """The same model with the checkpoint's adapter merged in, under a name of its own."""
    adapter = checkpoint.config.adapter
    if adapter is None:
        return loaded
    changes = merge_adapter(loaded.model, adapter, checkpoint.tensors)
    # Where a line begins, half of the holes that an adapter was taught to fill came out empty (docs/log.md).
    taught = None if adapter.fim is None else replace(adapter.fim, within_lines_only=True)
    model_id = f"{loaded.model_id}+{checkpoint.fuser_id}"
    return replace(loaded, model_id=model_id, fim=taught or loaded.fim, changes=changes)


def find_checkpoint(name: str, loaded: LoadedModel, short_name: str = "") -> Checkpoint:
    """The checkpoint in the folder `name`, or for `auto` the one shipped for the generator, or a
    seeded one. Raises ModelNotFound, ModelCorrupt or CheckpointMismatch."""
    shipped = WEIGHTS_FOLDER / short_name
    if name != AUTO:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise ModelNotFound(
                f"{name} is no folder; set model.checkpoint to a checkpoint's folder or to auto"
            )
    elif short_name and shipped.is_dir():
        folder = shipped
    else:
        return default_checkpoint(loaded)
    return load_checkpoint(folder, loaded.model_id, loaded.hidden_size)


def default_checkpoint(loaded: LoadedModel, seed: int = 0) -> Checkpoint:
    """The untrained checkpoint with the default sizes, fitted to the generator's own."""
    whole = Backbone.of(loaded.model, 1)
    hidden = whole.hidden_size
    # Two digits: the fuser's id must not change with the number type that this start chose.
    token_norm = float(f"{whole.token_norm():.2g}")
    n_layers = min(FuserConfig.n_layers, int(loaded.model.config.get_text_config().num_hidden_layers))
    dimension = min(FuserConfig.dimension, hidden)
    fuser = FuserConfig(hidden, token_norm, n_layers=n_layers, dimension=dimension)
    projector = ProjectorConfig(hidden, token_norm, dimension=dimension)
    backbone = Backbone.of(loaded.model, n_layers)
    return seeded_checkpoint(loaded.model_id, backbone, fuser, projector, seed)
