"""Exact counts of tokens, by the tokenizer of the model that will read the selection.

Where none is given, a token is taken to be four bytes (`selection.budget`), and called estimated.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.local import of_hub_or_cache, require
from gotd.encoders.protocol import encodable
from gotd.errors import SettingsError
from gotd.selection.budget import estimated_tokens


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A tokenizer of Hugging Face's `tokenizers`.

    Attributes:
        name: as the user wrote it.
        digest: 16 hex digits of its content.
    """

    name: str
    digest: str
    _found: Any

    def count(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """(n,) tokens of each text, none left out and none added, such as marks of beginning or end."""
        # Text by text: a batch would start a thread for each core in every worker.
        counts = [len(self._found.encode_batch_fast([encodable(t)], add_special_tokens=False)[0]) for t in texts]
        return np.array(counts, dtype=np.int32)


def token_counts(texts: Sequence[str], tokenizer: Tokenizer | None) -> NDArray[np.int32]:
    """(n,) tokens of each text; estimated without a tokenizer."""
    if tokenizer is None:
        return np.array([estimated_tokens(text) for text in texts], dtype=np.int32)
    return tokenizer.count(texts)


def load_tokenizer(name: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`, of a folder that holds one, or of a model's id on the Hugging Face hub.

    Raises:
        MissingExtra: `tokenizers` is not installed.
        SettingsError: there is none, or it cannot be read.
    """
    name = os.fspath(name)
    require(f"--tokenizer {name}", ("tokenizers",), "tokenizer")
    from tokenizers import Tokenizer as Loaded

    path = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
    local = path.is_file()
    if not local and (path != Path(name) or path.suffix == ".json"):
        raise SettingsError(
            f"{path}: no such file; wanted a tokenizer.json, its folder, or a model's id. save_pretrained writes one"
        )
    try:
        with nullcontext() if local else of_hub_or_cache(name):
            found = Loaded.from_file(str(path)) if local else Loaded.from_pretrained(name)
    except Exception as error:  # the library raises nothing narrower, nor do the hub's clients
        why = " ".join(str(error).split())[:200]
        remedy = "Write it again with save_pretrained" if local else "Check the id and the network, or pass a file"
        raise SettingsError(f'the tokenizer "{name}" could not be loaded: {why}. {remedy}') from error
    # A file may ask for both; a text has all of its tokens, and no others.
    found.no_truncation()
    found.no_padding()
    return Tokenizer(name, hashlib.sha256(found.to_str().encode()).hexdigest()[:16], found)


def identity(name: str | os.PathLike[str] | None) -> dict[str, str] | None:
    """Name and digest of a tokenizer for a manifest; None where tokens are estimated."""
    if name is None:
        return None
    found = load_tokenizer(name)
    return {"name": found.name, "digest": found.digest}
