"""Soft parts of the chest: outlines, masks and thicknesses along the beam."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cxrscreen.data.phantoms.plane import (
    Field,
    Mask,
    Plane,
    Points,
    curve,
    ellipse,
    mirrored,
    smoothstep,
)

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import Anatomy, PhantomSpec

RIGHT, LEFT = -1, 1
"""Sides of the patient as the sign of x: the right lung lies to the viewer's left."""

_LATERAL = [(4.7, 0.0), (6.6, 0.7), (8.6, 2.5), (10.5, 5.6), (12.0, 9.8), (13.1, 14.5), (13.7, 19.5), (13.8, 23.3)]
_TIP = (13.5, 26.0)
_DOME = [(12.3, 24.2), (10.0, 22.5), (7.0, 21.8), (4.6, 22.1), (2.6, 22.8), (1.4, 23.4)]
_MEDIAL = [(1.5, 20.0), (1.6, 12.0), (1.7, 6.0), (2.1, 2.8), (3.1, 0.7)]


@dataclass(frozen=True)
class SoftTissue:
    """The chest without bones, vessels and disease.

    Parameters
    ----------
    lungs
        uint8 (H, W): 0 background, 1 right lung, 2 left lung, without heart and mediastinum.
    heart
        bool (H, W), disjoint from the lungs.
    tissue_cm
        float32 (H, W), thickness of water-like tissue along the beam, lung air taken out.
    air_cm
        float32 (H, W), thickness of aerated lung along the beam.
    """

    lungs: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    heart: Mask
    tissue_cm: Field
    air_cm: Field


def chest_wall(anatomy: "Anatomy", y: float) -> float:
    """Distance in cm from the midline to the inner chest wall at height y (standard body)."""
    points = np.array([*_LATERAL, _TIP])
    return float(np.interp(y, points[:, 1], points[:, 0])) + 0.12 * anatomy.contour[0]


def dome_height(anatomy: "Anatomy", side: int) -> float:
    """Shift in cm of a diaphragm against the standard right one; the left one is lower."""
    lower = 1.1 + 0.35 * anatomy.contour[1] if side == LEFT else 0.0
    return anatomy.inspiration_cm + lower


def lung_outline(anatomy: "Anatomy", side: int) -> Points:
    """Outline one pleural space, behind heart and mediastinum too: closed, (N, 2) in cm."""
    bend = np.array(anatomy.contour[2:8] if side == RIGHT else anatomy.contour[8:14])
    shift = dome_height(anatomy, side)
    lateral = np.array(_LATERAL) + np.column_stack(
        [0.18 * np.sin(np.linspace(0, np.pi, 8)) * bend[0] + 0.12 * anatomy.contour[0], 0.25 * bend[1] * np.ones(8)]
    )
    lateral[-1, 1] += 0.5 * shift
    dome = np.array(_DOME)
    dome[:, 1] += shift + np.array([0.2, 0.45, 0.5, 0.3, 0.1, 0.0]) * bend[2] * 0.6
    tip = np.array(_TIP) + np.array([0.15 * bend[3], 0.6 * shift + 0.4 * bend[4]])
    medial = np.array(_MEDIAL)
    top = curve(np.vstack([medial[-1], lateral[0] + np.array([0.3 * bend[5], 0.0]), lateral[1:]]))
    bottom = curve(np.vstack([tip, dome]))
    outline = np.vstack([top, curve(np.vstack([lateral[-1], tip]), 4), bottom, curve(medial)])
    return mirrored(outline, side)


def heart_outline(anatomy: "Anatomy") -> Points:
    """Outline the heart's shadow: closed, (N, 2) in cm."""
    c = anatomy.contour
    right = [(-2.2, 11.2), (-3.3, 13.2), (-4.15, 16.2), (-4.2, 19.0), (-3.5, 21.8), (-2.2, 23.6)]
    bottom = [(2.0, 24.4), (6.0, 24.6)]
    left = [(8.4, 23.6), (8.95, 21.6), (8.2, 18.8), (6.6, 15.4), (4.9, 12.4), (3.2, 10.4), (0.5, 9.8)]
    points = np.array([*right, *bottom, *left])
    pivot = np.array([0.4, 11.0])
    points = (points - pivot) * np.array([anatomy.heart, 1.0 + 0.5 * (anatomy.heart - 1)]) + pivot
    points[:, 0] += 0.3 * c[14]
    points[8:13, 0] += 0.35 * c[15]
    points[6:10, 1] += 0.8 * dome_height(anatomy, LEFT) - 0.6
    points[3:6, 1] += 0.8 * anatomy.inspiration_cm
    return curve(np.vstack([points, points[:1]]))


def mediastinum_outline(anatomy: "Anatomy") -> Points:
    """Outline spine, great vessels and aortic knob, which hide the lungs: closed, (N, 2) in cm."""
    c = anatomy.contour
    knob = -0.2 + 0.25 * c[16] + 0.008 * (anatomy.age - 45)
    right = [
        (-3.4, -9.0),
        (-3.0, -2.0),
        (-2.4, 1.5),
        (-2.5, 4.0),
        (-2.9 - 0.2 * c[17], 7.0),
        (-3.0, 10.5),
        (-2.7, 14.0),
    ]
    base = [(-2.3, 20.0), (-2.3, 30.0), (2.3, 30.0), (2.3, 20.0)]
    left = [(2.6, 14.0), (3.5, 11.0), (3.0, 9.0), (3.7 + knob, 7.4), (3.3 + knob, 5.8), (2.3, 4.0), (2.2, 1.5)]
    top = [(3.0, -2.0), (3.4, -9.0)]
    return np.vstack([curve(right), curve(base), curve(left), curve(top)])


def body_outline(anatomy: "Anatomy") -> Points:
    """Outline neck, shoulders and trunk, without the arms: closed, (N, 2) in cm."""
    g = 0.6 * anatomy.girth_cm
    slope = 0.5 * anatomy.contour[18]
    half = np.array(
        [
            (5.0, -20.0),
            (5.0, -9.0),
            (5.7, -5.9),
            (8.6, -4.0 + slope),
            (13.0, -2.4 + slope),
            (17.3, -1.1),
            (19.6, 1.6),
            (19.2, 5.5),
            (17.2 + 0.5 * g, 9.6),
            (16.1 + g, 14.0),
            (15.8 + g, 19.5),
            (15.5 + 1.2 * g, 25.0),
            (15.3 + 1.4 * g, 33.0),
            (16.0 + 1.4 * g, 60.0),
        ]
    )
    path = curve(half, 6)
    return np.vstack([path, mirrored(path, -1)[::-1]])


def soft_tissue(spec: "PhantomSpec", plane: Plane) -> SoftTissue:
    """Compose the soft parts of a phantom.

    Parameters
    ----------
    spec
        The phantom's parameters.
    plane
        Its image plane.

    Returns
    -------
    SoftTissue
        Masks and thicknesses.
    """
    anatomy = spec.anatomy
    _, y = plane.xy
    heart = plane.fill([heart_outline(anatomy)])
    mediastinum = plane.fill([mediastinum_outline(anatomy)])
    pleura = {side: plane.fill([lung_outline(anatomy, side)]) for side in (RIGHT, LEFT)}
    trunk = _trunk(anatomy, plane)

    depth_cap = trunk - np.float32(4.8)
    potential = np.zeros(plane.shape, np.float32)
    lungs = np.zeros(plane.shape, np.uint8)
    for side, number in ((RIGHT, 1), (LEFT, 2)):
        recess = plane.fill([_recess_outline(anatomy, side)])
        # The chest narrows slowly towards its wall; the diaphragm, crossed at its dome, has a sharp edge.
        rounded = plane.dome(pleura[side] | recess, 5.0, 0.42) * plane.dome(pleura[side], 1.3, 0.42)
        potential = np.maximum(potential, rounded * np.clip(depth_cap, 0, 14.5))
        lungs[pleura[side] & ~heart & ~mediastinum] = number
        # The posterior recess reaches below the dome: a shade, not lung, on the radiograph.
        recess &= ~pleura[side]
        top = 22.0 + dome_height(anatomy, side)
        potential = np.where(recess, np.float32(1.9) * smoothstep(top + 4.5, top, y), potential)

    in_front = (4.5 * plane.dome(heart, 4.5) + 5.0 * plane.dome(heart, 1.2)) * smoothstep(
        9.0, 13.5, y
    ) + 14.0 * plane.dome(mediastinum, 0.8)
    air = np.clip(potential - in_front, 0.0, None).astype(np.float32)
    air = np.maximum(air, 0.28 * potential * heart)
    tissue = np.cbrt(trunk**3 + _arms(anatomy, plane) ** 3) - air + _breasts(anatomy, plane)
    tissue -= _gas(anatomy, plane) + _airways(plane)
    return SoftTissue(
        lungs=lungs,
        heart=heart & (lungs == 0),
        tissue_cm=np.clip(tissue, 0, None).astype(np.float32),
        air_cm=air,
    )


def arm_axis(anatomy: "Anatomy", side: int) -> Points:
    """Shoulder joint and a point beyond the elbow: (2, 2) in cm."""
    angle = np.deg2rad(anatomy.arm_angle_deg)
    return mirrored([(18.4, 3.2), (18.4 + 34 * np.sin(angle), 3.2 + 34 * np.cos(angle))], side)


def along_segment(plane: Plane, start: Points, end: Points) -> Field:
    """Distance in cm of every pixel to a segment: float32 (H, W)."""
    x, y = plane.xy
    step = end - start
    t = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / np.float32(step @ step)
    t = np.clip(t, 0, 1)
    return np.asarray(np.hypot(x - start[0] - t * step[0], y - start[1] - t * step[1]), dtype=np.float32)


def _trunk(anatomy: "Anatomy", plane: Plane) -> Field:
    """Thickness of neck, shoulders and trunk: thin at the neck, deep at the chest."""
    _, y = plane.xy
    mask = plane.fill([body_outline(anatomy)])
    deep = np.interp(y, [-12, -5, -1, 4, 10, 16, 24, 34], [12.5, 13, 14.5, 17.5, 20, 21, 21.5, 21]).astype(np.float32)
    rounded = (0.78 * plane.dome(mask, 3.2) + 0.22 * plane.dome(mask, 12.0)) * (
        deep + np.float32(0.5 * anatomy.girth_cm)
    )
    return np.asarray(plane.blur(rounded, 0.15) * mask, dtype=np.float32)


def _arms(anatomy: "Anatomy", plane: Plane) -> Field:
    """Thickness of the upper arms."""
    thick = np.zeros(plane.shape, np.float32)
    radius = np.float32(4.2 + 0.25 * anatomy.girth_cm)
    for side in (RIGHT, LEFT):
        start, end = arm_axis(anatomy, side)
        distance = along_segment(plane, start, end)
        thick = np.maximum(thick, 2.5 * np.sqrt(np.clip(radius * radius - distance * distance, 0, None)))
    return np.asarray(thick, dtype=np.float32)


def _breasts(anatomy: "Anatomy", plane: Plane) -> Field:
    """Thickness of the breast shadows."""
    thick = np.zeros(plane.shape, np.float32)
    if anatomy.breast_cm <= 0:
        return thick
    size = 5.0 + 0.5 * anatomy.breast_cm
    for side in (RIGHT, LEFT):
        drop = mirrored(
            curve(
                [
                    (9.0, 9.5),
                    (4.5, 13.0),
                    (3.2, 17.0),
                    (5.5, 20.4),
                    (9.5, 21.4),
                    (13.5, 20.0),
                    (15.6, 16.5),
                    (13.0, 11.5),
                ]
            ),
            side,
        )
        centre = np.array([side * 9.3, 16.5])
        mask = plane.fill([centre + (drop - centre) * (size / 6.0)])
        _, y = plane.xy
        thick += plane.dome(mask, 5.0, 0.55) * smoothstep(10.0, 18.0, y) * np.float32(anatomy.breast_cm)
    return thick


def _gas(anatomy: "Anatomy", plane: Plane) -> Field:
    """Thickness of gas in stomach and colon, under the left diaphragm."""
    c = anatomy.contour
    base = 23.4 + dome_height(anatomy, LEFT)
    gas = np.zeros(plane.shape, np.float32)
    if anatomy.stomach_cm > 0:
        size = anatomy.stomach_cm
        bubble = ellipse((6.6 + 0.7 * c[19], base + 1.5), (size * 1.25, size * 0.75), 8 * c[20])
        _, y = plane.xy
        # Upright: the gas ends in a straight level.
        level = base + 1.5 + 0.35 * size
        gas += 3.2 * plane.dome(plane.fill([bubble]), 0.9) * smoothstep(level + 0.15, level - 0.15, y)
    for i, (left, drop) in enumerate([(9.8, 4.0), (11.0, 6.2), (8.2, 7.4)]):
        if c[21] > i - 1.0:
            loop = ellipse((left + 0.5 * c[22], base + drop), (1.3 + 0.2 * i, 0.9), 40 * c[23] + 30 * i)
            gas = np.maximum(gas, 2.2 * plane.dome(plane.fill([loop]), 0.8))
    return np.asarray(plane.blur(gas, 0.08), dtype=np.float32)


def _airways(plane: Plane) -> Field:
    """Thickness of the air column in trachea and main bronchi."""
    segments = [
        ((0.0, -14.0), (0.15, 7.2), 0.85),
        ((0.15, 7.2), (-2.9, 10.0), 0.65),
        ((0.15, 7.2), (3.4, 10.4), 0.55),
    ]
    air = np.zeros(plane.shape, np.float32)
    for start, end, radius in segments:
        distance = along_segment(plane, np.array(start), np.array(end))
        air = np.maximum(air, 2.1 * np.sqrt(np.clip(radius * radius - distance * distance, 0, None)))
    return np.asarray(air, dtype=np.float32)


def _recess_outline(anatomy: "Anatomy", side: int) -> Points:
    """Outline the lung behind the diaphragm, from the dome to the posterior sulcus."""
    shift = dome_height(anatomy, side)
    low = [(13.5, 25.5), (12.0, 26.8), (9.0, 27.0), (5.5, 26.5), (2.6, 25.5)]
    high = [(2.6, 21.0), (7.0, 20.5), (13.0, 21.5)]
    return mirrored(curve([(u, v + shift) for u, v in [*low, *high]]), side)
