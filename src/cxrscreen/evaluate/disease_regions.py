"""How well a system outlines the diseased region: what it finds of it, beside how much of what it calls is right."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrscreen import RESEARCH_USE
from cxrscreen.data.disease_masks import DiseaseMasks
from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, bootstrap
from cxrscreen.evaluate.cells import cell, table
from cxrscreen.evaluate.outputs import plain, software
from cxrscreen.evaluate.region_overlap import REGION_COLUMNS, region_figures
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Outline, Outlines, System

PROTOCOL = "disease-regions"
"""As given to ``cxrscreen evaluate --protocol``."""
THRESHOLD = 0.5
"""Score from which a place is called diseased (COMiT-Net paper, section 4.1)."""
_FIGURES = {
    "sensitivity": "Found of the region (TPR), mean over images",
    "precision": "Precision, mean over images",
    "iou": "IoU, mean over images",
    "pixel_sensitivity": "Found, pixels of all images together",
    "pixel_precision": "Precision, pixels of all images together",
}
_NOT_CONCLUDED = (
    "That it finds the disease: a region that covers everything has a TPR of 1. Read it beside the precision.",
    "That a low precision is false alarm alone: a box holds healthy lung, and disease may lie outside every box.",
    "That the decision rests on this region: it is another answer of the same network.",
    "That a screening shows all of this: it leaves a region out where no disease is called, unless images without "
    "disease have taught it.",
)
HEALTHY_COLUMNS = ("image_id", "source", "group", "lungs", "image")
"""Columns of a table of images without disease: one row per image, the last two shares in [0, 1] called diseased."""


def region_rows(
    system: System,
    manifest: Manifest,
    regions: DiseaseMasks,
    image_ids: Sequence[str],
    read: Callable[[Path], Radiograph],
    *,
    threshold: float = THRESHOLD,
    advance: Callable[[], None] = lambda: None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Compare the region that a system shows with the known one, at the size of the stored image.

    Parameters
    ----------
    system
        One that outlines the diseased region.
    manifest, regions
        The images and their known regions.
    image_ids
        Images with a known region.
    read
        From a file to a radiograph.
    threshold
        From which a place is called diseased, in [0, 1].
    advance
        Called after each image.

    Returns
    -------
    tuple
        The columns of :data:`~cxrscreen.evaluate.region_overlap.REGION_COLUMNS`, and by image id the reason why
        another one could not be measured.

    Raises
    ------
    ManifestError
        If no image could be measured.
    """

    def counts(image_id: str, outline: Outline) -> tuple[float, ...]:
        called = outline.disease >= threshold
        known = regions.mask(image_id, called.shape)
        return int((called & known).sum()), int((called & ~known).sum()), int((~called & known).sum())

    rows, failures = _measured(system, manifest, image_ids, read, counts, advance)
    if not rows:
        reason = next(iter(failures.values()), "this part has no image with a known region that taught nothing")
        raise ManifestError(f"No diseased region could be measured: {reason}")
    return pd.DataFrame(rows, columns=list(REGION_COLUMNS)), failures


def healthy_rows(
    system: System,
    manifest: Manifest,
    image_ids: Sequence[str],
    read: Callable[[Path], Radiograph],
    *,
    threshold: float = THRESHOLD,
    advance: Callable[[], None] = lambda: None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Measure how much of the lungs, and of the whole image, is called diseased where there is no disease.

    Parameters
    ----------
    image_ids
        Images without disease.
    system, manifest, read, threshold, advance
        As of :func:`region_rows`.

    Returns
    -------
    tuple
        The columns of :data:`HEALTHY_COLUMNS`, the share of lungs that were not found being NaN; and by image id the
        reason why another one could not be measured.
    """

    def shares(_: str, outline: Outline) -> tuple[float, ...]:
        called = outline.disease >= threshold
        return float(called[outline.lungs].mean()) if outline.lungs.any() else np.nan, float(called.mean())

    rows, failures = _measured(system, manifest, image_ids, read, shares, advance)
    return pd.DataFrame(rows, columns=list(HEALTHY_COLUMNS)), failures


def _measured(
    system: System,
    manifest: Manifest,
    image_ids: Sequence[str],
    read: Callable[[Path], Radiograph],
    measure: Callable[[str, Outline], tuple[float, ...]],
    advance: Callable[[], None],
) -> tuple[list[tuple[object, ...]], dict[str, str]]:
    """Outline each image; a row of its id, source, group and measures, or the reason why there is none."""
    rows: list[tuple[object, ...]] = []
    failures = {}
    for image_id in image_ids:
        facts = manifest.table.loc[image_id]
        try:
            outline = outlining(system).outline(read(manifest.image_file(image_id)))
            rows.append((image_id, facts["source"], facts["group"], *measure(image_id, outline)))
        except CxrscreenError as error:
            failures[image_id] = str(error).replace(f"{manifest.root}/", "")
        advance()
    return rows, failures


def outlining(system: System) -> Outlines:
    """The system, if it outlines the diseased region; else a :class:`CxrscreenError`."""
    if not isinstance(system, Outlines):
        raise CxrscreenError(f"{system.bundle_id} shows no diseased region: take a bundle that has learned one.")
    return system


@dataclass(frozen=True)
class RegionProvenance:
    """Which images were measured, and how.

    Parameters
    ----------
    bundle
        ``name@version``.
    part, seed, sources
        Of the split ``comit-images``, and the sources to which it was restricted.
    threshold
        From which a place is called diseased.
    left_out
        Images with a known region that taught the bundle, :func:`cxrscreen.systems.learned.taught_by`; None where the
        bundle does not say.
    recall
        Share of the validation images' regions that the score was moved to find after the training; None: it was not.
    """

    bundle: str
    part: str
    seed: int
    sources: tuple[str, ...]
    threshold: float = THRESHOLD
    left_out: int | None = None
    recall: float | None = None


def write_regions(
    folder: Path,
    rows: pd.DataFrame,
    failures: Mapping[str, str],
    about: RegionProvenance,
    *,
    healthy: pd.DataFrame | None = None,
    replicates: int = REPLICATES,
) -> dict[str, Path]:
    """Write ``metrics.json``, ``metrics.md`` and ``regions.csv``; the same rows give the same bytes.

    Parameters
    ----------
    folder
        Made if missing.
    rows, failures
        Of :func:`region_rows`, and what failed of :func:`healthy_rows` as well.
    about
        Which images, and how.
    healthy
        Of :func:`healthy_rows`; None or empty: there was no such image.
    replicates
        Of the bootstrap.

    Returns
    -------
    dict
        Path by file name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = {str(name): own for name, own in rows.groupby("source", sort=True)} | {"all": rows}
    results = {name: region_figures(own, replicates=replicates) for name, own in groups.items()}
    content: dict[str, Any] = {
        "notice": RESEARCH_USE,
        "measures": "diseased region",
        **dataclasses.asdict(about),
        "replicates": replicates,
        "software": software(),
        "images": {"measured": len(rows), "failed": len(failures)},
        "failures": dict(failures),
        "results": plain({name: dataclasses.asdict(figures) for name, figures in results.items()}),
        "without_disease": plain(_called_falsely(healthy, replicates)),
        "not_concluded": list(_NOT_CONCLUDED),
    }
    files = {name: folder / name for name in ("metrics.json", "metrics.md", "regions.csv")}
    files["metrics.json"].write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    files["metrics.md"].write_text("\n".join(_page(content)) + "\n", encoding="utf-8")
    rows.to_csv(files["regions.csv"], index=False, lineterminator="\n")
    return files


def _called_falsely(healthy: pd.DataFrame | None, replicates: int) -> dict[str, dict[str, Any]]:
    if healthy is None or healthy.empty:
        return {}
    groups = {str(name): own for name, own in healthy.groupby("source", sort=True)} | {"all": healthy}
    found: dict[str, dict[str, Any]] = {}
    for name, own in groups.items():
        found[name] = {"images": len(own)}
        for what in HEALTHY_COLUMNS[3:]:
            known = own.dropna(subset=[what])
            if not known.empty:
                mean = partial(weighted_mean, known[what].to_numpy(np.float64))
                estimate = bootstrap(mean, known["group"].astype(str).tolist(), replicates=replicates)
                found[name][what] = dataclasses.asdict(estimate)
    return found


def _without_disease(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not found:
        return ["No image without disease was measured: how much is called falsely there is not known.", ""]
    body = [[name, str(each["images"]), cell(each.get("lungs")), cell(each["image"])] for name, each in found.items()]
    head = ["Source", "Images without disease", "Share of the lungs called diseased", "Share of the image"]
    return ["## Where there is no disease", "", *table(head, body), ""]


def _taught(left_out: int | None) -> str:
    if left_out is None:
        return "The bundle does not say which images taught it: they may be among these"
    if left_out:
        return (
            f"Left out: {left_out} images with a region, since an image of their patient taught the bundle or chose "
            "its epoch"
        )
    return "None of them, nor another image of their patients, taught the bundle, as its own split says"


def _moved(content: Mapping[str, Any]) -> str:
    if content["recall"] is None:
        return ""
    told = ": what is found here is so by construction" if content["part"] == "validation" else ""
    return (
        f", which was moved after the training to find {content['recall']:.0%} of the regions of the validation part"
        f"{told}"
    )


def _page(content: Mapping[str, Any]) -> list[str]:
    images = content["images"]
    body = [
        [name, str(figures["images"]), *(cell(figures["estimates"].get(key)) for key in _FIGURES)]
        for name, figures in content["results"].items()
    ]
    sources = f", images of {', '.join(content['sources'])}" if content["sources"] else ""
    lines = [
        f"# Diseased region by {content['bundle']}, {content['part']} part",
        "",
        f"**{content['notice']}**",
        "",
        f"- Images with a known region: {images['measured']} measured, {images['failed']} failed{sources}; "
        f"seed {content['seed']}",
        f"- {_taught(content['left_out'])}",
        *(["- Not the test part: the epoch was chosen on these images"] if content["part"] != "test" else []),
        f"- A place is called diseased from the score {content['threshold']:g}{_moved(content)}",
        f"- Intervals: 95 %; {content['replicates']} bootstrap resamples of patient groups",
        "",
        *table(["Source", "Images", *_FIGURES.values()], body),
        "",
        *_without_disease(content["without_disease"]),
        "## What must not be concluded",
        "",
        *(f"- {text}" for text in content["not_concluded"]),
    ]
    if content["failures"]:
        rows = [[name, reason.replace("|", "/")] for name, reason in content["failures"].items()]
        lines += ["", "## Failed images (in no figure above)", "", *table(["Image", "Reason"], rows)]
    return lines
