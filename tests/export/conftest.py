"""Selections to export: texts of two sources with licences, and chats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd import Selection, select

Record = dict[str, Any]
Choose = Callable[..., Selection]


@pytest.fixture(scope="session")
def choose_all(tmp_path_factory: pytest.TempPathFactory, corpora) -> Choose:
    """choose_all(**sources of records) -> a selection of every record of them."""

    def made(format: str = "jsonl", **sources: list[Record]) -> Selection:
        folder = tmp_path_factory.mktemp("exported")
        (folder / "pool").mkdir()
        for name, records in sources.items():
            lines = [orjson.dumps(record) for record in records]
            (folder / "pool" / f"{name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        budget = sum(map(len, sources.values()))
        return select(
            folder / "pool", corpora.target, budget, folder / "out", dedup="off", workers=1, polish=0, format=format
        )

    return made


@pytest.fixture(scope="session")
def texts(choose_all: Choose, text) -> Selection:
    """Twelve texts: those of `books` under one licence, of `web` under two or none."""
    books = [{"id": f"b{i}", "text": text(i, i % 2 == 0), "license": "mit"} for i in range(6)]
    web = [{"id": f"w{i}", "text": text(10 + i, i % 2 == 0)} for i in range(6)]
    web[0]["license"] = "CC-BY-4.0"
    return choose_all(books=books, web=web)


@pytest.fixture(scope="session")
def chat(text) -> Callable[..., Record]:
    """chat(seed, *roles) -> a record of turns in these roles; user and assistant if left out."""

    def made(seed: int, *roles: str) -> Record:
        turns = roles or ("user", "assistant")
        return {"messages": [{"role": role, "content": text(10 * seed + i, i % 2)} for i, role in enumerate(turns)]}

    return made


@pytest.fixture(scope="session")
def chats(choose_all: Choose, chat: Callable[..., Record]) -> Selection:
    """Eight chats; the second has a system prompt, the third four turns."""
    records = [chat(i) for i in range(8)]
    records[1] = chat(1, "system", "user", "assistant")
    records[2] = chat(2, "user", "assistant", "user", "assistant")
    return choose_all(talk=records)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, text) -> Path:
    """Folder of a language model of one layer, with a tokenizer and a chat template."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    words.train_from_iterator([text(i, i % 2 == 0) for i in range(50)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=1024,
    )
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
