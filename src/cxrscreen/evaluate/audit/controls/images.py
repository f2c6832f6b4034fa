"""All images of an audit reduced once, with their lung masks, so that many probes can be trained on them in memory."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import lung_target, read_lung_mask
from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.imaging.radiograph import Radiograph

SIDE = 96
"""Side of the reduced images, pixels: enough to see lungs, opacities, markers and borders."""

_READERS = 2
_TOLD_EVERY = 20


@dataclass(frozen=True, eq=False)
class SmallImages:
    """Reduced images and their lungs.

    Parameters
    ----------
    image_ids
        Sorted; the row of each.
    pixels
        uint8 (N, 96, 96): 1st to 99th percentile of the image; the aspect ratio is given up.
    lungs
        bool (N, 96, 96), True inside the lungs; may be empty.
    """

    image_ids: tuple[str, ...]
    pixels: NDArray[np.uint8]
    lungs: NDArray[np.bool_]

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.intp]:
        """Row numbers of images, those that could not be read left out."""
        row = {image_id: number for number, image_id in enumerate(self.image_ids)}
        return np.array([row[image_id] for image_id in image_ids if image_id in row], dtype=np.intp)


def small_images(data: AuditData, *, manifest_masks: bool = False) -> SmallImages:
    """Reduce the chosen images of all protocols and parts, or take them from the cache.

    Parameters
    ----------
    data
        The audit's; with its ``cache``, a later audit of the same bundle and images reads none of them again.
    manifest_masks
        Take the manifest's lung masks where there are any. Off, since the manifest's masks differ in origin and
        convention from source to source, so that masks alone would name the source; the system draws all of them.

    Returns
    -------
    SmallImages
        Images that cannot be read or screened are left out.

    Raises
    ------
    ManifestError
        If none could be read.
    """
    image_ids = sorted({i for protocol in data.splits for part in PARTS for i in data.images(protocol, part)})
    if data.cache is None:
        return _reduced(data, image_ids, manifest_masks)
    file = data.cache / f"controls-{_fingerprint(data, image_ids, manifest_masks)}.npz"
    if file.is_file():
        return _load(file)
    made = _reduced(data, image_ids, manifest_masks)
    data.cache.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"part-{file.name}")
    with part.open("wb") as stored:
        np.savez_compressed(stored, image_ids=np.array(made.image_ids), pixels=made.pixels, lungs=made.lungs)
    # A name appears only when its content is complete, so that a stopped run leaves nothing half-written to be read.
    part.replace(file)
    return made


def reduced(pixels: NDArray[np.float32], mask: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Reduce one image and its lung mask.

    Parameters
    ----------
    pixels
        float32 (H, W) in [0, 1].
    mask
        uint8 (h, w), 0 outside the lungs.

    Returns
    -------
    tuple of ndarray
        uint8 (96, 96) and bool (96, 96).
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, (1.0, 99.0))
    grey = np.clip((small - low) / max(float(high - low), 1e-6), 0.0, 1.0)
    lungs = cv2.resize((mask > 0).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.round(grey * 255).astype(np.uint8), np.asarray(lungs >= 0.5, dtype=np.bool_)


def _reduced(data: AuditData, image_ids: Sequence[str], manifest_masks: bool) -> SmallImages:
    def one(image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
        try:
            radiograph = data.radiograph(image_id)
            return reduced(radiograph.pixels, _mask(data, image_id, radiograph, manifest_masks))
        except CxrscreenError:
            return None

    kept: dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for number, (image_id, pair) in enumerate(zip(image_ids, pool.map(one, image_ids), strict=True)):
            if number % _TOLD_EVERY == 0:
                data.advance(f"reducing image {number + 1} of {len(image_ids)} for the trained controls")
            if pair is not None:
                kept[image_id] = pair
    if not kept:
        raise ManifestError(
            f"None of {len(image_ids)} image(s) could be read for the trained controls: check the paths."
        )
    pixels, lungs = (np.stack(column) for column in zip(*kept.values(), strict=True))
    return SmallImages(tuple(kept), pixels, lungs)


def _mask(data: AuditData, image_id: str, radiograph: Radiograph, manifest_masks: bool) -> NDArray[np.uint8]:
    file = data.manifest.mask_file(image_id) if manifest_masks else None
    if file is not None:
        return lung_target(read_lung_mask(file))
    return data.system.screen(radiograph, explain=False).lung_mask


def _load(file: Path) -> SmallImages:
    with np.load(file) as stored:
        return SmallImages(tuple(str(i) for i in stored["image_ids"]), stored["pixels"], stored["lungs"])


def _fingerprint(data: AuditData, image_ids: Sequence[str], manifest_masks: bool) -> str:
    """Of all that the reduced images depend on."""
    table = data.manifest.table.loc[list(image_ids)]
    depends: Mapping[str, object] = {
        "side": SIDE,
        "bundle": data.system.bundle_id,
        "files": dict(data.bundle.card.files),
        "images": table[["image_id", "path"]].to_numpy().tolist(),
        "masks": table["lung_mask"].tolist() if manifest_masks else None,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
