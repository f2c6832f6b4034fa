"""What a training says of images: probabilities, embedding, heat map, and pixels of the regions it draws."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LEFT_OUT = "left out"
"""Part of the images of sources that a training did without."""
LUNGS, LUNG_BOXES, DISEASE = "lungs", "lung boxes", "disease"
"""Regions: lungs by their outline, by the box around each lung (the paper's masks), and the disease."""
REGION_TABLE = ("image_id", "region", "true_positive", "false_positive", "false_negative")

ARRAYS, TABLE = "answers.npz", "regions.csv"


@dataclass(frozen=True, eq=False)
class Answers:
    """Of N images; what a method does not say is NaN, or has the width 0.

    Parameters
    ----------
    image_ids
        (N,).
    parts
        (N,): ``train``, ``validation``, ``test`` or :data:`LEFT_OUT`.
    covid19, other, unhealthy
        float64 (N,) in [0, 1]: probabilities of COVID-19, of another disease, and of being unhealthy. As float32 all
        above log odds of 17 would be 1, and one image could not be told from another.
    pooled
        float32 (N, K): the embedding after global average pooling.
    heat
        float32 (N, h, w), not negative, largest value 1: Grad-CAM of the COVID-19 decision.
    lungs
        float32 (N, h, w) in [0, 1]: share of each place that the method's own lung mask covers.
    regions
        The columns of :data:`REGION_TABLE`, one row for each image and region that has a reference, in pixels of the
        network's input.
    """

    image_ids: tuple[str, ...]
    parts: tuple[str, ...]
    covid19: NDArray[np.float64]
    other: NDArray[np.float64]
    unhealthy: NDArray[np.float64]
    pooled: Floats
    heat: Floats
    lungs: Floats
    regions: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write :data:`TABLE` and, last of all, :data:`ARRAYS` into a folder, made where missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.regions.to_csv(folder / TABLE, index=False, lineterminator="\n")
        part = folder / f"part-{ARRAYS}"
        named = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self) if field.name != "regions"}
        np.savez_compressed(part, allow_pickle=False, **named)
        part.replace(folder / ARRAYS)


def region_row(
    image_id: str,
    region: str,
    drawn: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
) -> dict[str, object]:
    """Count the pixels of a region: found, called falsely, and missed.

    Parameters
    ----------
    image_id, region
        Of which image, and which region.
    drawn, reference
        bool (H, W).
    known
        bool (H, W): which pixels the reference decides; None: all.

    Returns
    -------
    dict
        One row of :data:`REGION_TABLE`.

    Raises
    ------
    ValueError
        If shapes differ or an array is not bool.
    """
    arrays = [drawn, reference] if known is None else [drawn, reference, known]
    if len({array.shape for array in arrays}) > 1 or any(array.dtype != np.bool_ for array in arrays):
        raise ValueError("regions must be bool arrays of one shape")
    asked = np.ones_like(reference) if known is None else known
    counts = (drawn & reference & asked, drawn & ~reference & asked, ~drawn & reference & asked)
    return dict(zip(REGION_TABLE, (image_id, region, *(int(pixels.sum()) for pixels in counts)), strict=True))


def load_answers(folder: Path) -> Answers:
    """Read what :meth:`Answers.save` wrote."""
    with np.load(folder / ARRAYS, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    ids, parts = (tuple(str(each) for each in arrays.pop(name)) for name in ("image_ids", "parts"))
    return Answers(ids, parts, **arrays, regions=pd.read_csv(folder / TABLE, dtype={"image_id": str}))
