"""Lesions: drawn as numbers, rendered as soft tissue that replaces air inside the lungs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxrscreen.data.phantoms.anatomy import LEFT, RIGHT, SoftTissue, chest_wall, dome_height
from cxrscreen.data.phantoms.plane import Field, Mask, Plane, smoothstep

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import Anatomy, PhantomSpec

Side = Literal["right", "left"]
Lobe = Literal["right upper", "right middle", "right lower", "left upper", "left lower"]

_SIDES: tuple[Side, ...] = ("right", "left")
_SIGN = {"right": RIGHT, "left": LEFT}
_LEAST = 0.06


@dataclass(frozen=True)
class GroundGlass:
    """A hazy, mottled patch.

    Parameters
    ----------
    side
        Lung.
    height
        0 = apex, 1 = dome of the diaphragm.
    depth
        0 = mediastinum, 1 = chest wall.
    radius_cm
        Horizontal and vertical radius.
    opacity
        Share of the air replaced at its centre, in (0, 1].
    """

    side: Side
    height: float
    depth: float
    radius_cm: tuple[float, float]
    opacity: float


@dataclass(frozen=True)
class Consolidation:
    """A dense lobe or part of it, with air bronchograms.

    Parameters
    ----------
    lobe
        Which lobe.
    extent
        Share of the lobe that is filled, in (0, 1].
    opacity
        Share of the air replaced, in (0, 1].
    bronchogram
        Share of the opacity missing along the bronchi, in [0, 1].
    """

    lobe: Lobe
    extent: float
    opacity: float
    bronchogram: float


@dataclass(frozen=True)
class Nodule:
    """A nodule, or a cavity with its wall.

    Parameters
    ----------
    side, height, depth
        As in `GroundGlass`.
    radius_cm
        Radius.
    opacity
        Share of the air replaced, in (0, 1].
    cavity
        Radius of the hollow as a share of the radius, 0 for a solid nodule.
    """

    side: Side
    height: float
    depth: float
    radius_cm: float
    opacity: float
    cavity: float


Lesion = GroundGlass | Consolidation | Nodule


def draw_lesions(rng: np.random.Generator, finding: str) -> tuple[Lesion, ...]:
    """Draw the lesions of a finding: none for ``"normal"``."""
    if finding == "covid19":
        return _draw_ground_glass(rng)
    if finding == "bacterial":
        return _draw_consolidation(rng)
    if finding == "tuberculosis":
        return _draw_apical(rng)
    return ()


def lesion_opacity(spec: "PhantomSpec", plane: Plane, soft: SoftTissue) -> tuple[Field, Mask]:
    """Render all lesions of a phantom.

    Parameters
    ----------
    spec
        The phantom's parameters.
    plane
        Its image plane.
    soft
        Lungs to stay inside of.

    Returns
    -------
    opacity : float32 (H, W)
        Share of the lung air replaced by tissue, in [0, 1].
    lesions : bool (H, W)
        Exactly the pixels of the lungs whose opacity is above 0.
    """
    opacity = np.zeros(plane.shape, np.float32)
    for index, lesion in enumerate(spec.lesions):
        rng = np.random.default_rng([spec.seed, 3, index])
        if isinstance(lesion, GroundGlass):
            value = _ground_glass(lesion, spec.anatomy, plane, rng)
        elif isinstance(lesion, Consolidation):
            value = _consolidation(lesion, plane, rng)
        else:
            value = _nodule(lesion, spec.anatomy, plane, rng)
        side = lesion.lobe.split()[0] if isinstance(lesion, Consolidation) else lesion.side
        # Behind the heart's edge too, so that a consolidation blurs its border as it does in patients.
        value = value * (plane.xy[0] * _SIGN[side] > 0)
        opacity = np.asarray(1 - (1 - opacity) * (1 - np.clip(value, 0, 1)), dtype=np.float32)
    opacity = np.where(opacity > _LEAST, opacity, np.float32(0))
    return opacity, (opacity > 0) & (soft.lungs > 0)


def lung_point(anatomy: "Anatomy", side: Side, height: float, depth: float) -> tuple[float, float]:
    """Body point in cm of a relative position in a lung (0 = apex and mediastinum, 1 = dome and chest wall)."""
    y = 0.6 + height * (21.4 + dome_height(anatomy, _SIGN[side]))
    inner = 2.8 if side == "right" else float(np.interp(y, [0, 9, 22], [2.6, 3.6, 8.6]))
    return _SIGN[side] * (inner + depth * (chest_wall(anatomy, y) - inner)), y


def _draw_ground_glass(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Bilateral, peripheral, mostly lower."""
    lesions: list[Lesion] = []
    severity = rng.uniform(0.75, 1.25)
    for side in _SIDES:
        lesions += [
            GroundGlass(
                side=side,
                height=float(np.clip(rng.normal(0.72, 0.17), 0.25, 0.98)),
                depth=float(np.clip(rng.normal(0.84, 0.12), 0.5, 1.0)),
                radius_cm=(float(severity * rng.uniform(1.6, 3.2)), float(severity * rng.uniform(1.8, 4.2))),
                opacity=float(np.clip(severity * rng.uniform(0.2, 0.4), 0.15, 0.5)),
            )
            for _ in range(int(rng.integers(2, 6)))
        ]
    return tuple(lesions)


def _draw_consolidation(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """One lobe, the lower ones more often."""
    lobes: tuple[Lobe, ...] = ("right upper", "right middle", "right lower", "left upper", "left lower")
    lobe = lobes[int(rng.choice(5, p=[0.22, 0.2, 0.24, 0.14, 0.2]))]
    return (
        Consolidation(
            lobe=lobe,
            extent=float(rng.uniform(0.6, 0.95)),
            opacity=float(rng.uniform(0.55, 0.85)),
            bronchogram=float(rng.uniform(0.15, 0.4)),
        ),
    )


def _draw_apical(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Upper zones: an infiltrate with nodules, often a cavity; one side or both."""
    both = rng.uniform() < 0.45
    sides = _SIDES if both else (_SIDES[int(rng.integers(2))],)
    lesions: list[Lesion] = []
    for side in sides:
        lesions.append(
            GroundGlass(
                side=side,
                height=float(rng.uniform(0.14, 0.26)),
                depth=float(rng.uniform(0.35, 0.65)),
                radius_cm=(float(rng.uniform(1.6, 2.8)), float(rng.uniform(1.4, 2.6))),
                opacity=float(rng.uniform(0.3, 0.5)),
            )
        )
        for _ in range(int(rng.integers(4, 11))):
            lesions.append(
                Nodule(
                    side=side,
                    height=float(rng.uniform(0.08, 0.36)),
                    depth=float(rng.uniform(0.2, 0.85)),
                    radius_cm=float(rng.uniform(0.3, 0.8)),
                    opacity=float(rng.uniform(0.25, 0.5)),
                    cavity=0.0,
                )
            )
        if rng.uniform() < 0.6:
            lesions.append(
                Nodule(
                    side=side,
                    height=float(rng.uniform(0.15, 0.28)),
                    depth=float(rng.uniform(0.4, 0.65)),
                    radius_cm=float(rng.uniform(1.2, 2.1)),
                    opacity=float(rng.uniform(0.45, 0.65)),
                    cavity=float(rng.uniform(0.6, 0.75)),
                )
            )
    return tuple(lesions)


def _ground_glass(lesion: GroundGlass, anatomy: "Anatomy", plane: Plane, rng: np.random.Generator) -> Field:
    """Draw a soft ellipse with a ragged edge and mottled density."""
    x, y = plane.xy
    cx, cy = lung_point(anatomy, lesion.side, lesion.height, lesion.depth)
    radius = np.hypot((x - cx) / np.float32(lesion.radius_cm[0]), (y - cy) / np.float32(lesion.radius_cm[1]))
    ragged = radius + 0.26 * plane.mottle(rng, 1.8) + 0.08 * plane.mottle(rng, 0.7)
    mottled = 1 + 0.14 * plane.mottle(rng, 0.8) + 0.08 * plane.mottle(rng, 0.35)
    shape = smoothstep(1.6, -0.1, np.asarray(ragged, dtype=np.float32)) * np.exp(-0.3 * radius)
    return np.asarray(lesion.opacity * 1.25 * shape * np.clip(mottled, 0.2, None), dtype=np.float32)


def _nodule(lesion: Nodule, anatomy: "Anatomy", plane: Plane, rng: np.random.Generator) -> Field:
    """Draw a soft ball, or a ring with an uneven wall."""
    x, y = plane.xy
    cx, cy = lung_point(anatomy, lesion.side, lesion.height, lesion.depth)
    radius = np.hypot(x - cx, (y - cy) * np.float32(1.1)) / np.float32(lesion.radius_cm)
    radius = np.asarray(radius + 0.16 * plane.mottle(rng, 1.1), dtype=np.float32)
    body = smoothstep(1.3, 0.25, radius)
    if lesion.cavity > 0:
        body = smoothstep(1.35, 0.85, radius) * (
            1 - 0.8 * smoothstep(lesion.cavity + 0.18, lesion.cavity - 0.18, radius)
        )
    return np.asarray(lesion.opacity * body, dtype=np.float32)


def _consolidation(lesion: Consolidation, plane: Plane, rng: np.random.Generator) -> Field:
    """Draw a lobe with its sharp fissure, a ragged rest, and dark bronchi fanning out from the hilum."""
    x, y = plane.xy
    side = _SIGN[lesion.lobe.split()[0]]
    u = np.asarray(x * side, dtype=np.float32)
    ragged = 0.8 * plane.mottle(rng, 2.4) + 0.2 * plane.mottle(rng, 0.8)
    shape = _lobe(lesion, u, y, np.asarray(ragged, dtype=np.float32))
    uneven = 1 + 0.07 * plane.mottle(rng, 1.8) + 0.06 * plane.mottle(rng, 0.5)
    hilum = (3.4, 10.0)
    angle = np.arctan2(y - hilum[1], u - hilum[0])
    reach = np.hypot(y - hilum[1], u - hilum[0])
    # Bronchi: narrow rays that wander and narrow away from the hilum.
    wander = angle + 0.10 * plane.mottle(rng, 3.0)
    ray = np.abs(np.mod(wander / 0.36, 1.0) - 0.5) * 0.36 * np.maximum(reach, 0.5)
    width = np.clip(0.26 - 0.022 * reach, 0.05, None)
    bronchi = np.exp(-((ray / width) ** 2)) * smoothstep(1.0, 2.2, np.asarray(reach, dtype=np.float32))
    # Not every bronchus is patent all the way.
    bronchi *= smoothstep(-0.9, 0.9, plane.mottle(rng, 2.0))
    bronchi *= smoothstep(9.0, 5.0, np.asarray(reach, dtype=np.float32))
    return np.asarray(lesion.opacity * shape * uneven * (1 - lesion.bronchogram * bronchi), dtype=np.float32)


def _lobe(lesion: Consolidation, u: Field, y: Field, ragged: Field) -> Field:
    """Membership of a lobe in [0, 1]: sharp at a fissure seen edge-on, soft elsewhere."""
    reach = lesion.extent
    fissure = 11.0 + 0.06 * (u - 8)
    if lesion.lobe == "right upper":
        soft = smoothstep(9.4 - 10 * reach, 12.0 - 10 * reach, np.asarray(y + ragged, dtype=np.float32))
        return soft * smoothstep(0.2, -0.2, np.asarray(y - fissure - 0.15 * ragged, dtype=np.float32))
    if lesion.lobe == "right middle":
        outer = smoothstep(5.0 + 6.5 * reach, 2.0 + 6.5 * reach, np.asarray(u + ragged, dtype=np.float32))
        lower = smoothstep(21.0, 18.0, np.asarray(y + ragged, dtype=np.float32))
        return outer * lower * smoothstep(-0.2, 0.2, np.asarray(y - fissure - 0.15 * ragged, dtype=np.float32))
    if lesion.lobe == "left upper":
        lower = smoothstep(7.0 + 9 * reach, 4.5 + 9 * reach, np.asarray(y + ragged - 0.15 * u, dtype=np.float32))
        return lower * smoothstep(1.0 - reach, 3.4 - reach, np.asarray(y + 0.5 * ragged, dtype=np.float32))
    start = 20.5 - 8.5 * reach
    return smoothstep(start - 2.4, start + 2.4, np.asarray(y + ragged - 0.12 * (u - 8), dtype=np.float32))
