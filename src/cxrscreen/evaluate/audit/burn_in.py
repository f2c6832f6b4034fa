"""Audit (h): what a burned-in letter, line of text, arrow or marker does to the score."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxrscreen.evaluate.audit.change import change_figure, change_table, change_verdict, changes_of
from cxrscreen.evaluate.audit.interventions import Pixels, Region
from cxrscreen.evaluate.audit.part import AuditData, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import (
    UNTOUCHED,
    protocols,
    rescored,
    side_by_side,
    threshold_of,
)
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap
from cxrscreen.evaluate.weighted import weighted_auc


@dataclass(frozen=True)
class Mark:
    """Something burned into an image.

    Parameters
    ----------
    name
        In words, for tables.
    draw
        From pixels and lungs to pixels with the mark.
    over_lungs
        Whether it covers lung, so that a change of the score is no fault by itself.
    """

    name: str
    draw: Callable[[Pixels, Region], Pixels]
    over_lungs: bool


def burned_text(pixels: Pixels, _lungs: Region, *, text: str, place: tuple[float, float], height: float) -> Pixels:
    """Burn white text into an image.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1]; the lungs do not matter here.
    text
        What is written.
    place
        Centre of the text, as shares of height and width; moved inwards where the text would leave the image.
    height
        Height of a letter, as a share of the shorter side.
    """
    canvas, draw = _canvas(pixels)
    font = ImageFont.load_default(max(6.0, height * min(pixels.shape)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    rows, columns = pixels.shape
    y = min(max(place[0] * rows - (bottom - top) / 2, 0), max(0, rows - (bottom - top)))
    x = min(max(place[1] * columns - (right - left) / 2, 0), max(0, columns - (right - left)))
    draw.text((x - left, y - top), text, fill=255, font=font)
    return _onto(pixels, canvas)


def burned_arrow(pixels: Pixels, lungs: Region, *, length: float) -> Pixels:
    """Burn in an arrow with its tip in the lung at the right of the image, as articles point at a finding.

    Parameters
    ----------
    pixels, lungs
        float32 and bool (H, W); without lungs the arrow points at the middle of the image.
    length
        As a share of the shorter side.
    """
    row, column = _lung_centre(lungs)
    reach = length * min(pixels.shape)
    canvas, draw = _canvas(pixels)
    tail, tip = np.array([column - 0.8 * reach, row - 0.6 * reach]), np.array([column, row])
    along = (tip - tail) / max(float(np.hypot(*(tip - tail))), 1e-6)
    across = np.array([-along[1], along[0]])
    width = max(1, round(0.012 * min(pixels.shape)))
    base = tip - 0.35 * reach * along
    draw.line([*tail, *base], fill=255, width=width)
    draw.polygon([*tip, *(base + 0.16 * reach * across), *(base - 0.16 * reach * across)], fill=255)
    return _onto(pixels, canvas)


def burned_letter_over_lung(pixels: Pixels, lungs: Region, *, text: str, height: float) -> Pixels:
    """Burn a letter over the middle of one lung; parameters as for `burned_text`."""
    row, column = _lung_centre(lungs)
    place = (row / pixels.shape[0], column / pixels.shape[1])
    return burned_text(pixels, lungs, text=text, place=place, height=height)


MARKS = (
    Mark("letter R, top left", partial(burned_text, text="R", place=(0.06, 0.06), height=0.09), over_lungs=False),
    Mark(
        "PORTABLE, top right", partial(burned_text, text="PORTABLE", place=(0.04, 0.95), height=0.05), over_lungs=False
    ),
    Mark("arrow into a lung", partial(burned_arrow, length=0.22), over_lungs=True),
    Mark("letter over a lung", partial(burned_letter_over_lung, text="L", height=0.09), over_lungs=True),
)
"""The marks that are tried, one at a time."""


def audit_burn_in(data: AuditData) -> AuditPart:
    """Burn marks into the images: scores should not move for those outside the lungs."""
    scored = rescored(data, {mark.name: mark.draw for mark in MARKS}, "burned-in marks")
    names = tuple(mark.name for mark in MARKS)
    outside = tuple(mark.name for mark in MARKS if not mark.over_lungs)
    changes, planted = {}, []
    for protocol, decision in protocols(data):
        rows = side_by_side(data, protocol, scored)
        changes[decision] = changes_of(
            rows, names, threshold_of(data, protocol), replicates=data.replicates, seed=data.seed
        )
        planted += [_planted_row(data, decision, rows, name) for name in names]
    verdict, said = change_verdict(changes, outside, "a mark outside the lungs")
    over = [(change, name) for by in changes.values() for name, change in by.items() if name not in outside]
    if over:
        worst, name = max(over, key=lambda item: item[0].flipped.value or 0.0)
        said += f" Over the lungs ({name}) up to {shown(worst.flipped, 3)} flip; for these there is no rule."
    figures = change_figure(changes, "What each mark does", f"Change of score and decisions by mark. {said}")
    columns = ("Decision", "Mark", "AUC untouched", "AUC, only positives carry it", "AUC, only negatives carry it")
    return AuditPart(
        name="burn-in",
        title="Burned-in text and markers",
        question="What does a burned-in letter, line of text or arrow do to the score?",
        design="White marks are drawn into every image, one kind at a time: "
        + "; ".join(names)
        + ". The second table asks what a hospital that marks only its diseased (or only its healthy) images would do "
        "to the AUC.",
        passed=verdict,
        finding=said,
        tables=(
            change_table(changes, "Mark"),
            AuditTable("A planted shortcut: the mark on one class only", columns, tuple(planted)),
        ),
        figures=figures,
        not_to_conclude="These few marks stand for many; steadiness against them says nothing about other text, "
        "devices or borders. A mark over a lung hides tissue, so some change there is right. That the mark has no "
        "effect on this model does not show that it learned from no mark: what was never beside the disease in the "
        "training images could not be learned.",
    )


def _planted_row(data: AuditData, decision: str, rows: pd.DataFrame, name: str) -> tuple[Cell, ...]:
    truth = rows["truth"].to_numpy().astype(bool)
    plain, marked = rows[UNTOUCHED].to_numpy(dtype=np.float64), rows[name].to_numpy(dtype=np.float64)
    return (
        decision,
        name,
        _auc(data, rows, truth, plain),
        _auc(data, rows, truth, np.where(truth, marked, plain)),
        _auc(data, rows, truth, np.where(truth, plain, marked)),
    )


def _auc(data: AuditData, rows: pd.DataFrame, truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> Estimate | None:
    if truth.all() or not truth.any():
        return None
    return bootstrap(
        lambda weights: weighted_auc(truth, scores, weights),
        rows["group"].astype(str).tolist(),
        replicates=data.replicates,
        seed=data.seed,
    )


def _lung_centre(lungs: Region) -> tuple[float, float]:
    """Row and column inside the lung that lies to the right in the image, else the middle of the image."""
    rows, columns = np.nonzero(lungs)
    if rows.size == 0:
        return lungs.shape[0] / 2, lungs.shape[1] / 2
    right = columns >= (columns.min() + columns.max()) / 2
    return float(np.median(rows[right])), float(np.median(columns[right]))


def _canvas(pixels: Pixels) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("L", (pixels.shape[1], pixels.shape[0]), 0)
    return canvas, ImageDraw.Draw(canvas)


def _onto(pixels: Pixels, canvas: Image.Image) -> Pixels:
    drawn: Pixels = np.asarray(canvas, dtype=np.float32) / np.float32(255)
    return np.asarray(np.maximum(pixels, drawn), dtype=np.float32)
