"""Model folders: what kind of language model they hold, with which tokenizer, and how it is loaded and saved."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd.artifacts import MANIFEST, STARTED, read_json
from gotd.display import console
from gotd.encoders.local import file_digest, load, require
from gotd.encoders.transformer import TOKENIZER_FILES, check_tokenizer
from gotd.encoders.weights import precision as native_dtype
from gotd.encoders.weights import resolve_device
from gotd.errors import ArtifactError, SettingsError
from gotd.launched import speaks
from gotd.training.settings import Kind, Precision

if TYPE_CHECKING:
    import torch

LONGEST = 1024
_MODEL_FILES = ("*.json", "*.safetensors", "*.bin", *TOKENIZER_FILES)
# peft 0.21 asks transformers 5 by a name that is on its way out.
_BETWEEN_LIBRARIES = ("`is_gradient_checkpointing` is deprecated",)
_NO_LIMIT = 1_000_000  # a tokenizer without a limit says 1e30


def need_training(what: str, *more: str) -> None:
    """MissingExtra, with the pip line, unless the libraries of `gotd[train]` are there."""
    require(what, ("transformers", "accelerate", *more), "train")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers, and what the libraries tell each other; gotd speaks for itself."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            for message in _BETWEEN_LIBRARIES:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def kind_of(name: str) -> Kind:
    """Whether a model guesses the next token (`causal`) or masked ones, by its config.

    Raises:
        SettingsError: neither, or there is no such model.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    config = load(name, lambda: AutoConfig.from_pretrained(name))
    for architecture in getattr(config, "architectures", None) or ():
        if architecture.endswith("ForMaskedLM"):
            return "masked"
        if architecture.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
    # A bare or a fine-tuned model: most families are of one kind; those of both, as BERT, were made masked.
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return "masked"
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "causal"
    raise SettingsError(
        f'{name}: found a model of type "{config.model_type}", wanted a causal or a masked language model. '
        "Pass one such as GPT-2, Llama or BERT."
    )


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model, with a pad token: its own, or else its EOS token."""
    from transformers import AutoTokenizer

    check_tokenizer(name)
    tokenizer = load(name, lambda: AutoTokenizer.from_pretrained(name))
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    # Texts are cut into windows after this: what the library says of their length is no news, and alarms.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


def load_model(name: str, auto: str, dtype: torch.dtype, **options: Any) -> Any:
    """A model by one of the library's Auto classes, such as `AutoModelForCausalLM`."""
    import transformers

    made = getattr(transformers, auto)
    return load(name, lambda: made.from_pretrained(name, dtype=dtype, **options))


def load_language_model(name: str, kind: Kind, dtype: torch.dtype) -> Any:
    """A causal or masked language model with all its weights.

    Raises:
        SettingsError: the checkpoint lacks weights, which would be random.
    """
    auto = "AutoModelForCausalLM" if kind == "causal" else "AutoModelForMaskedLM"
    model, info = load_model(name, auto, dtype, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    if missing:
        raise SettingsError(
            f"{name}: the checkpoint lacks {len(missing)} weights of a {kind} language model, {missing[0]} first; "
            "they would be random. Pass a model that was saved with its language head."
        )
    return model


def load_body(name: str, auto: str, dtype: torch.dtype, **options: Any) -> Any:
    """A model whose last layers may be new, such as `AutoModelForSequenceClassification`.

    Raises:
        SettingsError: the checkpoint lacks other weights, which would be random. A pooler is one of the last layers.
    """
    model, info = load_model(name, auto, dtype, output_loading_info=True, **options)
    body = "" if model.base_model is model else f"{model.base_model_prefix}."
    missing = sorted(key for key in info["missing_keys"] if key.startswith(body) and "pooler" not in key)
    if missing:
        raise SettingsError(
            f"{name}: the checkpoint lacks {len(missing)} weights, {missing[0]} first; they would be random. "
            "Pass a complete model."
        )
    return model


def longest_input(model: Any, tokenizer: Any) -> int:
    """Tokens that the model takes at once, as its config and tokenizer say; 1024 where neither does."""
    config = model.config
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len")]
    found = [int(limit) for limit in limits if limit]
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        found = [limit - 2 for limit in found]  # their positions start after the pad token's
    if tokenizer.model_max_length < _NO_LIMIT:
        found.append(int(tokenizer.model_max_length))
    return min(found, default=LONGEST)


def window_of(model: Any, tokenizer: Any, wanted: int | None) -> int:
    """The window asked for, checked, or the model's own up to 1024 tokens."""
    longest = longest_input(model, tokenizer)
    if wanted is not None and wanted > longest:
        raise SettingsError(f"window is {wanted} tokens, and the model takes {longest}; pass --window {longest}")
    return wanted or min(LONGEST, longest)


def arithmetic(device: str, precision: Precision) -> tuple[torch.device, bool]:
    """The device, and whether it computes in bf16."""
    import torch

    where = resolve_device(device)
    has_bf16 = where.type == "cuda" and native_dtype(where) == torch.bfloat16
    if precision in ("mixed", "bf16"):
        return where, True
    return where, precision == "auto" and has_bf16


def weights_dtype(bf16: bool, precision: Precision, lora: int | None) -> torch.dtype:
    """Of the weights as loaded. Weights that are trained are float32 unless bf16 is asked for: steps of 1e-5 of a
    weight are lost in bf16's eight bits. Frozen ones need no such care."""
    import torch

    return torch.bfloat16 if bf16 and (precision == "bf16" or lora) else torch.float32


def with_lora(model: Any, rank: int, task: str | None) -> Any:
    """The model with low-rank factors on all its linear layers, the only weights left to train.

    Args:
        task: of peft's tasks; of `SEQ_CLS` the new head is trained in full.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    # GPT-2 holds its matrices the other way round.
    turned = any(isinstance(module, Conv1D) for module in model.modules())
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type=task, fan_in_fan_out=turned)
    with quiet():
        return get_peft_model(model, config)


def save_model(model: Any, tokenizer: Any, folder: Path, weights: Any = None) -> None:
    """Model and tokenizer; of low-rank factors the merged model, and they alone in `adapter/`.

    Args:
        weights: by name, where the model has but a part of them.
    """
    with quiet():
        if hasattr(model, "merge_and_unload"):
            model.save_pretrained(folder / "adapter", save_embedding_layers=False)
            model = model.merge_and_unload()
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


def model_inputs(name: str) -> list[str]:
    """What a manifest says of a model: the name of a hub's, the digest of a folder's files."""
    folder = Path(name)
    if not folder.is_dir():
        return [name]
    found = sorted({path for pattern in _MODEL_FILES for path in folder.glob(pattern) if path.name != MANIFEST})
    if not found:
        raise SettingsError(f"{name}: holds no model. Pass a folder written by save_pretrained.")
    return [f"{folder.resolve()} {file_digest(*found)} {_names(found)}"]


def _names(paths: list[Path]) -> str:
    return hashlib.sha256("\n".join(path.name for path in paths).encode()).hexdigest()[:8]


def made_by(name: str) -> dict[str, Any]:
    """The manifest of the training that left a model, one of several seeds too; nothing of any other model."""
    folder = Path(name)
    several = folder.resolve().parent / MANIFEST
    if (folder / MANIFEST).is_file():
        return read_json(folder / MANIFEST)
    if folder.resolve().name.startswith("seed-") and several.is_file():
        found = read_json(several)
        return found if folder.resolve().name in found.get("models", ()) else {}
    return {}


def check_finished(name: str, *, one: bool = True) -> None:
    """Refuse the folder of a training that has not ended, and, where `one` model is wanted, one that holds several.

    What is no folder is refused unless the hub may have a model of that name.
    """
    folder = Path(name)
    if not folder.is_dir():
        _check_hub(name)
        return
    if not (folder / MANIFEST).exists():
        if (folder / STARTED).exists():
            raise ArtifactError(f"{name}: this training has not ended; run its command again, and it goes on")
        return
    models = read_json(folder / MANIFEST).get("models", ["."])
    if one and len(models) > 1:
        raise SettingsError(
            f"{name}: holds {len(models)} models, one a seed; pass one of them, such as {folder / models[0]}"
        )


@lru_cache
def _check_hub(name: str) -> None:
    """Say, once, that the hub is asked; refuse what can be no name there."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    wanted = "pass a folder written by save_pretrained, or the name of a model on the hub, such as gpt2"
    if Path(name).exists():
        raise SettingsError(f"{name}: is a file; {wanted}")
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise SettingsError(f"{name}: no such folder, and no name that the hub could have; {wanted}") from None
    if speaks():
        console(stderr=True).print(f'gotd: no folder "{name}" here; asking the hub for a model of that name')
