"""Sanity of saliency: a map must depend on what the network learnt, and move with the image."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.randomised import randomised_copy
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Screening, System
from cxrscreen.systems.registry import load_system

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the layers randomised, from the output towards the input; 0 stands for the last layer alone."""
IMAGES = 24
"""Positive test images looked at."""
SHIFT = 0.05
"""Shift to the right, as a share of the width."""
ALIKE = 0.5
"""Mean rank correlation that randomised networks must stay below, and moved images above."""
SIDE = 160
"""Maps are compared at this size, pixels."""

MOVED = ("mirrored", "shifted")
_Map = NDArray[np.float32]
_Mask = NDArray[np.bool_]


def audit_sanity(data: AuditData) -> AuditPart:
    """Compare each map with that of randomised networks, of the mirrored and of the shifted image.

    Returns
    -------
    AuditPart
        Passed where, for every map, the interval of the mean rank correlation lies below :data:`ALIKE` with all layers
        randomised and above it for the mirrored and the shifted image; None where there is nothing to compare.
    """
    images = _positives(data)
    rows = pd.DataFrame(_comparisons(data, images), columns=["map", "title", "test", "group", "rank", "ssim"])
    summary = _summary(rows, data)
    verdicts = {name: _verdict(summary, name) for name in dict.fromkeys(rows["map"])}
    known = [verdict for verdict in verdicts.values() if verdict is not None]
    return AuditPart(
        name="sanity",
        title="Sanity of saliency",
        question="Do the maps depend on what the networks learnt, and do they move with the image?",
        design=(
            f"Up to {IMAGES} positive test images, drawn by the seed. The kernels of the deciding networks are "
            "shuffled within each layer, from the output towards the input (cascading randomisation, Adebayo et al. "
            "2018), in a copy of the bundle; the lung network stays. The maps of the copy are compared with the "
            "bundle's own inside the lungs, by Spearman's rank correlation and the structural similarity (SSIM). The "
            f"image is also mirrored, and shifted by {SHIFT:.0%} of its width, and the map moved back. Means with "
            "bootstrap intervals by patient group; one draw of the shuffling. Passed where every map's rank "
            f"correlation lies below {ALIKE} with all layers randomised (or with the most that leave a map that is not "
            f"empty) and above {ALIKE} for the moved images, intervals included."
        ),
        passed=all(known) if known else None,
        finding=_finding(summary, verdicts),
        tables=(_table(summary),) if summary else (),
        figures=(_figure(summary),) if summary else (),
        not_to_conclude=(
            "A map that passes depends on the network, no more: it need not show the disease, nor what a radiologist "
            "would look at."
        ),
    )


def rank_correlation(first: _Map, second: _Map, inside: _Mask) -> float:
    """Spearman's rank correlation of two maps (H, W) inside a mask, in [-1, 1]; NaN where a map is constant there."""
    a, b = first[inside], second[inside]
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def structural_similarity(first: _Map, second: _Map, inside: _Mask) -> float:
    """Mean structural similarity of two maps (H, W) in [0, 1] inside a mask, with a Gaussian window of 1.5 pixels.

    References
    ----------
    Z. Wang et al., IEEE Trans. Image Process. 13:600-612, 2004, Eq. 13 with K1 = 0.01, K2 = 0.03.
    """
    if not inside.any():
        return float("nan")
    a, b = first.astype(np.float64), second.astype(np.float64)

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, 1.5, truncate=3.5))

    mean_a, mean_b = local(a), local(b)
    variance = local(a * a) - mean_a**2 + local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (variance + c2)
    return float(similarity[inside].mean())


def _positives(data: AuditData) -> list[str]:
    protocol = next(iter(data.splits))
    truth = data.splits[protocol].truth
    positive = [image_id for image_id in data.images(protocol) if truth[image_id]]
    order = np.random.default_rng(data.seed).permutation(len(positive))[:IMAGES]
    return [positive[int(i)] for i in np.sort(order)]


@dataclass(frozen=True, eq=False)
class _Reference:
    """The bundle's own maps of one image, with the lungs in which all others are compared to them."""

    radiograph: Radiograph
    group: str
    screening: Screening
    maps: dict[str, _Map]
    lungs: _Mask


def _comparisons(data: AuditData, images: list[str]) -> Iterator[tuple[str, str, str, str, float, float]]:
    data.advance("saliency of the bundle itself")
    references = list(_references(data, images))
    if not references:
        return
    for name, (move, back) in {"mirrored": (mirrored, mirrored), "shifted": (shifted, shifted_back)}.items():
        data.advance(f"saliency of {name} images")
        for reference in references:
            moved = replace(reference.radiograph, pixels=np.clip(move(reference.radiograph.pixels), 0.0, 1.0))
            seen = back(np.ones_like(reference.lungs, dtype=np.float32)) > 0
            yield from _compared(data.system, moved, reference, name, back, reference.lungs & seen)
    for share in SHARES:
        name = level_name(share)
        data.advance(f"saliency with {name} randomised")
        with tempfile.TemporaryDirectory() as folder:
            copy = randomised_copy(data.bundle, Path(folder) / "bundle", share, data.seed)
            system = load_system(copy.folder)
            for reference in references:
                yield from _compared(system, reference.radiograph, reference, name, None, reference.lungs)


def _references(data: AuditData, images: list[str]) -> Iterator[_Reference]:
    for image_id in images:
        try:
            radiograph = data.radiograph(image_id)
            screening = data.system.screen(radiograph, force=True)
        except CxrscreenError:
            continue
        lungs = at_side((screening.lung_mask > 0).astype(np.float32)) >= 0.5
        maps = {item.name: at_side(item.values) for item in screening.explanations}
        yield _Reference(radiograph, str(data.manifest.table.at[image_id, "group"]), screening, maps, lungs)


def _compared(
    system: System,
    radiograph: Radiograph,
    reference: _Reference,
    test: str,
    back: Callable[[_Map], _Map] | None,
    inside: _Mask,
) -> Iterator[tuple[str, str, str, str, float, float]]:
    for item in system.screen(radiograph, force=True).explanations:
        own, other = reference.maps[item.name], at_side(item.values)
        other = back(other) if back is not None else other
        rank, similarity = rank_correlation(own, other, inside), structural_similarity(own, other, inside)
        yield item.name, item.title, test, reference.group, rank, similarity


def level_name(share: float) -> str:
    """Say how much of the networks is randomised."""
    if share == 0:
        return "last layer"
    return "all layers" if share == 1 else f"last {share:.0%} of the layers"


def mirrored(values: _Map) -> _Map:
    """Swap left and right."""
    return np.ascontiguousarray(values[:, ::-1])


def shifted(values: _Map) -> _Map:
    """Shift to the right by :data:`SHIFT` of the width; the left edge is repeated."""
    by = round(SHIFT * values.shape[1])
    return np.ascontiguousarray(np.pad(values, ((0, 0), (by, 0)), mode="edge")[:, : values.shape[1]])


def shifted_back(values: _Map) -> _Map:
    """Undo :func:`shifted`; what had left the image is 0."""
    by = round(SHIFT * values.shape[1])
    return np.ascontiguousarray(np.pad(values, ((0, 0), (0, by)))[:, by:])


def at_side(values: _Map) -> _Map:
    """Bring a map to :data:`SIDE` pixels on both sides; float32."""
    return np.asarray(cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32)


_Summary = dict[tuple[str, str], tuple[Estimate, Estimate, int]]


def _summary(rows: pd.DataFrame, data: AuditData) -> _Summary:
    """Mean rank correlation, mean SSIM and the number of images without a map, by map and test."""
    summary: _Summary = {}
    for (name, test), of_test in rows.groupby(["map", "test"], sort=False):
        defined = of_test[np.isfinite(of_test["rank"]) & np.isfinite(of_test["ssim"])]
        if len(defined):
            rank, ssim = (_mean(defined, column, data) for column in ("rank", "ssim"))
            summary[str(name), str(test)] = rank, ssim, len(of_test) - len(defined)
    return summary


def _mean(rows: pd.DataFrame, column: str, data: AuditData) -> Estimate:
    values, groups = rows[column].to_numpy(dtype=np.float64), rows["group"].tolist()
    return bootstrap(lambda weights: weighted_mean(values, weights), groups, replicates=data.replicates, seed=data.seed)


def _deepest(summary: _Summary, name: str) -> str:
    """The test with most layers randomised that still gives a map: one that is empty has changed in any case."""
    levels = [level_name(share) for share in sorted(SHARES, reverse=True)]
    return next((level for level in levels if (name, level) in summary), levels[0])


def _verdict(summary: _Summary, name: str) -> bool | None:
    tests = [summary.get((name, test)) for test in (_deepest(summary, name), *MOVED)]
    ends = [None if test is None else (test[0].ci_low, test[0].ci_high) for test in tests]
    if any(end is None or end[0] is None or end[1] is None for end in ends):
        return None
    (_, high), *lows = (end for end in ends if end is not None)
    return bool(high is not None and high < ALIKE and all(low is not None and low > ALIKE for low, _ in lows))


def _finding(summary: _Summary, verdicts: Mapping[str, bool | None]) -> str:
    if not summary:
        return "No positive test image gave a map to compare."
    parts = []
    for name, verdict in verdicts.items():
        said = {True: "passes", False: "fails", None: "could not be judged"}[verdict]
        deepest = _deepest(summary, name)
        figures = [
            f"{test}{' randomised' if test == deepest else ''} {shown(summary[name, test][0])}"
            for test in (deepest, *MOVED)
            if (name, test) in summary
        ]
        parts.append(f"{name} {said} (rank correlation: {', '.join(figures)})")
    return "; ".join(parts) + "."


def _table(summary: _Summary) -> AuditTable:
    rows: list[tuple[Cell, ...]] = [
        (name, f"{test} randomised" if test not in MOVED else test, rank.n, rank, ssim, absent)
        for (name, test), (rank, ssim, absent) in summary.items()
    ]
    columns = ("Map", "Test", "Images", "Rank correlation", "SSIM", "Without a map")
    return AuditTable("Maps against the bundle's own, inside the lungs", columns, tuple(rows))


def _figure(summary: _Summary) -> AuditFigure:
    names = list(dict.fromkeys(name for name, _ in summary))
    tests = {level_name(share): f"{level_name(share)}\nrandomised" for share in SHARES} | {test: test for test in MOVED}
    panel = {
        label: [summary[name, test][0] if (name, test) in summary else None for name in names]
        for test, label in tests.items()
    }
    axis = f"rank correlation with the bundle's own map\n(randomised: below {ALIKE}; moved: above)"
    title = "Maps of randomised networks and of moved images"
    figure = interval_figure({title: panel}, names, axis=axis, chance=ALIKE, limits=(-0.5, 1.02))
    alt = "Mean rank correlation of each saliency map with that of randomised networks and of moved images."
    return AuditFigure(title, figure, alt)
