"""Grad-CAM and LIME of one radiograph, and how much of each lies in the lungs; no torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrscreen.explain.heat_map import heat_map
from cxrscreen.explain.lime import SUPERPIXELS, LimeExplanation, lime, samples_for, superpixels_of
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.imaging.enhancement.levels import from_levels
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Finding
from cxrscreen.systems.covid_cxnet.pipeline import CovidCxNet
from cxrscreen.systems.covid_cxnet.preprocessing import view_input
from cxrscreen.systems.covid_cxnet.saliency import class_grad_cam


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a class: two explanations of the same answer, in the frame of the region of interest.

    Parameters
    ----------
    finding
        The class that is explained.
    grey
        float32 (S, S) in [0, 1], black where nothing was seen.
    lungs
        uint8 (S, S), 1 inside.
    grad_cam
        float32 (S, S) in [0, 1].
    lime
        Superpixels and their weights.
    grad_cam_in_lungs, lime_in_lungs
        Share of Grad-CAM, and of the positive LIME weights, inside the lungs; None where there are none.
    findings_cam
        float32 (S, S) in [0, 1], Grad-CAM of pneumonia by the network that was pre-trained on the findings (paper,
        Fig. 19), or None where the bundle does not hold it.
    """

    finding: Finding
    grey: NDArray[np.float32]
    lungs: NDArray[np.uint8]
    grad_cam: NDArray[np.float32]
    lime: LimeExplanation
    grad_cam_in_lungs: float | None
    lime_in_lungs: float | None
    findings_cam: NDArray[np.float32] | None = None


def explain(
    system: CovidCxNet,
    radiograph: Radiograph,
    finding: Finding | None = None,
    *,
    samples: int | None = None,
    superpixels: int = SUPERPIXELS,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Explanation:
    """Explain a class by Grad-CAM and by LIME.

    A hidden superpixel gets its mean grey value, channel by channel behind the enhancement, as the authors' image
    explainer does; black would look like what is outside the lungs.

    Parameters
    ----------
    system
        The loaded system.
    radiograph
        The image; the gate is not asked.
    finding
        Which class; None: the likeliest.
    samples, superpixels, seed, advance
        As in :func:`cxrscreen.explain.lime.lime` and :func:`cxrscreen.explain.lime.superpixels_of`; None: as many
        samples as :func:`cxrscreen.explain.lime.samples_for` gives for the classifier.

    Raises
    ------
    ValueError
        If the system does not know the class.
    """
    view = system.view(radiograph)
    image = view_input(view, system.settings)
    outputs = system.outputs_for(image)
    probable = system.classes[int(system.shares_of(image[None])[0].argmax())]
    chosen = finding or probable
    if chosen not in system.classes:
        raise ValueError(f"this system tells {', '.join(system.classes)} apart, not {chosen}")
    place, size = system.classes.index(chosen), (view.grey.shape[0], view.grey.shape[1])
    grey = from_levels(view.grey)
    regions = superpixels_of(grey, view.kept > 0, superpixels)
    plain = _filled(image, regions)
    found = lime(
        regions,
        lambda pixels: np.where(pixels, plain, image),
        system.shares_of,
        place,
        samples=samples or samples_for(system.work),
        seed=seed,
        advance=advance,
    )
    heat = heat_map(class_grad_cam(outputs, system.weights, place), size)
    before = system.pneumonia_map(radiograph, view)
    return Explanation(
        finding=chosen,
        grey=grey * view.kept.astype(np.float32),
        lungs=view.lungs,
        grad_cam=heat,
        lime=found,
        grad_cam_in_lungs=lung_share(heat, view.lungs),
        lime_in_lungs=lung_share(np.maximum(found.map(), 0), view.lungs),
        findings_cam=None if before is None else heat_map(before, size),
    )


def _filled(image: NDArray[np.float32], regions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each superpixel at its mean, channel by channel; float32 (C, H, W)."""
    counts = np.maximum(np.bincount(regions.ravel()), 1)
    means = [np.bincount(regions.ravel(), weights=channel.ravel()) / counts for channel in image]
    filled = np.stack([own[regions] for own in means]).astype(np.float32)
    return np.where(regions > 0, filled, image)
