"""What the encoders on torch share: where they run, in what precision, and the digest of what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gotd.encoders.protocol import digest
from gotd.errors import SettingsError

if TYPE_CHECKING:
    import torch

ON_GPU = ("transformer", "sentence-transformers")  # kinds of encoders that run on one


def resolve_device(device: str) -> torch.device:
    """`auto` is the first CUDA device, else Apple's MPS, else the CPU."""
    import torch

    if device == "auto":
        has_mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    # torch knows the names of many more: of hardware that gotd was never run on, and `meta`, which holds no numbers.
    if found is None or found.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f'no device "{device}". Pass auto, cpu, cuda, cuda:1 or mps.')
    if found.type != "cuda" and found.index:
        raise SettingsError(f"device {device}: there is one {found.type} alone. Pass --device {found.type}.")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device {device}: this torch finds no CUDA. Pass --device cpu, or install a CUDA build.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise SettingsError(f"device {device}: the last here is cuda:{last}. Pass that, or one before it.")
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError(f"device {device}: this torch finds no MPS. Pass --device cpu.")
    return found


def precision(device: torch.device) -> torch.dtype:
    """float32 on the CPU, bfloat16 on a GPU that has it, float16 on others."""
    import torch

    if device.type == "cpu":
        return torch.float32
    # Asked in a word, torch says that a card before Ampere has bfloat16 too: it has the type, and no units for it.
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8:
        return torch.bfloat16
    return torch.float16


def products(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 in the products of a CPU that has instructions for them, its weights and sums left in float32.

    MiniLM is 2.5 times as fast so (docs/encoders.md). Elsewhere nothing: on a GPU the weights have their precision.
    """
    import torch

    # Older releases of torch cannot be asked.
    able = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
    if device.type == "cpu" and (able.get("avx512_bf16") or able.get("amx_bf16")):
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def transport_device(device: str, encoder: Mapping[str, Any]) -> torch.device:
    """Where potentials are fitted and documents priced: beside an encoder that uses CUDA, or where CUDA is asked for.

    Elsewhere on the CPU, and so on a Mac: its GPU has no float64. Where the encoder runs on the CPU every worker would
    need a context on the GPU for pricing alone; whether that is worth it has not been measured, so `auto` leaves it.

    Args:
        device: as the user said it.
        encoder: its config.
    """
    import torch

    found = torch.device("cpu") if device == "cpu" else resolve_device(device)
    asked = device != "auto" or encoder.get("kind") in ON_GPU
    return found if found.type == "cuda" and asked else torch.device("cpu")


def weights_digest(settings: Mapping[str, Any], weights: Mapping[str, torch.Tensor], tokenizer: Any) -> str:
    """Digest of a model as loaded, the same on every device and for a copy in another folder.

    A pooler is left out: no vector here comes from one, and a checkpoint without one gets a random one.
    """
    names = [name for name in sorted(weights) if "pooler" not in name]
    told = {**settings, "weights": names, "tokenizer": _tokenizer_text(tokenizer)}
    return digest(told, _arrays(weights, names))


def _arrays(weights: Mapping[str, torch.Tensor], names: list[str]) -> Iterator[NDArray[Any]]:
    for name in names:
        tensor = weights[name].detach().cpu()
        # float32 holds every half-precision number, so it does not matter in which of them a library loads a
        # file.
        yield (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _tokenizer_text(tokenizer: Any) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        return tokenizer.get_vocab()
    # Padding and truncation are set anew at every call, so they are no part of what a tokenizer is.
    parts = json.loads(backend.to_str())
    return {name: part for name, part in parts.items() if name not in ("padding", "truncation")}
