"""The lungs of a cohort, cut out once by the bundle's own stage 1."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.read import read
from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import Bundle, preprocessing_of
from cxrscreen.systems.cascade.cohort import Cohort
from cxrscreen.systems.cascade.pipeline import Preprocessing, find_lungs
from cxrscreen.systems.cascade.roi import cut_lungs
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.train.augment import grey_quantiles
from cxrscreen.train.steps import once

CHUNK = 256
"""Images whose lungs are cut out in one step: what a stopped run loses at most."""


def cut_cohort(bundle: Bundle, cohort: Cohort, folder: Path) -> tuple[RoiTable, str]:
    """Cut the lungs out of all images as the bundle does when it screens.

    Parameters
    ----------
    bundle
        A cascade.
    cohort
        The images; row i of the table is its image i.
    folder
        Keeps what is cut, in steps; a stopped run goes on there.

    Returns
    -------
    tuple
        The table, and a fingerprint of what it was made from.

    Raises
    ------
    BundleError
        If the bundle is no cascade of this version.
    RecipeError
        If the folder holds other images or another bundle's lungs.
    UnreadableImageError
        If an image is damaged.
    """
    settings = preprocessing_of(bundle, Preprocessing).roi(load_engine(bundle.file("pneumonia.onnx")).image_shape[1])
    segmenter = load_engine(bundle.file("lungs.onnx"))

    def cut(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
        pixels = read(cohort.manifest.image_file(image_id)).pixels
        roi = cut_lungs(pixels, find_lungs(segmenter, pixels).mask, settings)
        quantiles = grey_quantiles(roi.pixels, roi.mask > 0)
        return np.round(roi.pixels * 255).astype(np.uint8), roi.mask.astype(np.uint8), quantiles

    def cut_some(image_ids: Sequence[str], path: Path) -> None:
        with ThreadPoolExecutor(2) as pool:
            pixels, masks, quantiles = (np.stack(column) for column in zip(*pool.map(cut, image_ids), strict=True))
        with path.open("wb") as file:
            np.savez(file, pixels=pixels, masks=masks, quantiles=quantiles, image_ids=np.array(image_ids))

    by = {"lungs": bundle.card.files["lungs.safetensors"], "settings": asdict(settings)}
    tables, made = [], []
    for number in tracked(range(-(-len(cohort.images) // CHUNK)), "Cutting out lungs"):
        some = cohort.images[number * CHUNK : (number + 1) * CHUNK]
        file = folder / f"lungs-{number:04d}.npz"
        depends = by | {"images": [[i, str(cohort.manifest.image_file(i))] for i in some]}
        made.append(once(file, depends, partial(cut_some, some)))
        tables.append(RoiTable.load(file))
    pixels, masks, quantiles = (
        np.concatenate([getattr(table, name) for table in tables]) for name in ("pixels", "masks", "quantiles")
    )
    row = {image_id: index for index, image_id in enumerate(cohort.images)}
    return RoiTable(pixels, masks, quantiles, row), hashlib.sha256(json.dumps(made).encode()).hexdigest()
