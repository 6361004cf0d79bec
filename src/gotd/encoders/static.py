"""`static`: the mean of 256-d token vectors that the `wordllama` wheel carries; no download, no network, no
GPU.

    x(text) = mean of v_t over the tokens t of the text

The vectors are those of Llama 2's vocabulary, trained by wordllama for similarity.

Differs from wordllama's own class in these points: the files are read from the wheel without importing it
(its loader looks in the wrong folder and then asks the network); texts are pooled by their own length, so no
padding is made and then masked away. Differs from model2vec: nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders.hashing import batches
from gotd.encoders.local import file_digest, require
from gotd.encoders.protocol import digest, encodable
from gotd.errors import ArtifactError

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_SETTINGS = {"kind": "static", "pooling": "mean"}


@dataclass(frozen=True)
class Static:
    """Mean of token vectors.

    Attributes:
        weights: safetensors file with one (v, d) matrix, a vector for each token.
        tokenizer: its tokenizer, as the `tokenizers` library writes it.
    """

    weights: Path
    tokenizer: Path
    spec: str = "static"

    @property
    def dim(self) -> int:
        return int(self._table.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        return digest({**_SETTINGS, "files": file_digest(self.weights, self.tokenizer)})

    @cached_property
    def _table(self) -> torch.Tensor:
        """(v, d) float32."""
        from safetensors.torch import load_file

        (table,) = load_file(self.weights).values()
        return table.float()

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.tokenizer))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; all zero for an empty text."""
        import torch
        from torch.nn.functional import embedding_bag

        vectors = np.empty((len(texts), self.dim), np.float32)
        done = 0
        for batch in batches(texts):
            readable = [encodable(text) for text in batch]
            encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=False)
            tokens = [encoding.ids for encoding in encodings]
            lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
            ids = np.fromiter(chain.from_iterable(tokens), np.int64, int(lengths.sum()))
            starts = torch.from_numpy(np.cumsum(lengths) - lengths)
            means = embedding_bag(torch.from_numpy(ids), self._table, starts, mode="mean")
            vectors[done : done + len(batch)] = means.numpy()
            done += len(batch)
        return vectors

    def config(self) -> dict[str, Any]:
        return {**_SETTINGS, "spec": self.spec, "dim": self.dim, "fingerprint": self.fingerprint}

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {}


def load_static() -> Static:
    """Find the files inside the installed wheel; MissingExtra without it."""
    require("static", ("wordllama", "tokenizers"), "static")
    wheel = find_spec("wordllama")
    if wheel is None or wheel.origin is None:
        raise ArtifactError("the installed wordllama is hollow. Run: pip install --force-reinstall wordllama")
    folder = Path(wheel.origin).parent
    for name in (WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise ArtifactError(
                f"{folder}: found no {name}. Run: pip install wordllama==0.4.0.post1, whose wheel carries the vectors."
            )
    return Static(folder / WEIGHTS, folder / TOKENIZER)
