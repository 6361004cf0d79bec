"""Which encoders can be used here, and which models of the Hugging Face Hub are on this disk already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gotd.doctor.finding import Finding

# The encoder, the modules that it asks for, and the extra that brings them.
_EXTRAS = (
    ("static", ("model2vec", "wordllama"), "static"),
    ("model2vec:NAME", ("model2vec",), "static"),
    ("sentence-transformers/NAME", ("sentence_transformers",), "transformers"),
    ("onnx:NAME", ("onnx", "onnxruntime", "onnxscript", "transformers", "tokenizers"), "onnx"),
    ("hf:NAME", ("transformers", "tokenizers"), "transformers"),
)


def encoders() -> Iterator[Finding]:
    yield Finding("encoders", "lsa", "comes with gotd")
    for spec, modules, extra in _EXTRAS:
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            yield Finding("encoders", spec, f"needs {', '.join(missing)}", "absent", f"pip install 'gotd[{extra}]'")
        else:
            yield Finding("encoders", spec, "ready" if spec == "static" else "ready, for models of that kind")
    models = list(_downloaded())
    if models:
        yield Finding("encoders", "models on this disk", ", ".join(models))
    else:
        yield Finding("encoders", "models on this disk", f"none in {_cache()}", "absent")


def _cache() -> Path:
    """Where huggingface-hub keeps what it downloads."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()


def _downloaded() -> Iterator[str]:
    for folder in sorted(_cache().glob("models--*/snapshots/*")):
        yield folder.parent.parent.name.removeprefix("models--").replace("--", "/")
