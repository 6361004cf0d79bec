"""Local model folders and model ids of the hub: the questions asked before any library is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeVar

from gotd.errors import GotdError, InputError, MissingExtra, SettingsError

Model = TypeVar("Model")


def require(spec: str, modules: tuple[str, ...], extra: str) -> None:
    """MissingExtra, with the pip line, unless every one of the modules is installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(spec, ", ".join(module.replace("_", "-") for module in missing), extra)


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder."""
    path = folder / "config.json"
    if not path.is_file():
        found = ", ".join(sorted(child.name for child in folder.iterdir())[:5]) or "nothing"
        raise SettingsError(
            f"{folder}: no config.json or modules.json; found {found}. Pass a folder written by save_pretrained."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}). Save the model again.") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: found a {type(config).__name__}, wanted an object. Save the model again.")
    return config


@contextmanager
def without_bars() -> Iterator[None]:
    """Weights are loaded several times in a run; the library's bars would stand between gotd's own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load(name: str, loader: Callable[[], Model]) -> Model:
    """Run `loader`; whatever it meets becomes a SettingsError that names the model and the way out."""
    try:
        with of_hub_or_cache(name):
            return loader()
    except GotdError:
        raise
    # The libraries fail with OSError, ValueError, KeyError, their own HTTP errors and more: all mean the same
    # here.
    except Exception as error:
        reason = shorten(str(error), 200, placeholder=" …") or type(error).__name__
        if Path(name).is_dir():
            message = (
                f"{name}: no model could be loaded from this folder: {reason}. It wants config, weights and tokenizer."
            )
        else:
            silent = "" if _answers(name) else "the hub does not answer, and from its cache: "
            message = (
                f'no folder "{name}" here, and the model id "{name}" could not be loaded: {silent}{reason}. '
                "Check the name and the network, or pass a local folder that holds the model."
            )
        raise SettingsError(message) from error


@contextmanager
def of_hub_or_cache(name: str) -> Iterator[None]:
    """Where the hub does not answer, the libraries look in its cache alone: half a minute sooner for each file."""
    if Path(name).is_dir() or _answers(name):
        yield
        return
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@lru_cache
def _answers(name: str) -> bool:
    """Whether the hub says anything of a model, be it that there is none; asked once, and once more if it is silent."""
    if not find_spec("huggingface_hub"):
        return True
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    for _ in range(2):
        try:
            get_hf_file_metadata(hf_hub_url(name, "config.json"))
            return True
        except (HfHubHTTPError, HFValidationError):
            return True
        except Exception:  # of whichever HTTP client this version has
            continue
    return False


def file_digest(*paths: Path) -> str:
    """16 hex digits of sha256 over the contents of the files, in the order given."""
    whole = hashlib.sha256()
    for path in paths:
        one = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                one.update(block)
        whole.update(one.digest())
    return whole.hexdigest()[:16]
