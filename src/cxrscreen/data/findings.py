"""The 14 findings of NIH ChestX-ray14, which CheXNet tells of, and what a manifest's row says about them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.manifest import PNEUMONIA_LABELS, Manifest

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""In the order of CheXNet's outputs (Rajpurkar et al., 2017)."""
PNEUMONIA = "Pneumonia"
NIH = "nih"
"""The source whose column ``finding`` lists every finding, joined by ``|``."""


def learned_apart(targets: NDArray[np.float32]) -> tuple[str, ...]:
    """Findings that some image has which is not known to have pneumonia, in the order of :data:`FINDINGS`.

    A network that has learned from nothing else tells the other ones from normal by pneumonia, and not from each other.

    Parameters
    ----------
    targets
        float32 (N, 14), as :func:`finding_targets` gives them.
    """
    without = targets[:, FINDINGS.index(PNEUMONIA)] != 1
    return tuple(
        name
        for name, column in zip(FINDINGS, targets.T, strict=True)
        if name != PNEUMONIA and bool((column[without] == 1).any())
    )


def finding_targets(manifest: Manifest, image_ids: Sequence[str]) -> NDArray[np.float32]:
    """What is known of each finding.

    NIH images are labelled for all 14. Elsewhere a normal image has none of them, pneumonia of any cause has
    ``Pneumonia``, a nodule has ``Nodule``, and of the other findings of these nothing is known.

    Parameters
    ----------
    manifest
        The images.
    image_ids
        Which, in order.

    Returns
    -------
    ndarray
        float32 (N, 14): 1 present, 0 absent, NaN not known.
    """
    result = np.full((len(image_ids), len(FINDINGS)), np.nan, np.float32)
    columns = manifest.table.loc[list(image_ids), ["source", "label", "finding"]]
    for row, (source, label, finding) in enumerate(columns.itertuples(index=False)):
        if source == NIH:
            present = set(str(finding).split("|"))
            result[row] = [name in present for name in FINDINGS]
        elif label == "normal":
            result[row] = 0.0
        elif label in PNEUMONIA_LABELS:
            result[row, FINDINGS.index(PNEUMONIA)] = 1.0
        elif label == "nodule":
            result[row, FINDINGS.index("Nodule")] = 1.0
    return result
