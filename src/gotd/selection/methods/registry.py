"""From the user's word for a way to choose to the method, fresh or fitted before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from gotd.errors import ArtifactError, SettingsError
from gotd.selection.methods.options import read_options
from gotd.selection.methods.protocol import Method, Samples

if TYPE_CHECKING:
    from torch import Tensor

    from gotd.transport import Measure

_HOMES = {
    "random": "uniform",
    "nearest": "nearest",
    "round-robin": "round_robin",
    "mmd": "mmd",
    "dsir": "dsir",
    "knn-kde": "knn_kde",
    "all-target": "all_target",
}
GOTD = "gotd"
BLIND = ("random", "dsir", "all-target")  # methods that look at no vector of a candidate: `needs_points` is False
KNOWN_METHODS = tuple(_HOMES)


def check_method(name: str, options: Mapping[str, Any] | None = None) -> None:
    """SettingsError unless `name` is gotd's own or one of KNOWN_METHODS, and takes these options."""
    home = None if name == GOTD else _home(name)
    if options and home is None:
        read_options(name, options, {})
    elif options:
        import_module(f"gotd.selection.methods.{home}").checked(options)


def fit_method(
    name: str,
    *,
    reference_texts: Sequence[str],
    target_texts: Sequence[str],
    reference: Measure,
    target: Measure,
    pool: int = 0,
    target_parts: Sequence[tuple[int, float]] = (),
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Method:
    """The method that `name` names, fitted on a sample of the reference (n) and the target (m).

    Args:
        name: one of KNOWN_METHODS.
        reference_texts: texts of the sample; only `dsir` and `knn-kde` look at them.
        target_texts: texts of the target; only `dsir` looks at them.
        reference: (n, d) points and weights of the sample.
        target: (m, d) points and weights.
        pool: documents that the sample stands for; where they are not known, 0.
        target_parts: documents and share of each target, where several are pooled.
        seed: of all that is drawn.
        options: of that method alone; its module names them.

    Raises:
        SettingsError: an unknown method or option, or a value that does not fit.
        InputError: samples from which the method cannot be fitted.
    """
    module = import_module(f"gotd.selection.methods.{_home(name)}")
    samples = Samples(reference_texts, target_texts, reference, target, pool, target_parts)
    method: Method = module.fit(samples, seed, module.checked(options or {}))
    return method


def restore_method(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Method:
    """The method whose `config()` and `tensors()` were kept; ArtifactError where a part is missing."""
    module = import_module(f"gotd.selection.methods.{_home(str(config.get('method')))}")
    try:
        method: Method = module.restore(config, tensors)
    except KeyError as error:
        raise ArtifactError(f"the saved method {config['method']} lacks {error}; fit it again") from error
    return method


def _home(name: str) -> str:
    if name in _HOMES:
        return _HOMES[name]
    known = ", ".join((GOTD, *KNOWN_METHODS))
    near = get_close_matches(str(name).lower(), KNOWN_METHODS, n=1)
    raise SettingsError(f'no method "{name}"; known: {known}. Did you mean {near[0] if near else KNOWN_METHODS[0]}?')
