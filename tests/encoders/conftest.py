"""Tiny models, made on the spot: a BERT of 16 dimensions, a GPT-2 without a pad token, a model2vec table."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORDS = [*["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "dog", "ran"], *"abcdefgh"]


def _tokenizer(special: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic of formulas that are checked to the last digits, on any CPU."""
    monkeypatch.setattr("gotd.encoders.batching.products", lambda device: nullcontext())


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an encoder whose tokenizer knows WORDS; positions end at 32."""
    import torch
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=_tokenizer(special=True), **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a decoder without pad or other special tokens."""
    import torch
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt2")
    PreTrainedTokenizerFast(tokenizer_object=_tokenizer(special=False)).save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    GPT2Model(GPT2Config(vocab_size=len(WORDS), n_embd=8, n_layer=1, n_head=2, n_positions=64, **ends)).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def model2vec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from model2vec import StaticModel

    folder = tmp_path_factory.mktemp("model2vec")
    vectors = np.random.default_rng(0).standard_normal((len(WORDS), 4)).astype(np.float32)
    # As a distilled model has it.
    config = {"model_type": "model2vec"}
    StaticModel(vectors, _tokenizer(special=False), config=config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sentence_folder(tmp_path_factory: pytest.TempPathFactory, bert: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("sentence")
    modules = [Transformer(str(bert)), Pooling(16), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))
    return folder
