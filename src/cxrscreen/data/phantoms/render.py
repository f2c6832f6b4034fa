"""The deterministic step: a spec becomes a phantom."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.phantoms.anatomy import soft_tissue
from cxrscreen.data.phantoms.exposure import expose
from cxrscreen.data.phantoms.lesions import lesion_opacity
from cxrscreen.data.phantoms.overlays import draw_overlays
from cxrscreen.data.phantoms.plane import Mask, Plane
from cxrscreen.data.phantoms.skeleton import skeleton
from cxrscreen.data.phantoms.spec import Frame, Marker, PhantomFinding, PhantomSpec, PhantomView, draw_spec
from cxrscreen.data.phantoms.vessels import vessel_tissue

_TISSUE_PER_CM = 0.19
_LUNG_PER_CM = 0.042
_BONE_PER_CM = 0.42
_SOLID = 0.9


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic chest radiograph with its exact truth; every array is (H, W) and read-only.

    Parameters
    ----------
    pixels
        float32 in [0, 1], bright = dense (bright = air where ``spec.inverted``).
    lungs
        uint8: 0 background, 1 right lung (viewer's left), 2 left lung; without heart and mediastinum.
    heart, ribs, clavicles
        bool; the heart is disjoint from the lungs, bones overlap them.
    lesions
        bool: exactly the lung pixels whose air the disease replaced.
    text
        bool: burned-in letters, tiles and arrows.
    border
        bool: white frame or collimation bars.
    finding
        ``"normal"``, ``"covid19"``, ``"bacterial"`` or ``"tuberculosis"``.
    spec
        What it was rendered from.
    pixel_spacing_mm
        Row and column spacing.
    view
        ``"PA"`` or ``"AP"``.
    """

    pixels: NDArray[np.float32]
    lungs: NDArray[np.uint8]
    heart: Mask
    ribs: Mask
    clavicles: Mask
    lesions: Mask
    text: Mask
    border: Mask
    finding: PhantomFinding
    spec: PhantomSpec
    pixel_spacing_mm: tuple[float, float]
    view: PhantomView

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


def make_phantom(
    seed: int,
    finding: PhantomFinding = "normal",
    *,
    shape: tuple[int, int] = (1024, 1024),
    view: PhantomView = "PA",
    text: Sequence[str] | None = None,
    markers: Sequence[Marker] | None = None,
    frame: Frame = "none",
    inverted: bool = False,
    rotation_deg: float | None = None,
) -> Phantom:
    """Draw and render a phantom; see `draw_spec` for the parameters and what it refuses.

    Returns
    -------
    Phantom
        The picture and its masks, the same for the same arguments.

    Raises
    ------
    PhantomError
        If an argument is outside its range or not one of its values.
    """
    return render(
        draw_spec(
            seed,
            finding,
            shape=shape,
            view=view,
            text=text,
            markers=markers,
            frame=frame,
            inverted=inverted,
            rotation_deg=rotation_deg,
        )
    )


def render(spec: PhantomSpec) -> Phantom:
    """Render a spec: the same spec gives the same arrays bit for bit on one machine.

    Parameters
    ----------
    spec
        The parameters, from `draw_spec` or changed with `dataclasses.replace`.

    Returns
    -------
    Phantom
        The picture and its masks.
    """
    plane = Plane(
        shape=spec.shape,
        pixels_per_cm=spec.pixels_per_cm,
        stretch=(spec.anatomy.width, spec.anatomy.height),
        centre_cm=spec.centre_cm,
        rotation_deg=spec.rotation_deg,
    )
    soft = soft_tissue(spec, plane)
    bones = skeleton(spec, plane)
    opacity, lesions = lesion_opacity(spec, plane, soft)
    vessels = np.minimum(vessel_tissue(spec, plane, soft), soft.air_cm)
    filled = np.minimum(vessels + _SOLID * opacity * (soft.air_cm - vessels), soft.air_cm)
    attenuation = (
        np.float32(_TISSUE_PER_CM) * (soft.tissue_cm + filled)
        + np.float32(_LUNG_PER_CM) * (soft.air_cm - filled)
        + np.float32(_BONE_PER_CM * spec.exposure.bone) * bones.bone_cm
    )
    dense = soft.heart & (plane.depth(soft.heart) > 1.0)
    picture = expose(spec, plane, attenuation.astype(np.float32), (soft.lungs > 0) & ~lesions, dense)
    pixels, text, border = draw_overlays(spec, picture, _target(lesions, soft.lungs))
    lungs = _one_piece_each(np.where(border, np.uint8(0), soft.lungs))
    visible = ~border
    return Phantom(
        pixels=np.asarray(1 - pixels if spec.inverted else pixels, dtype=np.float32),
        lungs=lungs,
        heart=soft.heart & visible,
        ribs=bones.ribs & visible,
        clavicles=bones.clavicles & visible,
        lesions=lesions & (lungs > 0),
        text=text,
        border=border,
        finding=spec.finding,
        spec=spec,
        pixel_spacing_mm=(10 / spec.pixels_per_cm, 10 / spec.pixels_per_cm),
        view=spec.view,
    )


def _one_piece_each(lungs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Keep the largest piece of each lung: on coarse grids a sulcus can come off by a pixel."""
    kept = np.zeros_like(lungs)
    for number in (1, 2):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((lungs == number).astype(np.uint8), connectivity=4)
        if count > 1:
            kept[labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))] = number
    return kept


def _target(lesions: Mask, lungs: NDArray[np.uint8]) -> tuple[float, float]:
    """Pixel (x, y) for an arrow: the thickest spot of the lesions, else of the right lung."""
    region = cv2.distanceTransform((lesions if lesions.any() else lungs == 1).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(np.argmax(region)), region.shape)
    return float(column), float(row)
