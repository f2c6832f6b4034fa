"""What it does to the markers when a mask lacks a quarter of a lung, and whether the other lung gives it away."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from cxrscreen.biomarkers.intervals import Interval, Intervals, Rates, weighted_mean
from cxrscreen.biomarkers.measure import MARKERS, markers_of, prepared
from cxrscreen.biomarkers.references import OrganMask, resized
from cxrscreen.biomarkers.under_segmentation import (
    PLACES,
    QUARTER,
    SYMMETRY,
    Place,
    Symmetry,
    fit_symmetry,
    is_under_segmented,
    missing_share,
    without_part,
)
from cxrscreen.data.masks import LEFT_LUNG, RIGHT_LUNG
from cxrscreen.imaging.radiograph import Radiograph

LUNGS: Final = {RIGHT_LUNG: "right", LEFT_LUNG: "left"}
EFFECT_COLUMNS: Final = ("image_id", "lung", "place", *MARKERS)
"""Columns of the effects: a row for each lung and place of an image; a marker's change, NaN where not defined."""
COMPLETE_ORIGINS: Final = ("human", "exact")
"""Origins of masks that can stand for complete lungs where the lungs are normal; ``exact`` are phantoms'."""
FEWEST_TO_FIT: Final = 20
"""Pairs of complete lungs below which the shipped symmetry is taken."""


def effects_of(
    radiograph: Radiograph, mask: OrganMask, rng: Callable[[], np.random.Generator], image_id: str
) -> list[dict[str, Any]]:
    """Change of every marker when a quarter of one lung is taken away, for each lung and place.

    Parameters
    ----------
    radiograph, mask
        An image and its complete lungs.
    rng
        Makes the generator that draws the patches, each time the same.
    image_id
        Kept in the rows.
    """
    pixels = prepared(radiograph)
    whole = resized(mask, pixels.shape)
    before = markers_of(pixels, whole, rng())
    rows = []
    for lung, name in LUNGS.items():
        for place in PLACES:
            rest = OrganMask(without_part(whole.values, lung, place), whole.heart, whole.origin, whole.heart_in_lungs)
            after = markers_of(pixels, rest, rng())
            rows.append({"image_id": image_id, "lung": name, "place": place, **_change(before, after)})
    return rows


@dataclass(frozen=True)
class Effect:
    """Mean change of a marker when a quarter of a lung is taken away.

    Parameters
    ----------
    marker
        Its name.
    place
        Where the quarter was taken, of the right and of the left lung alike.
    change
        Mean over images and both lungs, with its interval by patient.
    in_spreads
        The change in standard deviations of the marker between these complete lungs; None where that is 0.
    """

    marker: str
    place: Place
    change: Interval
    in_spreads: float | None


def summarise_effects(effects: pd.DataFrame, rows: pd.DataFrame, intervals: Intervals) -> tuple[Effect, ...]:
    """Average the effects of a study.

    Parameters
    ----------
    effects
        `EFFECT_COLUMNS`.
    rows
        The study's rows of the same images, with ``image_id``, ``group`` and the markers.
    intervals
        By patient.

    Returns
    -------
    tuple of Effect
        By marker, then place; empty without effects.
    """
    groups = rows.set_index("image_id")["group"]
    spreads = rows[rows["image_id"].isin(effects["image_id"])]
    found = []
    for marker in MARKERS:
        for place in PLACES:
            own = effects[(effects["place"] == place) & effects[marker].notna()]
            if own.empty:
                continue
            changes = own[marker].to_numpy(np.float64)
            made = intervals(
                lambda weights, changes=changes: {"": weighted_mean(changes, weights)},  # type: ignore[misc]
                groups.loc[own["image_id"]].tolist(),
            )[""]
            spread = float(spreads[marker].std())
            found.append(Effect(marker, place, made, float(changes.mean()) / spread if spread > 0 else None))
    return tuple(found)


@dataclass(frozen=True)
class Detection:
    """How often one lung gives away that the other lacks a quarter.

    Parameters
    ----------
    symmetry
        What it was judged by.
    fitted_on
        Pairs of complete lungs behind it; 0 where the shipped one was taken.
    false_alarms
        Share of complete lungs that were called incomplete.
    found
        Share found of lungs of which a quarter was taken away.
    images
        Images behind the two, none of them used to fit.
    flagged
        By class: share of all measured images that are called incomplete, whoever drew the masks, and their number
        ``n``; a mask in which one lung is missing altogether is one of them. Lungs that reach behind the heart are not
        judged.
    without_lungs
        By class: images whose mask has neither lung, which are not measured. A class without any is left out.
    """

    symmetry: Symmetry
    fitted_on: int
    false_alarms: Interval | None
    found: Interval | None
    images: int
    flagged: dict[str, Interval]
    without_lungs: dict[str, int]


def detect(rows: pd.DataFrame, fitting: Collection[str], choosing: Collection[str], rates: Rates) -> Detection:
    """Fit the symmetry of complete lungs on some images and measure on others how well it finds a missing quarter.

    Parameters
    ----------
    rows
        A study's rows.
    fitting
        Ids of training images.
    choosing
        Ids of images that are neither fitted on nor measured (a validation part).
    rates
        Makes intervals of shares by patient.
    """
    # Lungs that reach behind the heart have another ratio.
    clean = rows[~rows["heart_in_lungs"].astype(bool)]
    measured = clean[clean["missing_share"].notna()]
    pairs = clean[clean["left_to_right"].notna()].copy()
    pairs["right"] = pairs["lung_area"] / (1 + pairs["left_to_right"])
    pairs["left"] = pairs["lung_area"] - pairs["right"]
    complete = pairs[pairs["mask_origin"].isin(COMPLETE_ORIGINS) & (pairs["label"] == "normal")]
    known = complete["image_id"].isin(fitting)
    enough = int(known.sum()) >= FEWEST_TO_FIT
    symmetry = (
        fit_symmetry(list(complete.loc[known, ["right", "left"]].itertuples(index=False))) if enough else SYMMETRY
    )
    held_out = complete[~known & ~complete["image_id"].isin(choosing)]
    return Detection(
        symmetry=symmetry,
        fitted_on=int(known.sum()) if enough else 0,
        false_alarms=_rate(held_out, symmetry, rates),
        found=_rate(
            pd.concat([held_out.assign(**{side: held_out[side] * (1 - QUARTER)}) for side in ("right", "left")]),
            symmetry,
            rates,
        ),
        images=len(held_out),
        flagged={
            str(label): rates(_missing_shares(own, symmetry) >= symmetry.threshold, own["group"].tolist())
            for label, own in measured.groupby("label", sort=False)
        },
        without_lungs={
            str(label): len(own) for label, own in clean[clean["missing_share"].isna()].groupby("label", sort=False)
        },
    )


@dataclass(frozen=True)
class Missed:
    """How often predicted lungs lack a quarter of the reference's.

    Parameters
    ----------
    label, reference
        The class, and who drew its reference masks.
    images, lost
        Images with both masks, and those of them in which `QUARTER` or more of the reference's lungs is missing.
    share
        Of the images, with its interval by patient.
    """

    label: str
    reference: str
    images: int
    lost: int
    share: Interval


def missed_quarters(rows: pd.DataFrame, rates: Rates) -> tuple[Missed, ...]:
    """Count predicted lungs that lack a quarter of the reference's, by class and origin of the reference.

    Parameters
    ----------
    rows
        A study's rows; where no mask was predicted beside a reference there is nothing to count.
    rates
        Makes intervals of shares by patient.
    """
    known = rows[rows["missed_share"].notna()]
    found = []
    for (label, reference), own in known.groupby(["label", "reference_origin"], sort=True):
        lost = own["missed_share"] >= QUARTER
        found.append(Missed(str(label), str(reference), len(own), int(lost.sum()), rates(lost, own["group"].tolist())))
    return tuple(found)


def _rate(pairs: pd.DataFrame, symmetry: Symmetry, rates: Rates) -> Interval | None:
    if pairs.empty:
        return None
    areas = pairs[["right", "left"]].itertuples(index=False)
    return rates([is_under_segmented(right, left, symmetry) for right, left in areas], pairs["group"].tolist())


def _missing_shares(rows: pd.DataFrame, symmetry: Symmetry) -> "pd.Series[float]":
    """The column ``missing_share``, by this symmetry."""
    # The column was measured before the symmetry was fitted. A lung alone has no ratio, and its 1 is of any symmetry.
    fitted = rows["left_to_right"].map(lambda ratio: missing_share(1.0, ratio, symmetry), na_action="ignore")
    return fitted.fillna(rows["missing_share"])


def _change(before: dict[str, float | None], after: dict[str, float | None]) -> dict[str, float]:
    return {
        marker: float("nan") if first is None or (second := after[marker]) is None else second - first
        for marker, first in before.items()
    }
