"""`onnx:NAME`: any encoder that takes tokens, its weights in 8 bits, run by ONNX Runtime on a CPU.

The model is exported with its pooling by torch, its matrices rounded to int8 with a scale for each column, and what
comes in is rounded to 8 bits as it comes (dynamic quantisation). The graph and the tokenizer are part of the fitted
selector, so scoring needs neither the model nor transformers.

Differs from sentence-transformers' `backend="onnx"` in these points: it needs no optimum-onnx, of which no release
can be installed beside transformers 5; nothing is written beside the model.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gotd.encoders import batching
from gotd.encoders.local import load, require
from gotd.encoders.protocol import Encoder, digest
from gotd.encoders.sentence import SentenceEncoder
from gotd.encoders.transformer import Transformer
from gotd.errors import SettingsError

if TYPE_CHECKING:
    import torch

PACKAGES = ("onnx", "onnxruntime", "onnxscript", "tokenizers")
_RUNNING = ("onnxruntime", "tokenizers")
_SETTINGS = {"kind": "onnx", "precision": "int8, a scale a column"}


@dataclass(frozen=True)
class Onnx:
    """An exported encoder.

    Attributes:
        graph: (bytes,) uint8, the ONNX model: `ids` and `mask` (n, t) int64 to `vectors` (n, d).
        tokenizer: (bytes,) uint8, its tokenizer as the `tokenizers` library writes it.
        max_tokens: a text is cut to so many tokens.
        pad: the token to pad with.
        source: the fingerprint of the encoder that was exported.
    """

    spec: str
    graph: NDArray[np.uint8]
    tokenizer: NDArray[np.uint8]
    max_tokens: int
    pad: int
    dim: int
    source: str

    @property
    def fingerprint(self) -> str:
        """That of the model and of how it was rounded: two exports of one model give the same vectors."""
        return digest({**_SETTINGS, "source": self.source})

    @cached_property
    def _session(self) -> Any:
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        return onnxruntime.InferenceSession(self.graph.tobytes(), options, providers=["CPUExecutionProvider"])

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_str(self.tokenizer.tobytes().decode())
        found.no_padding()
        found.enable_truncation(self.max_tokens)
        return found

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) vectors; all zero for a text without a token."""
        return batching.encode(texts, self.dim, "cpu", self._tokens, self._embed, self.pad)

    def _tokens(self, texts: list[str]) -> batching.Tokens:
        return [found.ids for found in self._tokenizer.encode_batch_fast(texts)]

    def _embed(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        from torch import from_numpy

        (vectors,) = self._session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
        return from_numpy(vectors)

    def config(self) -> dict[str, Any]:
        return {
            **_SETTINGS,
            "spec": self.spec,
            "dim": self.dim,
            "max_tokens": self.max_tokens,
            "pad": self.pad,
            "source": self.source,
            "fingerprint": self.fingerprint,
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {"graph": self.graph, "tokenizer": self.tokenizer}


def export_onnx(source: Encoder, spec: str) -> Onnx:
    """Export and round an encoder that was loaded on the CPU.

    Raises:
        MissingExtra: a package that exports or runs is absent.
        SettingsError: the encoder takes no tokens, or torch cannot export it.
    """
    require(spec, PACKAGES, "onnx")
    if isinstance(source, Transformer):
        tokenizer, max_tokens = source.tokenizer, source.max_tokens
    elif isinstance(source, SentenceEncoder) and source.by_tokens:
        tokenizer, max_tokens = source.model.tokenizer, source.model.max_seq_length
    else:
        raise SettingsError(f"{spec}: {source.spec} takes no batches of tokens; leave out onnx:")
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise SettingsError(f"{spec}: the model has no tokenizer.json; leave out onnx:")
    written = tokenizer.backend_tokenizer.to_str().encode()
    return Onnx(
        spec,
        np.frombuffer(load(spec, lambda: _exported(source)), np.uint8),
        np.frombuffer(written, np.uint8),
        max_tokens,
        tokenizer.pad_token_id or 0,
        source.dim,
        source.fingerprint,
    )


def restore_onnx(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Onnx:
    require(config["spec"], _RUNNING, "onnx")
    names = ("max_tokens", "pad", "dim", "source")
    return Onnx(config["spec"], tensors["graph"], tensors["tokenizer"], *(config[name] for name in names))


def _exported(source: Transformer | SentenceEncoder) -> bytes:
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Embedder(torch.nn.Module):
        """Tokens and mask to vectors, as one module."""

        def __init__(self) -> None:
            super().__init__()
            self.model = source.model

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return source.embed(ids, mask)

    # A batch of two lengths, so that padding is a part of what is exported.
    ids = torch.full((2, 7), 1)
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder, _quietly():
        exact, rounded = (Path(folder) / name for name in ("exact.onnx", "rounded.onnx"))
        torch.onnx.export(
            Embedder().eval(),
            (ids, mask),
            exact,
            input_names=["ids", "mask"],
            output_names=["vectors"],
            dynamic_shapes=(sizes, sizes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        quantize_dynamic(exact, rounded, per_channel=True, weight_type=QuantType.QInt8)
        return rounded.read_bytes()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' notes to their developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
