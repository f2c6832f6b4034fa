"""All biomarkers over a manifest: a row an image, a reason for every image that gave none."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.biomarkers.cardiothoracic import CardiothoracicRatio, cardiothoracic_ratio
from cxrscreen.biomarkers.measure import MARKERS, REGIONS, STATES, Measured, measure, prepared_at_own_size
from cxrscreen.biomarkers.missing_quarter import COMPLETE_ORIGINS, EFFECT_COLUMNS, effects_of
from cxrscreen.biomarkers.paper import CLASSES
from cxrscreen.biomarkers.references import OrganMask, reference_mask, resized
from cxrscreen.biomarkers.under_segmentation import SYMMETRY, Symmetry, missed_share
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES, LEFT_LUNG, RIGHT_LUNG
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.imaging.radiograph import Radiograph

LABELS: Final = (*CLASSES, "nodule")
"""Labels that are measured: the paper's classes, and nodules for the cardiothoracic ratio of JSRT."""

EFFECT_IMAGES: Final = 60
"""Normal radiographs with complete lungs, drawn by the seed, on which a missing quarter is tried."""

LINE_COLUMNS: Final = (
    "thorax_row", "thorax_left", "thorax_right", "heart_right_row", "heart_right_column", "heart_left_row",
    "heart_left_column",
)  # fmt: skip
"""Ends of the measuring lines, in pixels of the radiograph."""

COLUMNS: Final = (
    "image_id", "source", "label", "view", "group", "mask_origin", "predicted", "heart_in_lungs",
    "reference_origin", "heart_origin",
    *MARKERS,
    "ctr_reference", "missed_share",
    *(f"{state}_{region}" for state in STATES for region in REGIONS), *LINE_COLUMNS,
)  # fmt: skip
"""Columns of ``biomarkers.csv``. ``predicted`` masks are a bundle's; ``ctr_reference`` is the ratio from the reference
masks also there, and ``heart_origin`` says "reference" where a predicted mask had no heart and took the reference's.
``missed_share`` is the share of the reference's lungs, drawn by ``reference_origin``, that a predicted mask leaves out;
no number where the two differ in whether lungs reach behind the heart."""
_NUMBERS: Final = COLUMNS[COLUMNS.index("heart_origin") + 1 :]


@dataclass(frozen=True, eq=False)
class Example:
    """One radiograph for the figure of how markers are measured.

    Parameters
    ----------
    pixels
        float32 (H, W), after the universal preprocessing but at the radiograph's own size.
    mask
        What was measured.
    truth
        The reference where a predicted mask was measured, else None.
    measured
        The figures, the cardiothoracic ratio with its lines among them.
    """

    pixels: NDArray[np.float32]
    mask: OrganMask
    truth: OrganMask | None
    measured: Measured


@dataclass(frozen=True, eq=False)
class Study:
    """What was measured over a manifest.

    Parameters
    ----------
    rows
        `COLUMNS`, a row an image.
    patches
        ``label``, ``group``, ``mean``, ``std``: a row a patch of lungs without the heart.
    histograms
        By label and state: mean over images of the histogram of lung pixels, float64 (64,); lungs without the heart.
    failures
        ``image_id`` and ``reason``.
    effects
        What a quarter of a lung taken away does to the markers: columns of `missing_quarter.EFFECT_COLUMNS`.
    left_out
        Images by reason: not of a class, children, lateral views, copies, without a mask.
    symmetry
        Of complete lungs.
    example
        None where no image was measured.
    """

    rows: pd.DataFrame
    patches: pd.DataFrame
    histograms: dict[tuple[str, str], NDArray[np.float64]]
    failures: pd.DataFrame
    effects: pd.DataFrame
    left_out: dict[str, int]
    symmetry: Symmetry = SYMMETRY
    example: Example | None = None


def run_study(
    manifest: Manifest,
    read: Callable[[Path], Radiograph],
    *,
    predict: Callable[[Radiograph], OrganMask] | None = None,
    everywhere: bool = False,
    symmetry: Symmetry = SYMMETRY,
    limit: int | None = None,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda _done, _all: None,
) -> Study:
    """Measure the adult frontal radiographs of a manifest, each once.

    Parameters
    ----------
    manifest
        Images, masks, labels and patients.
    read
        From a file to a radiograph.
    predict
        Gives the organs of an image without reference mask; without it such images are left out.
    everywhere
        Take ``predict`` also where there is a reference mask, so that all masks have one origin.
    symmetry
        What complete lungs look like.
    limit
        Images of each label and source, drawn by the seed; None: all.
    seed
        Of the draw and of the patches; the patches of an image do not depend on the other images.
    advance
        Called after each image with the number done and the number of all.

    Raises
    ------
    ManifestError
        If no image is left or none could be measured.
    """
    chosen, left_out = chosen_rows(manifest.table)
    if predict is None:
        bare = chosen["lung_mask"] == ""
        chosen, left_out = chosen[~bare], left_out | {"without a reference mask": int(bare.sum())}
    if limit is not None:
        chosen = _drawn(chosen, limit, seed)
    if chosen.empty:
        raise ManifestError(
            "The manifest has no adult frontal radiograph of the classes "
            f"{', '.join(LABELS)} with a lung_mask: fill that column, or give a bundle for the masks."
        )
    collected = _Collected(symmetry)
    with_effects = _with_effects(chosen, seed) if predict is None or not everywhere else frozenset()
    image_ids = [str(image_id) for image_id in chosen["image_id"]]
    for done, image_id in enumerate(image_ids, start=1):
        try:
            radiograph = read(manifest.image_file(image_id))
            reference = reference_mask(manifest, image_id)
            taken = predict(radiograph) if predict and (everywhere or reference is None) else reference
            if taken is None:
                raise ManifestError("Its reference mask does not tell the lungs apart: correct lung_mask_sides.")
            organs = _with_heart(taken, None if taken is reference else reference)
            measured = measure(radiograph, organs, _patch_rng(seed, image_id), symmetry=symmetry)
            collected.add(manifest.table.loc[image_id].to_dict(), taken, measured, reference)
            if image_id in with_effects:
                collected.effects += effects_of(radiograph, taken, partial(_patch_rng, seed, image_id), image_id)
            if collected.better_example(measured):
                truth = None if taken is reference else reference
                collected.example = Example(prepared_at_own_size(radiograph), organs, truth, measured)
        except CxrscreenError as error:
            collected.failures.append({"image_id": image_id, "reason": str(error).replace(f"{manifest.root}/", "")})
        advance(done, len(image_ids))
    if not collected.rows:
        raise ManifestError(
            f"None of {len(image_ids)} image(s) could be measured; the first: {collected.failures[0]['reason']}"
        )
    return collected.study(left_out)


def chosen_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows of a manifest's table to measure, and how many were left out for which reason, the first that applies."""
    left_out: dict[str, int] = {}
    rules: tuple[tuple[str, Callable[[pd.DataFrame], pd.Series[bool]]], ...] = (
        ("of no class that is compared", lambda rows: ~rows["label"].isin(LABELS)),
        ("copies of another image", lambda rows: rows["duplicate_of"] != ""),
        ("lateral views", lambda rows: rows["view"] == "L"),
        ("children, whom the paper leaves out too", lambda rows: rows["pediatric"] == "true"),
    )
    for reason, leaves_out in rules:
        out = leaves_out(table)
        left_out[reason] = int(out.sum())
        table = table[~out]
    return table, left_out


class _Collected:
    """The rows so far."""

    def __init__(self, symmetry: Symmetry) -> None:
        self.rows: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []
        self.effects: list[dict[str, Any]] = []
        self.example: Example | None = None
        self._symmetry = symmetry
        self._patches: list[pd.DataFrame] = []
        self._histograms: dict[tuple[str, str], list[NDArray[np.float64]]] = defaultdict(list)

    def add(self, entry: dict[Any, Any], mask: OrganMask, measured: Measured, reference: OrganMask | None) -> None:
        label, group = str(entry["label"]), str(entry["group"])
        row = {name: entry[name] for name in ("image_id", "source", "label", "view", "group")}
        origin: dict[str, Any] = {"mask_origin": mask.origin, "predicted": mask is not reference}
        origin["heart_in_lungs"] = mask.heart_in_lungs
        known = None if reference is None else cardiothoracic_ratio(reference.values, reference.heart)
        origin |= {
            "heart_origin": "" if measured.ctr is None else mask.origin if mask.heart is not None else "reference",
            "ctr_reference": None if known is None else known.ratio,
            "reference_origin": "" if reference is None else reference.origin,
            "missed_share": None if mask is reference else _missed(mask, reference),
        }
        self.rows.append({**row, **origin, **measured.markers, **measured.regions, **_ends(measured.ctr)})
        if mask.heart_in_lungs:
            return
        if measured.patches is not None:
            patches = {"mean": measured.patches.means, "std": measured.patches.stds}
            self._patches.append(pd.DataFrame({"label": label, "group": group, **patches}))
        for state, histogram in measured.histograms.items():
            self._histograms[label, state].append(histogram)

    def better_example(self, measured: Measured) -> bool:
        if self.example is None:
            return True
        return self.example.measured.ctr is None and measured.ctr is not None

    def study(self, left_out: dict[str, int]) -> Study:
        columns = ["label", "group", "mean", "std"]
        return Study(
            rows=pd.DataFrame(self.rows, columns=list(COLUMNS)).astype(dict.fromkeys(_NUMBERS, np.float64)),
            patches=pd.concat(self._patches, ignore_index=True) if self._patches else pd.DataFrame(columns=columns),
            histograms={key: np.mean(values, axis=0) for key, values in self._histograms.items()},
            failures=pd.DataFrame(self.failures, columns=["image_id", "reason"]),
            effects=pd.DataFrame(self.effects, columns=list(EFFECT_COLUMNS)),
            left_out=left_out,
            symmetry=self._symmetry,
            example=self.example,
        )


def _with_heart(mask: OrganMask, reference: OrganMask | None) -> OrganMask:
    """A predicted mask without a heart takes the reference's: its lungs can still be judged by the ratio they give."""
    if mask.heart is not None or reference is None or reference.heart is None:
        return mask
    return replace(mask, heart=resized(reference, mask.values.shape).heart)


def _missed(mask: OrganMask, reference: OrganMask | None) -> float | None:
    if reference is None or reference.heart_in_lungs != mask.heart_in_lungs:
        return None
    if not np.isin(reference.values, (RIGHT_LUNG, LEFT_LUNG)).any():
        return None
    return missed_share(resized(mask, reference.values.shape).values, reference.values)


def _with_effects(rows: pd.DataFrame, seed: int) -> frozenset[str]:
    complete = rows[(rows["label"] == "normal") & rows["lung_mask_origin"].isin(COMPLETE_ORIGINS)]
    complete = complete[~complete["source"].isin(HEART_INCLUDED_SOURCES)]
    order = np.random.default_rng(seed).permutation(complete.index.sort_values().to_numpy())
    return frozenset(str(image_id) for image_id in order[:EFFECT_IMAGES])


def _ends(ctr: CardiothoracicRatio | None) -> dict[str, int]:
    if ctr is None:
        return {}
    ends = (
        *(ctr.thorax.row, ctr.thorax.left, ctr.thorax.right),
        *(ctr.heart_right.row, ctr.heart_right.left),
        *(ctr.heart_left.row, ctr.heart_left.right),
    )
    return dict(zip(LINE_COLUMNS, ends, strict=True))


def _drawn(rows: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kept = [
        image_id
        for _, own in rows.groupby(["label", "source"], sort=True)
        for image_id in rng.permutation(own.index.sort_values().to_numpy())[:limit]
    ]
    return rows[rows.index.isin(kept)]


def _patch_rng(seed: int, image_id: str) -> np.random.Generator:
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
