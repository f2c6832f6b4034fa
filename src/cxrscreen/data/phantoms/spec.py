"""The random step: every parameter of a phantom, drawn from one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cxrscreen.data.phantoms.lesions import Lesion, draw_lesions
from cxrscreen.errors import CxrscreenError

PhantomFinding = Literal["normal", "covid19", "bacterial", "tuberculosis"]
"""What the phantom shows: nothing, bilateral peripheral ground glass, lobar consolidation, or apical lesions."""

PhantomView = Literal["PA", "AP"]
Marker = Literal["R", "L", "AP", "PORTABLE", "ERECT", "SUPINE", "arrow"]
"""Side letters, tiles with a word, and a reader's arrow (on the largest lesion, or on a hilum where there is none)."""

Frame = Literal["none", "white", "black"]
"""``"white"``: a frame around the image; ``"black"``: collimation bars, slightly skewed."""

MIN_SIZE = 128
CONTOUR_KNOBS = 24


class PhantomError(CxrscreenError):
    """A phantom that cannot be drawn or written as asked."""


@dataclass(frozen=True)
class Anatomy:
    """Size and shape of the body.

    Parameters
    ----------
    sex
        ``"F"`` adds breast shadows.
    age
        Years; written to the manifest and to DICOM, it does not change the picture.
    width, height
        Scale of the thorax against a standard adult, about 1.
    girth_cm
        Soft tissue added at the flanks.
    inspiration_cm
        Shift of both diaphragms, negative = higher (poor inspiration).
    heart
        Scale of the heart against a cardiothoracic ratio of about 0.46.
    arm_angle_deg
        Angle of the upper arms from the trunk.
    scapula_cm
        Shift of the scapulae, negative = over the lungs (AP, supine).
    breast_cm
        Thickness of the breast shadows, 0 for none.
    stomach_cm
        Half-width of the stomach bubble, 0 for none.
    vessels
        Strength of the lung vessels, about 1.
    contour
        ``CONTOUR_KNOBS`` standard-normal offsets that make every outline its own.
    """

    sex: Literal["F", "M"]
    age: int
    width: float
    height: float
    girth_cm: float
    inspiration_cm: float
    heart: float
    arm_angle_deg: float
    scapula_cm: float
    breast_cm: float
    stomach_cm: float
    vessels: float
    contour: tuple[float, ...]


@dataclass(frozen=True)
class Exposure:
    """How the attenuation becomes grey values.

    Parameters
    ----------
    lung_grey, dense_grey
        Grey value in [0, 1] of the median lung and of the mediastinum before the noise.
    equalisation
        Share of the low frequencies taken away, as digital systems do, in [0, 0.5].
    scatter
        Scattered share of the radiation, in [0, 0.6].
    noise
        Standard deviation of the log-exposure noise at the median lung of a 1024-pixel image.
    blur_cm
        Standard deviation of focus and detector blur.
    bone
        Strength of bone against the standard, about 1 (lower at high kV).
    """

    lung_grey: float
    dense_grey: float
    equalisation: float
    scatter: float
    noise: float
    blur_cm: float
    bone: float


@dataclass(frozen=True)
class Overlays:
    """What is burned in over the picture.

    Parameters
    ----------
    text
        Lines of small text in a corner.
    markers
        Side letters, word tiles and the arrow.
    frame
        White frame or black collimation bars.
    """

    text: tuple[str, ...]
    markers: tuple[Marker, ...]
    frame: Frame


@dataclass(frozen=True)
class PhantomSpec:
    """Everything that determines a phantom: the same spec renders to the same pixels.

    Parameters
    ----------
    seed
        Seed of the draw; the textures (vessels, mottle, noise) are grown from it as well.
    finding
        What the lungs show.
    shape
        Rows and columns, each at least 128.
    view
        ``"PA"`` or ``"AP"``.
    field_cm
        Length that the shorter image side covers.
    centre_cm
        Point (x, y) of the body at the image centre; x to the viewer's right, y down from the lung apex.
    rotation_deg
        Rotation of the patient in the image plane, positive = clockwise.
    anatomy, exposure, lesions, overlays
        The body, the grey values, the disease, the burned-in parts.
    inverted
        True where the finished picture is stored bright = air, as a wrongly converted file is.
    """

    seed: int
    finding: PhantomFinding
    shape: tuple[int, int]
    view: PhantomView
    field_cm: float
    centre_cm: tuple[float, float]
    rotation_deg: float
    anatomy: Anatomy
    exposure: Exposure
    lesions: tuple[Lesion, ...]
    overlays: Overlays
    inverted: bool

    @property
    def pixels_per_cm(self) -> float:
        """Pixels per centimetre in both directions."""
        return min(self.shape) / self.field_cm


def draw_spec(
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
) -> PhantomSpec:
    """Draw the parameters of a phantom from a seed.

    The body, its position and the exposure depend on the seed and the view alone, so that phantoms of one seed and
    different findings are the same person, healthy and ill.

    Parameters
    ----------
    seed
        Any integer >= 0.
    finding
        What the lungs show.
    shape
        Rows and columns, each at least 128.
    view
        ``"PA"`` or ``"AP"``; AP brings a larger heart, higher diaphragms and scapulae over the lungs.
    text
        Lines of burned-in text; None for none.
    markers
        Markers to burn in; None for one side letter (and, in AP, sometimes a word tile).
    frame
        White frame or black collimation bars.
    inverted
        Store bright = air.
    rotation_deg
        In-plane rotation in [-45, 45]; None for a small one drawn from the seed.

    Returns
    -------
    PhantomSpec
        The spec to render.

    Raises
    ------
    PhantomError
        If an argument is outside its range or not one of its values.
    """
    _check_choices({"finding": [finding], "view": [view], "frame": [frame], "marker": list(markers or ())})
    if seed < 0:
        raise PhantomError(f"A phantom's seed must be 0 or more, not {seed}.")
    if min(shape) < MIN_SIZE:
        raise PhantomError(f"A phantom needs at least {MIN_SIZE} rows and columns, not {shape[0]} x {shape[1]}.")
    if rotation_deg is not None and not abs(rotation_deg) <= 45:
        raise PhantomError(f"A phantom can be rotated by at most 45 degrees, not {rotation_deg:g}.")
    rng = np.random.default_rng([seed, 1])
    anatomy = _draw_anatomy(rng, view)
    exposure = _draw_exposure(rng, view)
    field_cm = float(rng.uniform(36.5, 42.0))
    centre_cm = (float(rng.normal(0, 0.5)), float(rng.uniform(12.3, 14.8)))
    rotation = float(np.clip(rng.normal(0, 1.2), -4, 4))
    if markers is None:
        side: Marker = "R" if rng.uniform() < 0.5 else "L"
        portable: tuple[Marker, ...] = ("PORTABLE",) if rng.uniform() < 0.5 else ("AP",)
        markers = (side,) + (portable if view == "AP" else ())
    return PhantomSpec(
        seed=int(seed),
        finding=finding,
        shape=(int(shape[0]), int(shape[1])),
        view=view,
        field_cm=field_cm,
        centre_cm=centre_cm,
        rotation_deg=rotation if rotation_deg is None else float(rotation_deg),
        anatomy=anatomy,
        exposure=exposure,
        lesions=draw_lesions(np.random.default_rng([seed, 2]), finding),
        overlays=Overlays(text=tuple(text or ()), markers=tuple(markers), frame=frame),
        inverted=inverted,
    )


def _check_choices(given: Mapping[str, Sequence[str]]) -> None:
    """Refuse a value that is not one of its literal type's."""
    allowed = {"finding": PhantomFinding, "view": PhantomView, "frame": Frame, "marker": Marker}
    for name, values in given.items():
        choices = get_args(allowed[name])
        for value in values:
            if value not in choices:
                raise PhantomError(f"Unknown phantom {name} {value!r}: use one of {', '.join(choices)}.")


def _draw_anatomy(rng: np.random.Generator, view: PhantomView) -> Anatomy:
    """One person."""
    ap = view == "AP"
    sex: Literal["F", "M"] = "F" if rng.uniform() < 0.45 else "M"
    scale = 0.94 if sex == "F" else 1.02
    return Anatomy(
        sex=sex,
        age=int(rng.integers(19, 85)),
        width=float(scale * rng.uniform(0.93, 1.07)),
        height=float(scale * rng.uniform(0.92, 1.07)),
        girth_cm=float(rng.gamma(2.0, 0.6)),
        inspiration_cm=float(rng.uniform(-1.2, 0.8) - (1.8 if ap else 0.0)),
        heart=float(rng.uniform(0.88, 1.1) * (1.12 if ap else 1.0)),
        arm_angle_deg=float(rng.uniform(8, 30)),
        scapula_cm=float(rng.uniform(-0.6, 0.8) - (2.4 if ap else 0.0)),
        breast_cm=float(rng.uniform(0.8, 3.2)) if sex == "F" else 0.0,
        stomach_cm=float(rng.uniform(1.2, 2.8)) if rng.uniform() < 0.75 else 0.0,
        vessels=float(rng.uniform(0.8, 1.25)),
        contour=tuple(float(v) for v in np.clip(rng.normal(size=CONTOUR_KNOBS), -2, 2)),
    )


def _draw_exposure(rng: np.random.Generator, view: PhantomView) -> Exposure:
    """One X-ray system: from contrasty film to flat digital."""
    return Exposure(
        lung_grey=float(rng.uniform(0.26, 0.52)),
        dense_grey=float(rng.uniform(0.85, 0.93)),
        equalisation=float(rng.uniform(0.0, 0.4)),
        scatter=float(rng.uniform(0.1, 0.3) + (0.15 if view == "AP" else 0.0)),
        noise=float(rng.uniform(0.015, 0.045)),
        blur_cm=float(rng.uniform(0.025, 0.05)),
        bone=float(rng.uniform(0.75, 1.25)),
    )
