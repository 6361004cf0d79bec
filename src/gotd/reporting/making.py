"""Write the page: gather, lay out, embed, one file."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd.artifacts import kind_of
from gotd.engine import Progress, silent
from gotd.errors import ArtifactError, MissingExtra, SettingsError

if TYPE_CHECKING:
    from gotd.reporting.account import Account
    from gotd.reporting.plane import Projection

PAGE = "report.html"
POINTS = 20_000
_PACKAGES = ("plotly", "jinja2")


def check_extras(projection: str = "pca") -> None:
    """Before the work: whether the packages that the page needs are there.

    Raises:
        MissingExtra: one is not.
        SettingsError: there is no such projection.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtra("the report", " and ".join(missing), "report")
    from gotd.reporting.plane import check_projection

    check_projection(projection)


def report(
    folder: Path | str,
    output: Path | str | None = None,
    *,
    points: int = POINTS,
    projection: Projection = "pca",
    map: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
) -> Path:
    """Write one self-contained HTML page about a selection, or about a comparison.

    Args:
        folder: a finished folder of `select`, `choose` or `compare`.
        output: the page to write, or a folder for it; left out, `report.html` in the selection's folder.
        points: candidates on the map; of a larger pool a seeded sample is drawn, with all that was selected. This and
            what follows is of selections alone.
        projection: `pca`, or `umap`, which needs gotd[umap].
        map: also write `map.parquet` beside the page: id, source, score, x, y, role, text.
        seed: of the samples and of UMAP.
        device: where a transformer encoder runs.
        progress: called as work is done.

    Returns:
        The path of the page.

    Raises:
        ArtifactError: the folder holds no finished selection, or the page cannot be written.
        MissingExtra: a package of gotd[report] or gotd[umap] is not installed.
    """
    check_extras(projection)
    if not points >= 1:
        raise SettingsError(f"points is {points}; wanted 1 or more")
    path = _path(folder, output)
    if kind_of(folder) == "compare":
        from gotd.comparison.running import Comparison
        from gotd.reporting.comparing import comparison_page

        _write(path, comparison_page(Comparison.load(folder)))
        return path
    from gotd.reporting.account import gather
    from gotd.reporting.dots import write_map
    from gotd.reporting.page import document
    from gotd.reporting.sections import SECTIONS

    account = gather(folder, points=points, projection=projection, seed=seed, device=device, progress=progress)
    title = f"gotd: {account.folder.resolve().name}"
    _write(path, document(title, [section(account) for section in SECTIONS], drawn(account)))
    if map:
        try:
            write_map(account.dots, path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
    return path


def _write(path: Path, page: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(page, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ArtifactError:
    return ArtifactError(f"cannot write {path}: {error.strerror}; choose another --output")


def _path(folder: Path | str, output: Path | str | None) -> Path:
    if output is None:
        return Path(folder) / PAGE
    path = Path(output)
    return path / PAGE if path.is_dir() else path


def drawn(account: Account) -> dict[str, Any]:
    """What the scripts draw: the histogram and the map, in columns."""
    from gotd.reporting.dots import ROLES

    table, scored = account.dots.table, account.scored
    sources = sorted(set(table["source"].to_pylist()) - {None})
    numbers = {source: number for number, source in enumerate(sources)}
    return {
        "histogram": {"edges": scored.edges, "pool": scored.pool, "chosen": scored.chosen, "cut": scored.cut},
        "roles": ROLES,
        "sources": sources,
        "files": [
            {"path": file["path"], "unit": "byte" if file["format"] in ("jsonl", "txt") else "row"}
            for file in account.manifest["files"]
        ],
        "dots": {
            "role": [ROLES.index(role) for role in table["role"].to_pylist()],
            "source": [None if source is None else numbers[source] for source in table["source"].to_pylist()],
            "near": [account.near.get(dot) for dot in range(len(table))],
            **{name: _rounded(table[name].to_pylist(), 4) for name in ("x", "y", "score", "price")},
            **{name: table[name].to_pylist() for name in ("id", "text", "rank", "file", "position", "piece")},
        },
    }


def _rounded(values: list[float | None], digits: int) -> list[float | None]:
    return [None if value is None else round(value, digits) for value in values]
