"""The radiograph: the only form in which an image travels behind the reader."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ViewPosition = Literal["PA", "AP", "lateral", "unknown"]
"""Projection of the radiograph; DICOM ``LL``, ``RL`` and ``L`` all read as ``lateral``."""


@dataclass(frozen=True)
class Provenance:
    """Where a radiograph came from and what the reader did to it.

    Parameters
    ----------
    path
        The file it was read from.
    format
        ``"DICOM"``, ``"PNG"``, ``"JPEG"``, ``"WebP"`` or ``"TIFF"``.
    transfer_syntax
        Name of the DICOM transfer syntax, None for pictures.
    photometric
        As stored, for example ``"MONOCHROME1"`` or ``"RGB"``.
    bits
        Bits per sample as stored.
    original_shape
        Rows and columns as stored, before any orientation tag.
    polarity_corrected
        True where the pixels were found inverted without the file saying so, and put right.
    sop_instance_uid, study_instance_uid, series_instance_uid
        DICOM identifiers, None for pictures.
    modality
        DICOM modality (``"DX"``, ``"CR"``, ...), None for pictures.
    """

    path: Path
    format: str
    transfer_syntax: str | None = None
    photometric: str | None = None
    bits: int | None = None
    original_shape: tuple[int, int] | None = None
    polarity_corrected: bool = False
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    modality: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A frontal or lateral chest radiograph, immutable, in one grey-value convention.

    Parameters
    ----------
    pixels
        float32 (H, W), range [0, 1], bright = dense (bone white, air black). Made read-only.
    provenance
        File, identifiers and what the reader did.
    pixel_spacing_mm
        Row and column spacing at the detector or as calibrated, or None where the file does not say.
    view_position
        ``"PA"``, ``"AP"``, ``"lateral"`` or ``"unknown"``.
    warnings
        Sentences a reader of the result should see (for example "Polarity was inverted and has been corrected.").

    Raises
    ------
    ValueError
        If the pixels are not float32, not two-dimensional, empty, not finite or outside [0, 1].
    """

    pixels: NDArray[np.float32]
    provenance: Provenance
    pixel_spacing_mm: tuple[float, float] | None = None
    view_position: ViewPosition = "unknown"
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.float32 or pixels.ndim != 2 or pixels.size == 0:
            raise ValueError(f"pixels must be a float32 (H, W) array, got {pixels.dtype} {pixels.shape}")
        low, high = float(pixels.min()), float(pixels.max())
        if not (np.isfinite(low) and np.isfinite(high) and low >= 0.0 and high <= 1.0):
            raise ValueError(f"pixels must lie in [0, 1], got [{low}, {high}]")
        if pixels.flags.writeable:
            pixels = pixels.copy()
            pixels.flags.writeable = False
            object.__setattr__(self, "pixels", pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pixels.shape[0], self.pixels.shape[1]
