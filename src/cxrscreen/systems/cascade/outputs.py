"""What the classifiers say of cut-out lungs, asked as the pipeline asks them, many images in a row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.cascade.pipeline import H2Reading, pneumonia_map, weighted_input
from cxrscreen.systems.cascade.roi import network_input
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.systems.mirrored import mirrored_outputs

BATCH = 16
"""Images in one call of an engine."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of both decisions for the images of a table.

    Parameters
    ----------
    row
        Row by image id.
    pneumonia, covid19
        Logits, float32 (N,); NaN where an image was not asked.
    h2
        The heat maps of stage 2 that go with them, float32 (N, h, w) in [0, 1].
    """

    row: Mapping[str, int]
    pneumonia: Floats
    covid19: Floats
    h2: Floats

    def rows(self, image_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of images."""
        return np.array([self.row[image_id] for image_id in image_ids], dtype=np.int64)

    def with_stage2(self, engine: Engine, rois: RoiTable, image_ids: Sequence[str], reading: H2Reading) -> "Outputs":
        """The same with another stage 2 for some images; the others keep their maps and lose their logits."""
        logits, maps = stage2_outputs(engine, rois, image_ids, reading)
        pneumonia, h2, rows = np.full_like(self.pneumonia, np.nan), self.h2.copy(), self.rows(image_ids)
        pneumonia[rows], h2[rows] = logits, maps
        return replace(self, pneumonia=pneumonia, h2=h2)

    def with_stage3(self, engine: Engine, rois: RoiTable, image_ids: Sequence[str], *, mirrored: bool) -> "Outputs":
        """The same with stage 3 asked anew, by these maps, for some images; the others lose their logits."""
        covid19 = np.full_like(self.covid19, np.nan)
        covid19[self.rows(image_ids)] = stage3_outputs(engine, rois, image_ids, self.h2, mirrored=mirrored)
        return replace(self, covid19=covid19)


def stage2_outputs(
    engine: Engine, rois: RoiTable, image_ids: Sequence[str], reading: H2Reading
) -> tuple[Floats, Floats]:
    """Logits (N,) and heat maps H2 (N, h, w) of stage 2."""
    class_weights = engine.weights["classifier.weight"]
    logits, maps = [], []
    for some in _in_batches(image_ids, "Stage 2"):
        given = engine(np.stack([network_input(rois.roi(i).masked)[None] for i in some]))
        logits.append(given["logits"][:, 0])
        for index in range(len(some)):
            one = {name: values[index : index + 1] for name, values in given.items()}
            maps.append(pneumonia_map(one, class_weights, reading))
    return np.concatenate(logits), np.stack(maps)


def stage3_outputs(engine: Engine, rois: RoiTable, image_ids: Sequence[str], h2: Floats, *, mirrored: bool) -> Floats:
    """Logits (N,) of stage 3 for images weighted by their H2 (Eq. 3); ``h2`` has a row for each row of the table.

    ``mirrored``: each averaged with that for the mirror image, as the preprocessing says.
    """
    logits = []
    for some in _in_batches(image_ids, "Stage 3"):
        weighted = [weighted_input(rois.roi(i), h2[rois.row[i]]) for i in some]
        views = np.stack([network_input(each)[None] for each in weighted])
        given = mirrored_outputs(engine, views) if mirrored else engine(views)
        logits.append(given["logits"][:, 0])
    return np.concatenate(logits)


def _in_batches(image_ids: Sequence[str], what: str) -> Iterator[Sequence[str]]:
    starts = range(0, len(image_ids), BATCH)
    return (image_ids[start : start + BATCH] for start in tracked(starts, what))
