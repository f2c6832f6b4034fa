"""Source prediction: how well the features behind a decision tell where an image comes from."""

from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.metrics import Floats

FOLDS = 5
FEWEST, MOST = 15, 150
"""Images below which a source is left out, and above which a seeded draw stands for it."""
STRENGTH = 0.1
"""Inverse regularisation C of the logistic regression, for standardised features; fixed, not tuned."""
GREY_SIDE, GREY_BINS = 16, 32


def audit_sources(data: AuditData) -> AuditPart:
    """Ask whether a linear reader of each decision's pooled features can name the source of an image.

    Returns
    -------
    AuditPart
        Passed where chance lies within the interval of the balanced accuracy of every decision; None where no decision
        has two sources with enough images.
    """
    tables, figures, sentences, verdicts = [], [], [], []
    for protocol in data.splits:
        stage, label = data.decision(protocol).stage, data.decision(protocol).control
        data.advance(f"source prediction, {stage}")
        sample = _sample(data, protocol)
        if sample is None:
            sentences.append(f"{stage}: fewer than two sources have {FEWEST} {label} images.")
            continue
        measured = {
            name: predict_sources(matrix, sample.sources, sample.groups, data.seed, data.replicates)
            for name, matrix in sample.readings.items()
        }
        shuffled = np.random.default_rng(data.seed).permutation(sample.sources)
        control = predict_sources(sample.readings["features"], shuffled, sample.groups, data.seed, data.replicates)
        chance = 1 / len(set(sample.sources))
        tables += _tables(stage, label, sample, measured, control)
        figures.append(_figure(stage, label, measured))
        own, trivial = measured["features"].accuracy, measured["thumbnail"].accuracy
        verdicts.append(own.ci_low is None or own.ci_low <= chance)
        sentences.append(
            f"{stage} ({label} images): the features name the right one of {len(set(sample.sources))} sources with a "
            f"balanced accuracy of {shown(own)}, chance {chance:.2f}; a thumbnail and the histogram of the raw "
            f"image give {shown(trivial)}."
        )
    return AuditPart(
        name="sources",
        title="Source prediction",
        question="Can the source of an image be read from what the network knows, where the disease cannot tell it?",
        design=(
            "Images of one label only (normal ones where pneumonia is decided, those of a disease where it is) from "
            f"the validation and test parts, which trained nothing; sources with at least {FEWEST} of them, at most "
            f"{MOST} of each. Pooled features of the decision, standardised, "
            f"{FOLDS}-fold cross-validated logistic regression (C = {STRENGTH}, classes "
            "weighing the same), folds by patient group. Beside it the same reader on a trivial picture of the raw "
            f"image ({GREY_SIDE} x {GREY_SIDE} grey values and {GREY_BINS} histogram bins), and on the features with "
            "shuffled sources. Balanced accuracy with a bootstrap "
            "interval by patient group, shares by Wilson. Passed where chance lies within the interval."
        ),
        passed=all(verdicts) if verdicts else None,
        finding=" ".join(sentences),
        tables=tuple(tables),
        figures=tuple(figures),
        not_to_conclude=(
            "Features that tell the source do not prove that the decision uses it; hospitals also differ in age, view "
            "and severity. Features that do not tell it to a linear reader may still tell it to another."
        ),
    )


@dataclass(frozen=True, eq=False)
class SourceReading:
    """How well the source was read.

    Parameters
    ----------
    sources
        Names, sorted.
    confusion
        int (S, S), rows the true source, columns the named one.
    accuracy
        Mean over sources of the share of images named rightly, in [0, 1].
    recalls
        That share by source.
    """

    sources: tuple[str, ...]
    confusion: NDArray[np.int64]
    accuracy: Estimate
    recalls: tuple[Estimate, ...]


def predict_sources(
    features: NDArray[np.floating], sources: NDArray[np.str_], groups: NDArray[np.str_], seed: int, replicates: int
) -> SourceReading:
    """Cross-validate a logistic regression from features to sources, folds by patient group.

    Parameters
    ----------
    features
        float (n, K).
    sources, groups
        (n,) of strings; each source in at least two groups.
    seed, replicates
        Of the folds and of the bootstrap.
    """
    names = tuple(sorted({str(name) for name in sources}))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    reader = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000, tol=1e-3)
    )
    named = cross_val_predict(reader, features.astype(np.float64), sources, groups=groups, cv=folds)
    right = (named == sources).astype(np.float64)
    members = [sources == name for name in names]

    def recall(member: NDArray[np.bool_], weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            share: Floats = weights[:, member] @ right[member] / weights[:, member].sum(axis=1)
        return share

    accuracy = bootstrap(
        lambda weights: np.asarray(np.mean([recall(member, weights) for member in members], axis=0)),
        groups.tolist(),
        replicates=replicates,
        seed=seed,
    )
    return SourceReading(
        names,
        confusion_matrix(sources, named, labels=names),
        accuracy,
        tuple(grouped_rate(right[member], groups[member]) for member in members),
    )


def trivial_features(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give what a glance at the raw image tells: a thumbnail and the histogram.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].

    Returns
    -------
    ndarray
        float32 (16 * 16 + 32,): grey values, and the share of the pixels by grey value.
    """
    grey = cv2.resize(pixels, (GREY_SIDE, GREY_SIDE), interpolation=cv2.INTER_AREA).ravel()
    histogram = np.histogram(pixels, bins=GREY_BINS, range=(0, 1))[0] / pixels.size
    return np.concatenate([grey, histogram]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Sample:
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    readings: dict[str, NDArray[np.float32]]


def _sample(data: AuditData, protocol: str) -> _Sample | None:
    chosen = sample_by_source(data, protocol)
    features, thumbnails, kept = [], [], []
    for image_id in chosen:
        try:
            radiograph = data.radiograph(image_id)
            features.append(data.system.features(radiograph)[data.decision(protocol).stage])
        except CxrscreenError:
            continue
        thumbnails.append(trivial_features(radiograph.pixels))
        kept.append(image_id)
    rows = data.manifest.table.loc[kept]
    if rows["source"].nunique() < 2:
        return None
    return _Sample(
        rows["source"].to_numpy(dtype=str),
        rows["group"].to_numpy(dtype=str),
        {"features": np.stack(features), "thumbnail": np.stack(thumbnails)},
    )


def sample_by_source(data: AuditData, protocol: str) -> list[str]:
    """Image ids of one label, of sources with enough images and patient groups; sorted, drawn where there are many."""
    ids = [*data.images(protocol, "validation"), *data.images(protocol, "test")]
    rows = data.manifest.table.loc[sorted(ids)]
    rows = rows[rows["label"] == data.decision(protocol).control]
    chosen: list[str] = []
    for _, of_source in rows.groupby("source", sort=True):
        if len(of_source) < FEWEST or of_source["group"].nunique() < FOLDS:
            continue
        drawn = of_source.sample(MOST, random_state=data.seed) if len(of_source) > MOST else of_source
        chosen += sorted(drawn.index.astype(str))
    return chosen


def _tables(
    stage: str, label: str, sample: _Sample, measured: dict[str, SourceReading], control: SourceReading
) -> list[AuditTable]:
    chance = 1 / len(set(sample.sources))
    total: list[tuple[Cell, ...]] = [
        (f"features of {stage}", measured["features"].accuracy, chance),
        ("thumbnail and histogram of the raw image", measured["thumbnail"].accuracy, chance),
        ("features, sources shuffled (control)", control.accuracy, chance),
    ]
    own, trivial = measured["features"], measured["thumbnail"]
    by_source: list[tuple[Cell, ...]] = [
        (name, int(own.confusion[i].sum()), own.recalls[i], trivial.recalls[i]) for i, name in enumerate(own.sources)
    ]
    return [
        AuditTable(
            f"{stage}: balanced accuracy of naming the source of {label} images",
            ("Read from", "Balanced accuracy", "Chance"),
            tuple(total),
        ),
        AuditTable(
            f"{stage}: share of each source's {label} images named rightly",
            ("Source", "Images", "From the features", "From the thumbnail"),
            tuple(by_source),
        ),
    ]


def _figure(stage: str, label: str, measured: dict[str, SourceReading]) -> AuditFigure:
    size = len(measured["features"].sources)
    figure = Figure(figsize=(4.2 + 1.1 * size, 2.2 + 0.55 * size), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = {"features": f"features of {stage}", "thumbnail": "thumbnail and histogram"}
    for panel, (name, reading) in zip(axes, measured.items(), strict=True):
        _confusion(panel, reading)
        panel.set_title(f"{titles[name]}\nbalanced accuracy {shown(reading.accuracy)}", fontsize=9, loc="left")
    axes[0].set_ylabel("true source")
    figure.supxlabel(
        f"Percent of each true source's {label} images; chance {100 / size:.0f} %. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    own = measured["features"].accuracy
    alt = f"Confusion matrices of {size} sources; from the features of {stage} the balanced accuracy is {shown(own)}."
    return AuditFigure(f"Sources as read from {label} images, {stage}", figure, alt)


def _confusion(axes: Axes, reading: SourceReading) -> None:
    share = 100 * reading.confusion / reading.confusion.sum(axis=1, keepdims=True)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(share):
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > 55 else "#222222",
        )
    axes.set_xticks(range(len(reading.sources)), reading.sources, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(reading.sources)), reading.sources, fontsize=8)
    axes.set_xlabel("named source", fontsize=9)
