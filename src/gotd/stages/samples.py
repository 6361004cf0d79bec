"""The documents that a potential is fitted on: a sample of the reference and of each target, and their vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gotd.corpus import Fields, File, OnError, Reject, Sampled, sample
from gotd.encoder_folders import encoder_for
from gotd.encoders import Encoder
from gotd.encoders.precomputed import Precomputed
from gotd.errors import InputError, SettingsError
from gotd.selection.several import Wanted
from gotd.stages.points import TextMass, masses, vectors_of
from gotd.stages.targets import Aim, is_plain
from gotd.transport import Measure, Space


@dataclass(frozen=True, slots=True)
class Samples:
    """A sample of the reference, and one of each goal.

    Attributes:
        reference: of what the model was trained on.
        goals: the targets, then what is to be left.
        targets: of each goal, in this order.
    """

    reference: Sampled
    goals: Sequence[Aim]
    targets: Sequence[Sampled]

    @property
    def names(self) -> list[str]:
        """What a message calls the reference and each goal."""
        return ["reference", *(_called(goal, self.goals) for goal in self.goals)]

    @property
    def rejects(self) -> list[Reject]:
        """The rows that gave no document: of the goals, then of the reference."""
        return [reject for found in (*self.targets, self.reference) for reject in found.rejects]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows, documents fitted on and rejects: of the targets together, of what is to be left, of the reference."""
        kinds = {
            "target": [found for found, goal in zip(self.targets, self.goals) if not goal.avoid],
            "avoid": [found for found, goal in zip(self.targets, self.goals) if goal.avoid],
            "reference": [self.reference],
        }
        return {
            kind: {
                "rows": sum(one.rows for one in found),
                "fitted": sum(len(one.documents) for one in found),
                "rejected": sum(len(one.rejects) for one in found),
            }
            for kind, found in kinds.items()
            if found
        }

    def embedded(self, spec: str, *, device: str, seed: int) -> tuple[Encoder, list[NDArray[np.float32]]]:
        """The encoder, and the vectors (n, d) of the reference and then of each goal.

        Raises:
            InputError: vectors that the records carry differ in length.
            SettingsError: some carry vectors, and others none.
        """
        documents = [found.documents for found in (self.reference, *self.targets)]
        carrying = [name for name, found in zip(self.names, documents) if found[0].vector is not None]
        if len(carrying) == len(documents):
            given = [vectors_of(found) for found in documents]
            for name, vectors in zip(self.names, given):
                if vectors.shape[1] != given[0].shape[1]:
                    raise InputError(
                        f"{name} vectors have {vectors.shape[1]} numbers, reference vectors {given[0].shape[1]}; "
                        "embed both alike"
                    )
            return Precomputed(given[0].shape[1]), given
        if carrying:
            raise SettingsError(
                f"the records of the {' and the '.join(carrying)} alone carry vectors; wanted them in target and "
                "reference. Pass --embedding-field for both, or for neither"
            )
        texts = [[document.text for document in found] for found in documents]
        encoder = encoder_for(spec, [text for some in texts for text in some], device=device, seed=seed)
        return encoder, [encoder.encode(some) for some in texts]

    def measured(
        self, space: Space, vectors: Sequence[NDArray[np.float32]], text_mass: TextMass
    ) -> tuple[Measure, list[Wanted]]:
        """The reference and each goal as points of the space, by the vectors that `embedded` gives."""
        source, *measures = (
            Measure.of(space(found), masses(sampled.documents, text_mass))
            for sampled, found in zip((self.reference, *self.targets), vectors)
        )
        return source, [Wanted(goal.name, goal.weight, measure) for goal, measure in zip(self.goals, measures)]


def draw(
    goals: Sequence[Aim],
    target_fields: Fields,
    reference: Sequence[File],
    fields: Fields,
    *,
    target_size: int,
    reference_size: int,
    seed: int,
    on_error: OnError,
) -> Samples:
    """Read so many documents of each goal and of the reference, at most.

    Raises:
        InputError: there is none.
    """
    targets = [_drawn(_called(goal, goals), goal.files, target_fields, target_size, seed, on_error) for goal in goals]
    return Samples(_drawn("reference or pool", reference, fields, reference_size, seed, on_error), goals, targets)


def sample_alike(files: Sequence[File], fields: Fields, size: int | None, seed: int, on_error: OnError) -> Sampled:
    """A sample in which every vector that records carry has the length that most have; the others are rejects."""
    drawn = sample(files, fields, size, seed, on_error)
    lengths = Counter(len(document.vector) for document in drawn.documents if document.vector is not None)
    if len(lengths) < 2:
        return drawn
    return sample(files, replace(fields, vector_length=lengths.most_common(1)[0][0]), size, seed, on_error)


def _drawn(name: str, files: Sequence[File], fields: Fields, size: int, seed: int, on_error: OnError) -> Sampled:
    drawn = sample_alike(files, fields, size, seed, on_error)
    if not drawn.documents:
        empty = f"{files[0].path} is empty" if files else "no file was given"
        why = drawn.rejects[0].message if drawn.rejects else empty
        raise InputError(f"the {name} holds no document; {why}")
    return drawn


def _called(goal: Aim, goals: Sequence[Aim]) -> str:
    """What a message calls it."""
    kind = "target to avoid" if goal.avoid else "target"
    return kind if is_plain(goals) else f"{kind} {goal.name}"
