"""Bones: spine, ribs, clavicles, scapulae, humeri."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cxrscreen.data.phantoms.anatomy import LEFT, RIGHT, arm_axis, chest_wall
from cxrscreen.data.phantoms.plane import Field, Mask, Plane, Points, band, curve, ellipse, mirrored

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import Anatomy, PhantomSpec

RIB_PAIRS = 11
FRONT_PAIRS = 7
_SPACING_CM = 2.42


@dataclass(frozen=True)
class Skeleton:
    """Bones of a phantom.

    Parameters
    ----------
    ribs, clavicles
        bool (H, W).
    bone_cm
        float32 (H, W), equivalent thickness of compact bone along the beam.
    """

    ribs: Mask
    clavicles: Mask
    bone_cm: Field


def skeleton(spec: "PhantomSpec", plane: Plane) -> Skeleton:
    """Draw the bones of a phantom.

    Parameters
    ----------
    spec
        The phantom's parameters.
    plane
        Its image plane.

    Returns
    -------
    Skeleton
        Masks and bone thickness.
    """
    anatomy = spec.anatomy
    posterior = _ribs(anatomy, plane, front=False)
    anterior = _ribs(anatomy, plane, front=True)
    clavicles = plane.fill([_clavicle(anatomy, side) for side in (RIGHT, LEFT)])
    bone = 0.72 * _tube(plane, posterior > 0, 0.5) * posterior + 0.5 * _tube(plane, anterior > 0, 0.5) * anterior
    bone += 1.05 * _tube(plane, clavicles, 0.65)
    bone += _spine(plane) + _shoulders(anatomy, plane) + _breastbone(plane)
    # Cancellous bone is not even.
    grain = plane.mottle(np.random.default_rng([spec.seed, 5]), 0.22)
    bone = np.clip(bone * (1 + 0.07 * grain), 0, None)
    ribs = (posterior > 0) | (anterior > 0)
    return Skeleton(ribs=ribs, clavicles=clavicles, bone_cm=np.asarray(bone, dtype=np.float32))


def rib_path(anatomy: "Anatomy", side: int, number: int, *, front: bool) -> Points:
    """Centre line (N, 2) in cm of the back or the front part of a rib, numbered from 0."""
    start = (-0.4 if number else 0.4) + _SPACING_CM * number
    drop = 1.9 + 0.42 * min(number, 8)
    turn_y = start + drop
    wall = chest_wall(anatomy, max(turn_y, 0.9)) + 0.25
    steep = 0.1 * anatomy.contour[20]
    if not front:
        points = [
            (1.6, start + 0.1),
            (3.4, start - 0.45),
            (0.45 * wall + 0.5, start - 0.4 + steep),
            (0.68 * wall, start + 0.16 * drop + steep),
            (0.86 * wall, start + 0.48 * drop),
            (0.965 * wall, start + 0.8 * drop),
            (wall, turn_y),
            (0.985 * wall, turn_y + 1.1),
        ]
    else:
        fall = 2.7 + 0.3 * number
        points = [
            (0.985 * wall, turn_y - 1.0),
            (wall, turn_y),
            (0.975 * wall, turn_y + 0.32 * fall),
            (0.86 * wall, turn_y + 0.7 * fall),
            (0.7 * wall, turn_y + 0.98 * fall),
            (0.52 * wall, turn_y + 1.14 * fall),
            (0.38 * wall, turn_y + 1.18 * fall),
        ]
    return mirrored(curve(points, 8), side)


def _ribs(anatomy: "Anatomy", plane: Plane, *, front: bool) -> Field:
    """All back or all front parts of the ribs: float32 (H, W), 0 outside, else how much bone there is in (0, 1]."""
    canvas = np.zeros(plane.shape, np.float32)
    for side in (RIGHT, LEFT):
        for number in range(FRONT_PAIRS if front else RIB_PAIRS):
            path = rib_path(anatomy, side, number, front=front)
            along = np.linspace(0, 1, len(path))
            if front:
                width = 0.50 + 0.2 * along
                # Towards the breastbone a rib turns into cartilage and fades.
                bone = np.clip(along / 0.16, 0, 1) * (1 - 0.85 * np.clip((along - 0.45) / 0.55, 0, 1))
            else:
                width = 0.46 + 0.2 * np.sin(np.pi * np.clip(along * 1.1, 0, 1))
                bone = np.clip((1 - along) / 0.16, 0, 1)
                bone *= np.clip((0.62 - along) / 0.25, 0, 1) if number == RIB_PAIRS - 1 else 1.0
            plane.paint(canvas, band(path, width * (0.8 if number == 0 else 1.0)), bone)
    return canvas


def _clavicle(anatomy: "Anatomy", side: int) -> Points:
    """Outline of a clavicle."""
    lift = 0.35 * anatomy.contour[19] + (-0.9 if anatomy.scapula_cm < -1 else 0.0)
    tilt = 0.12 * anatomy.contour[21] * side
    points = np.array([(1.7, 3.6), (3.4, 3.0), (6.2, 1.8), (9.2, 1.0), (12.2, 0.5), (15.0, -0.2), (17.0, -0.2)])
    points[:, 1] += np.linspace(0.0, 1.0, 7) * (lift + tilt)
    path = curve(points, 8)
    along = np.linspace(0, 1, len(path))
    # Rounded ends.
    end = np.sqrt(np.clip(1 - np.clip(np.abs(along - 0.5) - 0.46, 0, 1) ** 2 / 0.04**2, 0.02, 1))
    return mirrored(band(path, (0.48 + 0.34 * np.abs(along - 0.55) ** 1.5 * 2) * end), side)


def _tube(plane: Plane, mask: Mask, core: float) -> Field:
    """Bone thickness of a hollow tube seen from the side: bright cortical edges, a thinner core."""
    shell = 1 - core
    depth = plane.depth(mask)
    return np.asarray(mask * (core + shell * np.exp(-np.maximum(depth - 0.05, 0) / 0.11)), dtype=np.float32)


def _spine(plane: Plane) -> Field:
    """Vertebral bodies with discs, pedicles and spinous processes, from the neck to the loins."""
    bodies: list[Points] = []
    rings: list[Points] = []
    spines: list[Points] = []
    wings: list[Points] = []
    top = -16.0
    while top < 42.0:
        height = 1.35 + 0.026 * (top + 16)
        half = 1.15 + 0.026 * (top + 16)
        waist = 0.88 * half
        bodies.append(
            curve(
                [
                    (-half, top),
                    (0, top + 0.08),
                    (half, top),
                    (waist, top + height / 2),
                    (half, top + height),
                    (0, top + height - 0.08),
                    (-half, top + height),
                    (-waist, top + height / 2),
                    (-half, top),
                ],
                4,
            )
        )
        for side in (RIGHT, LEFT):
            rings.append(ellipse((side * 0.62 * half, top + 0.4 * height), (0.26, 0.38)))
            wings.append(band(mirrored([(0.8 * half, top + 0.5), (half + 0.95, top + 0.25)], side), 0.3))
        spines.append(ellipse((0.0, top + 0.8 * height), (0.22, 0.62)))
        top += height + 0.36
    discs = [band(np.array([(0.0, -16.0), (0.0, 45.0)]), 1.25)]
    bone = 0.7 * _tube(plane, plane.fill(bodies), 0.75) + 0.3 * plane.fill(discs)
    bone += 0.45 * _tube(plane, plane.fill(rings), 0.3) + 0.4 * _tube(plane, plane.fill(spines), 0.6)
    bone += 0.35 * _tube(plane, plane.fill(wings), 0.6)
    return np.asarray(plane.blur(np.asarray(bone, dtype=np.float32), 0.09), dtype=np.float32)


def _shoulders(anatomy: "Anatomy", plane: Plane) -> Field:
    """Scapulae, shoulder joints and upper arm bones."""
    s = anatomy.scapula_cm
    plates: list[Points] = []
    bars: list[Points] = []
    humeri: list[Points] = []
    for side in (RIGHT, LEFT):
        plate = [(13.0 + s, 2.2), (13.3 + s, 5.0), (14.2 + s, 9.5), (15.0 + s, 12.3), (15.7 + s, 11.8), (16.0 + s, 8.5)]
        plate += [(16.5 + s, 5.2), (17.4 + 0.6 * s, 3.6), (17.2 + 0.6 * s, 1.7), (15.4 + s, 1.9), (13.0 + s, 2.2)]
        plates.append(mirrored(curve(plate, 6), side))
        spine = curve([(13.2 + s, 3.4), (15.5 + 0.8 * s, 1.3), (17.8 + 0.4 * s, -0.5), (19.6, -0.2)], 6)
        bars.append(mirrored(band(spine, np.linspace(0.3, 0.65, len(spine))), side))
        bars.append(mirrored(band(curve([(16.6 + s, 2.0), (16.0 + s, 0.8), (17.0 + s, 1.0)], 6), 0.4), side))
        start, end = arm_axis(anatomy, side)
        humeri.append(band(np.array([start, end]), 1.15))
        humeri.append(ellipse((float(start[0]), float(start[1]) - 0.3), (2.25, 2.4)))
    bone = 0.6 * _tube(plane, plane.fill(plates), 0.4) + 0.6 * _tube(plane, plane.fill(bars), 0.6)
    return np.asarray(bone + 1.3 * _tube(plane, plane.fill(humeri), 0.55), dtype=np.float32)


def _breastbone(plane: Plane) -> Field:
    """Draw the sternum, faint behind the mediastinum."""
    outline = curve([(-2.6, 3.2), (0, 3.6), (2.6, 3.2), (1.7, 7.0), (1.7, 18), (-1.7, 18), (-1.7, 7.0), (-2.6, 3.2)], 6)
    return np.asarray(0.25 * plane.fill([outline]), dtype=np.float32)
