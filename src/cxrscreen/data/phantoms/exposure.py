"""From attenuation to grey values: scatter, quantum noise, blur, film curve."""

from typing import TYPE_CHECKING

import numpy as np

from cxrscreen.data.phantoms.plane import Field, Mask, Plane

if TYPE_CHECKING:
    from cxrscreen.data.phantoms.spec import PhantomSpec

REFERENCE_PIXELS_PER_CM = 1024 / 40


def expose(spec: "PhantomSpec", plane: Plane, attenuation: Field, lung: Mask, dense: Mask) -> Field:
    """Turn line integrals of attenuation into the grey values of a digital radiograph.

    The beam is ``exp(-attenuation)``; scatter adds a blurred share of itself, quanta add noise that grows where few
    arrive, the detector blurs, and a film curve through two anchors makes the grey values.

    Parameters
    ----------
    spec
        Its ``exposure`` part holds the settings.
    plane
        The image plane.
    attenuation
        float32 (H, W), dimensionless, 0 = air.
    lung, dense
        bool (H, W): where the median grey shall be ``lung_grey`` and ``dense_grey``.

    Returns
    -------
    float32 (H, W) in [0, 1], bright = dense.
    """
    setting = spec.exposure
    attenuation = plane.blur(attenuation, setting.blur_cm)
    primary = np.exp(-attenuation)
    scatter = plane.blur(np.minimum(primary, np.float32(0.3)), 3.0)
    beam = (1 - setting.scatter) * primary + np.float32(0.5 * setting.scatter) * np.maximum(scatter, 0)
    log_beam = -np.log(np.maximum(beam, np.float32(1e-5)))
    lung_level = _median(log_beam, lung, 2.0)
    rng = np.random.default_rng([spec.seed, 6])
    # Averaging over larger pixels lowers the noise.
    fine = min(1.6, spec.pixels_per_cm / REFERENCE_PIXELS_PER_CM)
    noise = rng.standard_normal(plane.shape, dtype=np.float32) * np.exp(0.5 * np.clip(log_beam - lung_level, -4, 4))
    log_beam = log_beam + np.float32(setting.noise * fine) * plane.blur(noise, 0.6 / spec.pixels_per_cm)
    if setting.equalisation > 0:
        flat = plane.blur(np.clip(log_beam, lung_level - 1.2, None), 3.5)
        log_beam = log_beam - np.float32(setting.equalisation) * (flat - np.float32(lung_level))
    low, high = _median(log_beam, lung, 2.0), _median(log_beam, dense, 4.0)
    slope = (_logit(setting.dense_grey) - _logit(setting.lung_grey)) / max(high - low, 0.2)
    film = 1 / (1 + np.exp(-(_logit(setting.lung_grey) + slope * (log_beam - low))))
    linear = setting.lung_grey + (setting.dense_grey - setting.lung_grey) / max(high - low, 0.2) * (log_beam - low)
    # Film has a long toe and shoulder, a digital window is straight; systems lie between.
    grey = 0.6 * film + 0.4 * np.clip(linear, 0.0, 1.0)
    return np.asarray(np.clip(grey, 0, 1), dtype=np.float32)


def _median(values: Field, mask: Mask, otherwise: float) -> float:
    """Median under a mask, or a fixed value where the mask is empty."""
    return float(np.median(values[mask])) if mask.any() else otherwise


def _logit(p: float) -> float:
    """Inverse of the logistic function."""
    return float(np.log(p / (1 - p)))
