"""A small GPT, what it is trained with, and its loss on held-out text, in bfloat16 where the machine has it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from plan import Plan
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

END = 0


class Block(nn.Module):
    """Attention, then a perceptron, each on normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        parts = self.mix(self.before(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.gelu(self.up(self.between(x))))


class GPT(nn.Module):
    """Tokens (n, t) to logits (n, t, vocabulary); input and output embeddings are tied."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.tokens = nn.Embedding(plan.vocabulary, plan.width)
        self.places = nn.Embedding(plan.context, plan.width)
        self.blocks = nn.ModuleList(Block(plan.width, plan.heads) for _ in range(plan.layers))
        self.norm = nn.LayerNorm(plan.width)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x) + self.places.weight[: x.shape[1]]
        for block in self.blocks:
            h = block(h)
        return F.linear(self.norm(h), self.tokens.weight)


def fit_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE; token 0 ends a document."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of each text, and its end."""
    return [[*found.ids, END] for found in tokenizer.encode_batch(list(texts))]


def windows(documents: Sequence[Sequence[int]], context: int) -> Tensor:
    """(n, context + 1): documents one after the other; each window's first token is the last of the one before."""
    stream = torch.tensor([END, *(token for document in documents for token in document)])
    count = (len(stream) - 1) // context
    return torch.stack([stream[i * context : (i + 1) * context + 1] for i in range(count)])


def step_loss(model: GPT, rows: Tensor, reduction: str = "mean") -> Tensor:
    """Cross entropy in nats of the next token, for windows (n, context + 1)."""
    rows = rows.to(model.tokens.weight.device)
    with torch.autocast(rows.device.type, torch.bfloat16):
        logits = model(rows[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction=reduction)


def optimiser(model: GPT, rate: float) -> torch.optim.AdamW:
    """AdamW, weight decay on matrices."""
    flat = [p for p in model.parameters() if p.ndim < 2]
    deep = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": deep, "weight_decay": 0.1}, {"params": flat, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.95), fused=True)


def schedule(step: int, steps: int, rise: int) -> float:
    """Linear up over `rise` steps, then cosine down to a tenth; a fraction of the peak."""
    if step < rise:
        return (step + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def train(
    model: GPT,
    rows: Tensor,
    plan: Plan,
    rate: float,
    *,
    optimizer: torch.optim.AdamW | None = None,
    start: int = 0,
    rise: int | None = None,
    after: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """One epoch over windows in their order, from step `start`; `after` is told each step and its mean loss."""
    optimizer = optimizer or optimiser(model, rate)
    steps = -(-len(rows) // plan.batch)
    rise = max(1, steps // 10) if rise is None else rise
    model.train()
    for step in range(start, steps):
        batch = rows[step * plan.batch : (step + 1) * plan.batch]
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(step, steps, rise)
        total = 0.0
        for part in batch.split(plan.micro):
            loss = step_loss(model, part) * len(part) / len(batch)
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        after(step, total)


def item_bits(model: GPT, documents: Sequence[Sequence[int]], plan: Plan) -> NDArray[np.float64]:
    """(n,) bits that each document costs, its end not counted; the last window is filled up with ends."""
    model.eval()
    length = sum(len(document) for document in documents)
    padding = -length % plan.context
    rows = windows([*documents, [END] * padding], plan.context)
    with torch.inference_mode():
        nats = torch.cat([step_loss(model, part, "none") for part in rows.split(plan.micro)]).cpu().double().numpy()
    owner = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    text = np.array([token != END for document in documents for token in document])
    return np.bincount(owner[text], nats[:length][text], minlength=len(documents)) / math.log(2)


def pretrained(folder: Path, plan: Plan, texts: Sequence[str], seed: int = 0) -> tuple[GPT, Tokenizer]:
    """The model and its tokenizer, trained where they are not there yet; a stopped run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    words, weights, halfway = (folder / name for name in ("tokenizer.json", "model.pt", "halfway.pt"))
    if not words.exists():
        fit_tokenizer(texts[:: max(1, len(texts) // 6_000)], plan.vocabulary).save(str(words))
    tokenizer = Tokenizer.from_file(str(words))
    torch.manual_seed(seed)
    model = GPT(plan).to(plan.device)
    if weights.exists():
        model.load_state_dict(torch.load(weights, map_location=plan.device))
        return model, tokenizer
    rows = windows(encoded(tokenizer, texts), plan.context)
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    optimizer, start = optimiser(model, plan.pretraining_rate), 0
    if halfway.exists():
        kept = torch.load(halfway, map_location=plan.device)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        start = kept["step"] + 1
    steps = -(-len(rows) // plan.batch)
    print(f"pretraining: {rows[:, 1:].numel():,} tokens, {sum(p.numel() for p in model.parameters()):,} parameters")
    losses: list[float] = []

    def after(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 100 == 99:
            print(f"step {step + 1} of {steps}: {np.mean(losses[-100:]):.3f} nats a token", flush=True)
        if step % 200 == 199:
            _save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, halfway)

    train(model, rows, plan, plan.pretraining_rate, optimizer=optimizer, start=start, rise=200, after=after)
    _save(model.state_dict(), weights)
    halfway.unlink(missing_ok=True)
    return model, tokenizer


def _save(what: object, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(what, temporary)
    temporary.replace(path)
