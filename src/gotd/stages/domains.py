"""Which sources are near the target at all: the domain test of Kang et al. 2024.

OT between a sample of each source and the target, nearest first; of several targets the mean by weight. All sources
share one encoder, one space, centred on a sample of all of them, and one reg, so that their distances compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from statistics import fmean

from gotd.corpus import Document, Fields, File, GivenFields, Inputs, OnError, fields_from, find, sample_sources
from gotd.encoder_folders import encoder_for
from gotd.encoders import Encoder
from gotd.encoders.precomputed import Precomputed
from gotd.engine import Progress, silent
from gotd.errors import InputError, SettingsError, whole
from gotd.selection.gradient import between_halves
from gotd.stages.fit_settings import FitSettings
from gotd.stages.points import masses, vectors_by
from gotd.stages.samples import of_one_length, sample_alike
from gotd.stages.targets import Aim, Targets, aims
from gotd.transport import Cost, Measure, Problem, solve

PER_SOURCE = 10_000


@dataclass(frozen=True, slots=True)
class Domain:
    """One source.

    Attributes:
        source: its name.
        distance: Sinkhorn divergence (or entropic OT, undebiased) to the target, in units of the cost; of several
            targets the mean by weight.
        documents: documents it was measured on.
        kept: whether it is among the nearest that were asked for.
    """

    source: str
    distance: float
    documents: int
    kept: bool


def domains(
    candidates: Inputs,
    target: Targets,
    *,
    keep: int | None = None,
    per_source: int = PER_SOURCE,
    settings: FitSettings | None = None,
    fields: GivenFields | None = None,
    target_fields: GivenFields | None = None,
    on_error: OnError = "skip",
    device: str = "auto",
    progress: Progress = silent,
) -> list[Domain]:
    """The distance of each source of the candidates to the target, nearest first.

    Args:
        keep: how many of the nearest to mark as kept; None for all.
        per_source: documents to measure a source on, at most.
        settings: of them `fit_sample` is of all sources together, for the encoder and the space.

    Raises:
        SettingsError: fewer sources than are to be kept.
    """
    chosen, where = settings or FitSettings(), fields_from(fields, Fields())
    per_source, keep = whole("per_source", per_source), None if keep is None else whole("keep", keep)
    if keep is not None and not keep >= 1:
        raise SettingsError(f"keep is {keep}; wanted 1 or more sources")
    if not per_source >= 1:
        raise SettingsError(f"per_source is {per_source}; wanted 1 or more documents to measure a source on")
    by_source = _by_source(candidates, where, per_source, chosen.seed, on_error, progress)
    if keep is not None and keep > len(by_source):
        raise SettingsError(
            f"keep is {keep}; wanted {len(by_source)} at most, which is how many sources the candidates have. "
            "--source-field names the field that tells sources apart, where it is not the file"
        )
    where_target = fields_from(target_fields, where.of_target())
    goals = aims(target)
    wanted = [_wanted(goal, where_target, chosen, on_error) for goal in goals]
    each = max(1, chosen.fit_sample // len(by_source))
    # Evenly over each source: its documents are in the order of its file, which may go by topic.
    everything = [document for found in by_source.values() for document in found[:: -(-len(found) // each)]]
    encoder = _encoder(chosen, everything, [document for found in wanted for document in found], device)
    vectors = vectors_by(encoder, everything)
    space, cost = chosen.space(vectors), Cost(chosen.cost)
    base = Measure.of(space(vectors), masses(everything, chosen.text_mass))
    measures = [Measure.of(space(vectors_by(encoder, found)), masses(found, chosen.text_mass)) for found in wanted]
    reg = fmean(Problem.scaled(base, measure, chosen.reg, cost).reg for measure in measures)
    inits = [solve(Problem(base, measure, reg, cost)).g for measure in measures]
    weights = [goal.weight / sum(goal.weight for goal in goals) for goal in goals]
    own = 0.0
    if chosen.debias:
        own = sum(weight * between_halves(measure, reg, cost) for weight, measure in zip(weights, measures))
    measured = []
    for number, (source, found) in enumerate(sorted(by_source.items())):
        progress(f"measuring {source}", number, len(by_source))
        points = Measure.of(space(vectors_by(encoder, found)), masses(found, chosen.text_mass))
        values = [solve(Problem(points, goal, reg, cost), init=init).value for goal, init in zip(measures, inits)]
        value = sum(weight * each for weight, each in zip(weights, values))
        if chosen.debias:
            value -= (between_halves(points, reg, cost) + own) / 2
        measured.append((value, source, len(found)))
    progress("measured", len(by_source), len(by_source))
    limit = len(measured) if keep is None else keep
    return [
        Domain(source, value, count, place < limit) for place, (value, source, count) in enumerate(sorted(measured))
    ]


def _wanted(goal: Aim, fields: Fields, settings: FitSettings, on_error: OnError) -> list[Document]:
    found = sample_alike(goal.files, fields, settings.target_sample, settings.seed, on_error).documents
    if not found:
        raise InputError(f"the target holds no document: {goal.files[0].path if goal.files else 'no file was given'}")
    return found


def _by_source(
    candidates: Inputs, fields: Fields, size: int, seed: int, on_error: OnError, progress: Progress
) -> dict[str, list[Document]]:
    files = find(candidates)
    numbers = {file.path: number for number, file in enumerate(files)}

    def begun(file: File) -> None:
        progress(f"reading {file.source}", numbers[file.path], len(files))

    drawn = sample_sources(files, fields, size, seed, on_error, begun)
    if not drawn:
        raise InputError("the candidates hold no document")
    alike = of_one_length(fields, chain.from_iterable(drawn.values()))
    return drawn if alike == fields else sample_sources(files, alike, size, seed, on_error, begun)


def _encoder(settings: FitSettings, everything: list[Document], wanted: list[Document], device: str) -> Encoder:
    if everything[0].vector is not None:
        return Precomputed(len(everything[0].vector))
    texts = [document.text for document in everything + wanted]
    return encoder_for(settings.encoder, texts, device=device, seed=settings.seed)
