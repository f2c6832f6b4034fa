"""What the trained controls share: labelled small images of each protocol, and probes trained on parts of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol as Typed

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.controls.images import SmallImages, small_images
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap_all
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_auc

Pictures = NDArray[np.uint8]
"""uint8 (N, S, S)."""
Rows = NDArray[np.bool_]
"""bool (n,): which rows of a `LabelledImages` are meant."""

SMALLEST_LUNGS = 0.04
"""Share of the image below which lungs count as not found; such images are in no control."""
FEWEST = 10
"""Images of each class below which no verdict is given."""


class TrainProbe(Typed):
    """How a probe is trained; `cxrscreen.train.probe.train_probe` is one (given, not imported: it needs torch)."""

    def __call__(
        self,
        images: Pictures,
        classes: NDArray[np.int64],
        validation_images: Pictures,
        validation_classes: NDArray[np.int64],
        *,
        seed: int,
    ) -> Callable[[Pictures], NDArray[np.float32]]:
        """From labelled pictures to a function that gives class probabilities, float32 (M, K)."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The images of one protocol.

    Parameters
    ----------
    table
        ``image_id``, ``source``, ``group``, ``label``, ``pediatric``, ``truth`` (0 or 1) and ``part``; n rows.
    pixels, lungs
        uint8 and bool (n, S, S), in the order of the table.
    """

    table: pd.DataFrame
    pixels: Pictures
    lungs: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not len(self.table) == len(self.pixels) == len(self.lungs):
            raise ValueError(f"{len(self.table)} rows, {len(self.pixels)} pictures and {len(self.lungs)} masks")

    def column(self, name: str) -> NDArray[np.str_]:
        """A column as strings, (n,)."""
        return self.table[name].to_numpy(dtype=str)

    @property
    def truth(self) -> NDArray[np.int64]:
        """(n,) of 0 and 1."""
        return self.table["truth"].to_numpy(dtype=np.int64)

    def part(self, name: str) -> Rows:
        """Rows of one part."""
        rows: Rows = self.column("part") == name
        return rows

    def kept(self, rows: Rows) -> "LabelledImages":
        """Some of the images."""
        return LabelledImages(self.table[rows].reset_index(drop=True), self.pixels[rows], self.lungs[rows])

    def with_pixels(self, pixels: Pictures) -> "LabelledImages":
        """The same images with other pixels."""
        return LabelledImages(self.table, pixels, self.lungs)


class Bench:
    """The audit's images, reduced when first asked for, and the way to train on them.

    Parameters
    ----------
    data
        The audit's.
    train
        See `TrainProbe`.
    """

    def __init__(self, data: AuditData, train: TrainProbe) -> None:
        self.data, self.train = data, train
        self._whole: dict[str, Floats] = {}

    @cached_property
    def images(self) -> SmallImages:
        """All of them."""
        return small_images(self.data)

    @cached_property
    def sets(self) -> dict[str, LabelledImages]:
        """By protocol; images without lungs found are left out of all controls, so that all are of the same images."""
        return {protocol: self._set(protocol) for protocol in self.data.splits}

    def fit(
        self, pictures: Pictures, classes: NDArray[np.int64], training: Rows, validation: Rows, seed: int | None = None
    ) -> Callable[[Pictures], NDArray[np.float32]]:
        """Train a probe on some rows."""
        return self.train(
            pictures[training],
            classes[training],
            pictures[validation],
            classes[validation],
            seed=self.data.seed if seed is None else seed,
        )

    def whole(self, protocol: str) -> Floats:
        """Scores (n,) of a probe trained on the whole images of the training part, made when first asked for.

        Those of training images are NaN, so that nothing is measured on them by mistake.
        """
        if protocol not in self._whole:
            own = self.sets[protocol]
            self.data.advance(f"training a probe on whole images of {protocol}")
            probe = self.fit(own.pixels, own.truth, own.part("train"), own.part("validation"))
            self._whole[protocol] = scores_of(probe, own.pixels, ~own.part("train"))
        return self._whole[protocol]

    def _set(self, protocol: str) -> LabelledImages:
        split = self.data.splits[protocol]
        part_of = {image_id: part for part in PARTS for image_id in self.data.images(protocol, part)}
        rows = self.images.rows(sorted(part_of))
        rows = rows[self.images.lungs[rows].mean(axis=(1, 2)) >= SMALLEST_LUNGS]
        ids = [self.images.image_ids[row] for row in rows]
        facts = self.data.manifest.table.loc[ids, ["image_id", "source", "group", "label", "pediatric"]]
        table = facts.assign(truth=[split.truth[i] for i in ids], part=[part_of[i] for i in ids])
        for part in PARTS:
            if table.loc[table["part"] == part, "truth"].nunique() < 2:
                raise ManifestError(
                    f"The {part} part of {protocol} lacks a class, which trained controls need: take more images."
                )
        return LabelledImages(table.reset_index(drop=True), self.images.pixels[rows], self.images.lungs[rows])


@lru_cache(maxsize=1)
def bench_of(data: AuditData) -> Bench:
    """The bench of an audit with the probe of :mod:`cxrscreen.train.probe`; the last one is kept for the next control.

    Raises
    ------
    CxrscreenError
        If torch is not installed.
    """
    try:
        # Torch is needed by the controls alone, and only when they are asked for.
        from cxrscreen.train.probe import train_probe  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Controls that train a network need {error.name}: install cxrscreen[train], or leave them out."
        ) from error
    return Bench(data, train_probe)


def scores_of(probe: Callable[[Pictures], NDArray[np.float32]], pictures: Pictures, rows: Rows) -> Floats:
    """Probability of class 1 by a probe, float64 (n,); NaN where ``rows`` (n,) is False."""
    scores = np.full(len(rows), np.nan)
    if rows.any():
        scores[rows] = probe(pictures[rows])[:, 1]
    return scores


def both_classes(truth: NDArray[np.int64], rows: Rows, fewest: int = FEWEST) -> bool:
    """Whether some rows hold at least ``fewest`` images of either class."""
    positive = int((truth[rows] == 1).sum())
    return min(positive, int(rows.sum()) - positive) >= fewest


def above_chance(estimate: Estimate) -> bool:
    """Whether an AUC's whole interval lies above 0.5; a network that learned nothing can lose nothing."""
    return estimate.ci_low is not None and estimate.ci_low > 0.5


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of some images, for an AUC.

    Parameters
    ----------
    truth
        (n,) of 0 and 1.
    scores
        (r, n): of r repetitions whose AUCs are averaged; finite where ``rows`` is True.
    rows
        bool (n,): the images measured.
    """

    truth: NDArray[np.int64]
    scores: Floats
    rows: Rows


def aucs_of(
    measured: dict[str, Scored],
    groups: NDArray[np.str_],
    data: AuditData,
    differences: Sequence[tuple[str, str, str]] = (),
) -> dict[str, Estimate]:
    """AUCs, and differences between them, on the same resamples of patient groups.

    Parameters
    ----------
    measured
        By name; all of the same n images, though of other rows.
    groups
        (n,) patient group.
    data
        Gives seed and replicates.
    differences
        Name, minuend and subtrahend of each difference.
    """
    used = np.any([scored.rows for scored in measured.values()], axis=0)

    def statistics(weights: Floats) -> dict[str, Floats]:
        full = np.zeros((len(weights), used.size))
        full[:, used] = weights
        values = {name: _auc(scored, full) for name, scored in measured.items()}
        return values | {name: values[first] - values[second] for name, first, second in differences}

    return bootstrap_all(statistics, groups[used].tolist(), replicates=data.replicates, seed=data.seed)


def _auc(scored: Scored, weights: Floats) -> Floats:
    own = scored.rows
    truth = scored.truth[own].astype(bool)
    mean: Floats = np.mean([weighted_auc(truth, scores[own], weights[:, own]) for scores in scored.scores], axis=0)
    return mean
