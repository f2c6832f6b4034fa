"""From stored DICOM values to grey values in [0, 1]: modality LUT, VOI LUT or window, photometric interpretation.

A radiograph has at most 2 ** 16 different stored values, so the whole chain is worked out once for each of them, in
double precision, and applied to the pixels as one table.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

Values = NDArray[np.float64]

RANGE_TAIL = 1e-4
"""Share of the pixels clipped at each end where a file names no window (dead pixels)."""
WINDOW_MINIMUM_INSIDE = 0.02
"""Share of the pixels that must fall inside a window; a window that misses the image is not used."""

MISSED_WINDOW_WARNING = "The window named in the header misses the image; the full range of grey values was used."
RESCALE_WARNING = "The rescale slope or intercept in the header is not usable and was ignored."


@dataclass(frozen=True, eq=False)
class GreyTable:
    """Grey value of every bit pattern of one file.

    Parameters
    ----------
    grey
        float32 (2 ** bits allocated,), range [0, 1], bright = dense; 0 for padding.
    padding
        bool of the same length, True for padding values.
    warnings
        Sentences for the reader of the result.
    """

    grey: NDArray[np.float32]
    padding: NDArray[np.bool_]
    warnings: tuple[str, ...]


def grey_table(dataset: Dataset, counts: NDArray[np.integer]) -> GreyTable:
    """Work out the grey value of every bit pattern.

    The order is: modality LUT or rescale, then the first VOI LUT or else the first window, then the inversion of
    MONOCHROME1. Without a VOI LUT or a window the values from the smallest to the largest are spread over [0, 1],
    padding left out and ``RANGE_TAIL`` of the pixels clipped at each end.

    Parameters
    ----------
    dataset
        With ``BitsAllocated`` (8 or 16), ``BitsStored``, ``HighBit``, ``PixelRepresentation`` and
        ``PhotometricInterpretation``.
    counts
        int (2 ** bits allocated,): pixels that hold each bit pattern.

    Returns
    -------
    GreyTable
        The table, its padding and warnings.

    Notes
    -----
    Source: DICOM PS3.3 C.7.5.1.1.2 (padding), C.11.1 (modality LUT), C.11.2 (VOI LUT).
    """
    stored = stored_values(dataset)
    padding = padding_values(dataset, stored)
    counts = np.where(padding, 0, counts)
    warnings: list[str] = []
    values, sound = modality_values(dataset, stored)
    if not sound:
        warnings.append(RESCALE_WARNING)
    grey = voi_values(dataset, values)
    if grey is not None and _misses(grey, counts):
        warnings.append(MISSED_WINDOW_WARNING)
        grey = None
    if grey is None:
        grey = full_range(values, counts)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1.0 - grey
    grey = np.where(padding, 0.0, np.clip(grey, 0.0, 1.0))
    return GreyTable(grey.astype(np.float32), padding, tuple(warnings))


def stored_values(dataset: Dataset) -> Values:
    """Give the stored value of every bit pattern: the bits from high bit down, with sign where signed.

    Parameters
    ----------
    dataset
        As for `grey_table`.

    Returns
    -------
    float64 (2 ** bits allocated,)
        Whole numbers.
    """
    bits = int(dataset.BitsStored)
    patterns = np.arange(2 ** int(dataset.BitsAllocated), dtype=np.int64)
    values = (patterns >> (int(dataset.HighBit) + 1 - bits)) & (2**bits - 1)
    if dataset.PixelRepresentation == 1:
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    return np.asarray(values, dtype=np.float64)


def padding_values(dataset: Dataset, stored: Values) -> NDArray[np.bool_]:
    """Bit patterns that stand for no image: Pixel Padding Value, up to Pixel Padding Range Limit.

    Parameters
    ----------
    dataset
        As for `grey_table`.
    stored
        Result of `stored_values`.

    Returns
    -------
    bool (2 ** bits allocated,)
        All False where the file names no padding.
    """
    if not isinstance(dataset.get("PixelPaddingValue"), int):
        return np.zeros(stored.shape, dtype=np.bool_)
    size = 2 ** int(dataset.BitsAllocated)
    whole = np.arange(size, dtype=np.float64)
    if dataset.PixelRepresentation == 1:
        whole = np.where(whole >= size // 2, whole - size, whole)
    first = int(dataset.PixelPaddingValue)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [_as_stored(value, dataset) for value in (first, limit if isinstance(limit, int) else first)]
    low, high = min(ends), max(ends)
    # Padding may lie outside the stored bits, so the whole pattern counts as well as the stored value.
    return ((whole >= low) & (whole <= high)) | ((stored >= low) & (stored <= high))


def modality_values(dataset: Dataset, stored: Values) -> tuple[Values, bool]:
    """Apply the Modality LUT Sequence, or else rescale slope and intercept.

    Parameters
    ----------
    dataset
        The file's header.
    stored
        Stored values, any shape.

    Returns
    -------
    values : float64
        Of the same shape, in the modality's units.
    sound : bool
        False where slope or intercept were not usable and the stored values were kept.
    """
    if sequence := dataset.get("ModalityLUTSequence"):
        entries, first, _ = _read_lut(sequence[0], signed=bool(stored.min() < 0))
        return _look_up(entries, first, stored), True
    slope, intercept = _number(dataset.get("RescaleSlope"), 1.0), _number(dataset.get("RescaleIntercept"), 0.0)
    if slope == 0.0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        return stored, False
    return stored * slope + intercept, True


def voi_values(dataset: Dataset, values: Values) -> Values | None:
    """Apply the first VOI LUT, or else the first window, with its function.

    Parameters
    ----------
    dataset
        The file's header.
    values
        Output of the modality LUT.

    Returns
    -------
    float64 or None
        Range [0, 1]; None where the file names neither, or the window is not usable.
    """
    if sequence := dataset.get("VOILUTSequence"):
        entries, first, top = _read_lut(sequence[0], signed=bool(values.min() < 0))
        return np.clip(_look_up(entries, first, np.round(values)) / top, 0.0, 1.0)
    center, width = _number(dataset.get("WindowCenter"), math.nan), _number(dataset.get("WindowWidth"), math.nan)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    narrowest = 1.0 if function == "LINEAR" else np.finfo(np.float64).tiny
    if not (math.isfinite(center) and math.isfinite(width) and width >= narrowest):
        return None
    return window_values(values, center, width, function)


def window_values(values: Values, center: float, width: float, function: str = "LINEAR") -> Values:
    """Apply a window.

    Parameters
    ----------
    values
        Output of the modality LUT, any shape.
    center, width
        In the values' units; the width at least 1 for ``"LINEAR"``, else above 0.
    function
        ``"LINEAR"``, ``"LINEAR_EXACT"`` or ``"SIGMOID"``; any other name is read as ``"LINEAR"``.

    Returns
    -------
    float64
        Of the same shape, range [0, 1].

    Notes
    -----
    Source: DICOM PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
    """
    if function == "SIGMOID":
        # Beyond 50 the sigmoid is flat in double precision, and exp would overflow far out.
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -50.0, 50.0))))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def full_range(values: Values, counts: NDArray[np.integer]) -> Values:
    """Spread the values that occur over [0, 1].

    Parameters
    ----------
    values
        Value of every bit pattern.
    counts
        Pixels that hold each pattern, padding left out.

    Returns
    -------
    float64
        Range [0, 1]; all 0 where fewer than two values occur.
    """
    order = np.argsort(values, kind="stable")
    ordered, cumulated = values[order], np.cumsum(counts[order])
    total = int(cumulated[-1])
    if total == 0:
        return np.zeros_like(values)
    tail = int(total * RANGE_TAIL)
    low = ordered[np.searchsorted(cumulated, tail, side="right")]
    high = ordered[np.searchsorted(cumulated, total - tail, side="left")]
    if high <= low:
        low, high = ordered[np.searchsorted(cumulated, 1)], ordered[np.searchsorted(cumulated, total)]
    if high <= low:
        return np.zeros_like(values)
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def _misses(grey: Values, counts: NDArray[np.integer]) -> bool:
    total = int(counts.sum())
    inside = (grey > 0.0) & (grey < 1.0)
    several_levels = np.count_nonzero(counts) > 2
    return bool(total > 0 and several_levels and counts[inside].sum() < WINDOW_MINIMUM_INSIDE * total)


def _read_lut(item: Dataset, *, signed: bool) -> tuple[Values, int, float]:
    """Entries, first mapped value and top of the output range of a Modality or VOI LUT item."""
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 65536
    if signed and first >= 2**15:
        first -= 2**16
    data = item.LUTData
    words = np.atleast_1d(data).astype("<u2") if not isinstance(data, bytes) else np.frombuffer(data, dtype=np.uint8)
    if isinstance(data, bytes) and len(data) >= 2 * count:
        words = words[: 2 * count].view("<u2" if item.is_little_endian is not False else ">u2")
    elif words.dtype == np.uint16 and len(words) * 2 == count:
        words = words.view(np.uint8)
    entries = words[:count].astype(np.float64)
    # Some writers declare 16 bits and fill 12: the scale that the data use is then the one meant.
    used = max(1, int(entries.max()).bit_length())
    return entries, first, float(2 ** (bits if used <= bits < used + 2 else used) - 1)


def _look_up(entries: Values, first: int, values: Values) -> Values:
    return np.asarray(entries[np.clip(values - first, 0, len(entries) - 1).astype(np.int64)], dtype=np.float64)


def _as_stored(value: int, dataset: Dataset) -> int:
    size = 2 ** int(dataset.BitsAllocated)
    value %= size
    return value - size if dataset.PixelRepresentation == 1 and value >= size // 2 else value


def _number(value: object, missing: float) -> float:
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if value else None
    if value is None or value == "":
        return missing
    try:
        return float(str(value))
    except ValueError:
        return math.nan
