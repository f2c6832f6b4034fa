"""Occlusion: how much of the score hangs on what lies outside the lungs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.audit.interventions import Pixels, Region, grown
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import (
    protocols,
    rescored,
    score_rows,
    side_by_side,
    untouched,
)
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap_all
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_mean

GRID = 7
"""Patches along each side; a patch is one cell."""
IMAGES = 16
"""Images of each class and decision, drawn by the seed: an image costs GRID x GRID screenings."""
FEWEST_IMAGES = 10
"""Images below which no verdict is given."""
LARGEST_SHARE = 0.5
"""Share of the score's change from outside the lungs at which the audit fails."""

_LEAST_CHANGE = 0.01
_FARTHEST = 1e-6


def occluded(pixels: Pixels, _lungs: Region, *, cell: int) -> Pixels:
    """Cover one cell of the grid with the image's median grey value.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; the lungs do not matter here.
    cell
        In [0, GRID * GRID), row by row.
    """
    rows, columns = _cell(pixels.shape, cell)
    result = pixels.copy()
    result[rows, columns] = np.median(pixels)
    return result


def outside_share(change: Floats, lung_part: Floats) -> float:
    """Share of the score's change that comes from outside the lungs.

    Parameters
    ----------
    change
        (K,) size of the change of the log-odds when a cell is covered.
    lung_part
        (K,) share of each cell that is lung, in [0, 1].

    Returns
    -------
    float
        Sum of ``change * (1 - lung_part)`` over the sum of ``change``; NaN where nothing changes.
    """
    total = float(change.sum())
    return float((change * (1 - lung_part)).sum()) / total if total > _LEAST_CHANGE else float("nan")


@dataclass(frozen=True, eq=False)
class _Measured:
    """Per-image shares (n, 2): change from outside, area outside; the mean maps (GRID, GRID) of change and lung."""

    shares: pd.DataFrame
    change: Floats
    lung: Floats
    drawn: int


def audit_occlusion(data: AuditData) -> AuditPart:
    """Cover patch by patch: the score should hang on the lungs."""
    chosen = {protocol: _drawn(data, protocol) for protocol in data.splits}
    names = {f"cell{cell:02d}": cell for cell in range(GRID * GRID)}
    edits = {name: (lambda p, m, cell=cell: occluded(p, m, cell=cell)) for name, cell in names.items()}
    ids = sorted({image_id for ids in chosen.values() for image_id in ids})
    scored = rescored(data, edits, "occlusion", ids)
    measured = {
        decision: _measure(data, protocol, chosen[protocol], side_by_side(data, protocol, scored), tuple(names))
        for protocol, decision in protocols(data)
    }
    rows: list[tuple[Cell, ...]] = []
    verdicts: list[bool] = []
    said = []
    for decision, found in measured.items():
        share, area, excess = _estimates(data, found.shares)
        rows.append((decision, found.drawn, len(found.shares), share, area, excess))
        if share is not None and share.ci_high is not None and len(found.shares) >= FEWEST_IMAGES:
            verdicts.append(share.ci_high < LARGEST_SHARE)
        said.append(f"{decision} {shown(share)} (the area outside the lungs is {shown(area)} of the image)")
    figures: tuple[AuditFigure, ...] = ()
    if any(len(found.shares) for found in measured.values()):
        alt = "Mean change of the score by covered patch, with the mean position of the lungs."
        figures = (AuditFigure("Where covering changes the score", _figure(measured), alt),)
    columns = ("Decision", "Images", "Of them the score moved", "Share from outside", "Area outside", "Difference")
    return AuditPart(
        name="occlusion",
        title="Occlusion inside and outside the lungs",
        question="How much of the score hangs on what lies outside the lungs?",
        design=f"A patch of 1/{GRID} of each side with the image's median grey covers the image step by step; the "
        "change of the log-odds is counted to the lungs as far as the patch lies in them (lungs found on the untouched "
        f"image, grown). Up to {IMAGES} images of each class and decision, drawn by the seed. It passes where the "
        f"interval of the share from outside stays below {LARGEST_SHARE}; no verdict below {FEWEST_IMAGES} images.",
        passed=all(verdicts) if verdicts else None,
        finding="Share of the score's change from outside the lungs: " + "; ".join(said) + ".",
        tables=(AuditTable("Share of the change from outside the lungs, 95 % by patient", columns, tuple(rows)),),
        figures=figures,
        not_to_conclude="Patches are coarse and straddle the edge of the lungs; a covered patch can also move the "
        "lungs that are found, which counts as change. What needs several places together is not seen by covering one.",
    )


def _drawn(data: AuditData, protocol: str) -> list[str]:
    rows = score_rows(data, protocol)
    rng = np.random.default_rng(data.seed)
    ids: list[str] = []
    for _, part in rows.groupby("truth", sort=True):
        names = part["image_id"].tolist()
        take = rng.choice(len(names), size=min(IMAGES, len(names)), replace=False)
        ids += [str(names[int(i)]) for i in np.sort(take)]
    return ids


def _measure(data: AuditData, protocol: str, ids: list[str], rows: pd.DataFrame, cells: tuple[str, ...]) -> _Measured:
    known, decision = untouched(data), data.decision(protocol).stage
    shares: list[dict[str, object]] = []
    changes, lungs = [np.zeros(GRID * GRID)], [np.zeros(GRID * GRID)]
    for _, row in rows[rows["image_id"].isin(ids)].iterrows():
        before = _log_odds(np.array([known.scores.at[row["image_id"], decision]]))
        change = np.abs(_log_odds(row[list(cells)].to_numpy(dtype=np.float64)) - before)
        lung = _lung_parts(known.lungs_of(str(row["image_id"]), (224, 224)))
        share = outside_share(change, lung)
        if np.isfinite(share):
            shares.append({"group": row["group"], "share": share, "area": float(1 - lung.mean())})
            changes.append(change / change.sum())
            lungs.append(lung)
    count = max(1, len(shares))
    return _Measured(
        pd.DataFrame(shares, columns=["group", "share", "area"]),
        np.sum(changes, axis=0).reshape(GRID, GRID) / count,
        np.sum(lungs, axis=0).reshape(GRID, GRID) / count,
        int(rows["image_id"].isin(ids).sum()),
    )


def _estimates(data: AuditData, shares: pd.DataFrame) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
    if shares.empty:
        return None, None, None
    share, area = shares["share"].to_numpy(dtype=np.float64), shares["area"].to_numpy(dtype=np.float64)
    found = bootstrap_all(
        lambda weights: {
            "share": weighted_mean(share, weights),
            "area": weighted_mean(area, weights),
            "difference": weighted_mean(share - area, weights),
        },
        shares["group"].astype(str).tolist(),
        replicates=data.replicates,
        seed=data.seed,
    )
    return found["share"], found["area"], found["difference"]


def _figure(measured: dict[str, _Measured]) -> Figure:
    figure = Figure(figsize=(1.4 + 3.6 * len(measured), 4.3), layout="constrained")
    for axes, (decision, found) in zip(
        figure.subplots(1, len(measured), squeeze=False)[0], measured.items(), strict=True
    ):
        image = axes.imshow(100 * found.change, cmap="viridis", vmin=0)
        if np.ptp(found.lung) > 0:
            axes.contour(found.lung, levels=[0.5 * float(found.lung.max())], colors="white", linewidths=1.5)
        axes.set_title(f"{decision}\n{len(found.shares)} images", fontsize=10, loc="left")
        axes.set(xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, shrink=0.75, label="share of the change, %")
    figure.supxlabel(
        f"White: where half of the largest mean share of lung lies.\n{RESEARCH_USE}",
        fontsize=6.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _lung_parts(lungs: Region) -> Floats:
    region = grown(lungs)
    return np.array([region[_cell(region.shape, cell)].mean() for cell in range(GRID * GRID)])


def _cell(shape: tuple[int, ...], cell: int) -> tuple[slice, slice]:
    row, column = divmod(cell, GRID)
    tall, wide = shape[0] / GRID, shape[1] / GRID
    return (
        slice(round(row * tall), round((row + 1) * tall)),
        slice(round(column * wide), round((column + 1) * wide)),
    )


def _log_odds(probabilities: NDArray[np.float64]) -> Floats:
    inside = np.clip(probabilities, _FARTHEST, 1 - _FARTHEST)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)
