"""The warm-up of a model of up to 2.7 billion weights by low-rank factors in bfloat16: memory, and tokens a second.

    python benchmarks/large.py [--size 2.7B] [--work DIR] [--data DIR]
    python benchmarks/large.py --size 125M --tokens 4096 --window 128 --batch 4 --device cpu

The model is as large as GPT-Neo of that name (the sizes of its published config) with weights drawn at random: what is
read, computed and kept is the same, and nothing need be loaded from a hub. It is saved in bfloat16, then `gotd warmup`
reads it in a process of its own, as a user would. Its tokeniser is made from the texts, which are real.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import torch
from tables import load, show
from texts import Texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast

from gotd.corpus import Fields, sample

SIZES = {"125M": (768, 12, 12), "1.3B": (2048, 24, 16), "2.7B": (2560, 32, 20)}  # width, layers, heads
END = "<|endoftext|>"


def make(size: str, texts: list[str], folder: Path) -> None:
    """A model of that size, and a tokeniser of those texts."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=8_192, special_tokens=[END], initial_alphabet=alphabet)
    )
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END).save_pretrained(folder)
    width, layers, heads = SIZES[size]
    config = GPTNeoConfig(
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["global", "local"], layers // 2]],
        dtype="bfloat16",
    )
    torch.set_default_dtype(torch.bfloat16)
    GPTNeoForCausalLM(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="2.7B")
    parser.add_argument("--tokens", type=int, default=262_144)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=16, help="windows a step")
    parser.add_argument("--micro-batch", type=int, help="windows on the device at a time")
    parser.add_argument("--lora", type=int, default=16, help="rank")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--documents", type=int, default=1_000)
    parser.add_argument("--data", type=Path, help="candidates/ and tasks/; left out, the texts of the demo")
    parser.add_argument("--work", type=Path, help="where model and result go; left out, a folder that is deleted")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        texts = [one.text for one in sample(Texts.of(given.data).candidates, Fields(), given.documents, 0).documents]
        (work / "texts.jsonl").write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
        if not (work / given.size / "model.safetensors").exists():
            make(given.size, texts, work / given.size)
        asked = ["--lora", given.lora, "--tokens", given.tokens, "--window", given.window, "--batch-size", given.batch]
        asked += ["--micro-batch", given.micro_batch] if given.micro_batch else []
        asked += ["--gradient-checkpointing"] if given.gradient_checkpointing else []
        asked += ["--precision", "bf16", "--device", given.device, "--overwrite", "-o", work / "warm"]
        command = [sys.executable, "-m", "gotd", "warmup", "-m", work / given.size, "-d", work / "texts.jsonl", *asked]
        subprocess.run([str(part) for part in command], check=True)
        told = json.loads((work / "warm" / "manifest.json").read_text())
    rows = [
        [
            given.size,
            f"{told['parameters']['all']:,}",
            f"{told['parameters']['trained']:,}",
            f"{told['tokens']['seen']:,}",
            f"{told['tokens_per_second']:,.0f}",
            f"{told['peak_memory_bytes'] / 1e9:.1f} GB",
        ]
    ]
    columns = ["", "weights", "trained", "tokens", "tokens/s", "memory"]
    show(f"rank {given.lora}, bf16, {told['device']['name']}, {load()}", columns, rows)


if __name__ == "__main__":
    main()
