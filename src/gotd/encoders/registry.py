"""From the user's word for an encoder to the encoder, fresh or fitted before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gotd.encoders.local import require
from gotd.encoders.protocol import Encoder
from gotd.encoders.weights import resolve_device
from gotd.errors import ArtifactError, SettingsError

EMBEDDED = ("lsa", "static", "lsa+static")
KNOWN_SPECS = (
    *EMBEDDED,
    "sentence-transformers/NAME",
    "hf:NAME",
    "onnx:NAME",
    "model2vec:NAME",
    "precomputed",
)


def fit_encoder(spec: str, texts: Sequence[str], *, device: str = "auto", seed: int = 0) -> Encoder:
    """The encoder that `spec` names: `lsa` and `lsa+static` are fitted on `texts`, any other is loaded.

    Args:
        spec: one of KNOWN_SPECS, or a local folder that holds a model.
        texts: a sample of reference and target; only `lsa` and `lsa+static` look at it.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`: where a transformer runs.
        seed: of the randomised decomposition of `lsa`.
    """
    resolve_device(device)  # one that is not there is refused, whether this encoder would run on it or not
    if spec == "lsa":
        from gotd.encoders.lsa import fit_lsa

        return fit_lsa(texts, seed=seed)
    if spec == "lsa+static":
        from gotd.encoders.joined import fit_joined

        return fit_joined(texts, seed=seed)
    return _load(spec, device)


def restore_encoder(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], *, device: str = "auto") -> Encoder:
    """The encoder whose `config()` and `tensors()` were kept; ArtifactError if it is no longer the same."""
    resolve_device(device)
    spec = config["spec"]
    encoder: Encoder
    if config["kind"] == "lsa":
        from gotd.encoders.lsa import restore_lsa

        encoder = restore_lsa(config, tensors)
    elif config["kind"] == "lsa+static":
        from gotd.encoders.joined import restore_joined

        encoder = restore_joined(config, tensors)
    elif config["kind"] == "precomputed":
        from gotd.encoders.precomputed import Precomputed

        encoder = Precomputed(config["dim"])
    elif config["kind"] == "onnx":
        from gotd.encoders.onnx import restore_onnx

        encoder = restore_onnx(config, tensors)
    else:
        encoder = _load(spec, device)
    if encoder.fingerprint != config["fingerprint"]:
        raise ArtifactError(
            f"the encoder at {spec} differs from the fitted one: fingerprint {encoder.fingerprint}, "
            f"and the selector was fitted with {config['fingerprint']}. "
            "Bring back the model it was fitted with, or fit again."
        )
    return encoder


def _load(spec: str, device: str) -> Encoder:
    kind, _, name = spec.partition(":")
    folder = Path(spec)
    if spec == "static":
        from gotd.encoders.static import load_static

        return load_static()
    if kind == "model2vec" and name:
        from gotd.encoders.model2vec import load_model2vec

        return load_model2vec(name, spec)
    if kind == "onnx" and name:
        from gotd.encoders.onnx import PACKAGES, export_onnx

        require(spec, PACKAGES, "onnx")
        return export_onnx(_load(name, "cpu"), spec)
    if kind == "hf" and name:
        from gotd.encoders.transformer import load_transformer

        return load_transformer(name, spec, device)
    if spec.startswith("sentence-transformers/") and not folder.is_dir():
        from gotd.encoders.sentence import load_sentence_transformer

        return load_sentence_transformer(spec, device)
    if spec and folder.is_dir():
        return _load_folder(folder, spec, device)
    raise SettingsError(_unknown(spec))


def _load_folder(folder: Path, spec: str, device: str) -> Encoder:
    """What the folder holds decides: a model2vec table, a list of modules, or any Hugging Face model."""
    from gotd.encoders.local import read_config

    has_modules = (folder / "modules.json").is_file()
    # A model2vec folder has modules too, for sentence-transformers to read; older releases of that cannot.
    if not has_modules or (folder / "config.json").is_file():
        config = read_config(folder)
        if config.get("model_type") == "model2vec":
            from gotd.encoders.model2vec import load_model2vec

            return load_model2vec(spec, spec)
    if has_modules:
        from gotd.encoders.sentence import load_sentence_transformer

        return load_sentence_transformer(spec, device)
    from gotd.encoders.transformer import load_transformer

    return load_transformer(spec, spec, device)


def _unknown(spec: str) -> str:
    if spec == "precomputed":
        return "encoder precomputed takes its vectors from the records. Pass --embedding-field with their field."
    near = get_close_matches(spec, [known.partition("NAME")[0] for known in KNOWN_SPECS], n=1)
    # A bare NAME/MODEL is how the hub writes it.
    guess = near[0] if near else f"hf:{spec}" if spec.count("/") == 1 else KNOWN_SPECS[0]
    known = ", ".join(KNOWN_SPECS)
    return f'no encoder "{spec}" and no such folder; known: {known}, or a local folder. Did you mean {guess}?'
