"""One frame out of a DICOM file's pixel data, whatever its transfer syntax."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder

from cxrscreen.imaging.codestream import codestream_header, is_sound_lossless_jpeg
from cxrscreen.imaging.limits import refusal

JPEG_FAMILY = frozenset(
    {
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
    }
)
JPEG_2000_FAMILY = frozenset({uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K})

PLUGIN_ORDER = ("pyjpegls", "pylibjpeg", "pillow", "pydicom", "gdcm")
"""The decoders in the order they are asked; the stricter ones first, GDCM only where nothing else decodes a syntax."""

_RECOPY = "copy or export it again"
_CONVERT = "run 'cxrscreen doctor' to see what this install decodes, or convert the file to an uncompressed one"


def available_plugins(transfer_syntax: uid.UID) -> tuple[str, ...]:
    """Name the decoding plugins installed for a compressed transfer syntax, in the order they are asked.

    Parameters
    ----------
    transfer_syntax
        Its UID.

    Returns
    -------
    tuple of str
        Empty where the syntax is unknown, not compressed, or cannot be decoded here.
    """
    try:
        decoder = get_decoder(transfer_syntax)
    except NotImplementedError:
        return ()
    if transfer_syntax == uid.RLELossless:
        # pylibjpeg's RLE decoder ends damaged data with a panic that no handler of exceptions catches.
        return ("pydicom",)
    names = [name for name in PLUGIN_ORDER if name in decoder.available_plugins]
    return tuple(name for name in names if name != "gdcm" or names == ["gdcm"])


def decode_frame(path: Path, dataset: Dataset, transfer_syntax: uid.UID) -> NDArray[np.integer]:
    """Decode the only frame of a dataset.

    Parameters
    ----------
    path
        The file, for messages.
    dataset
        With checked ``Rows``, ``Columns``, ``SamplesPerPixel`` and bit depths, and ``PixelData``.
    transfer_syntax
        How the pixel data are encoded.

    Returns
    -------
    int (H, W) or (H, W, 3)
        As stored; colours as red, green, blue. Uncompressed grey values keep all allocated bits.

    Raises
    ------
    UnreadableImageError
        If nothing here decodes the syntax, or the data are truncated, damaged or of another size than announced.
    """
    if transfer_syntax.is_private or transfer_syntax not in uid.AllTransferSyntaxes:
        raise refusal(path, "is encoded in a transfer syntax that is not read", _CONVERT)
    grey = int(dataset.SamplesPerPixel) == 1
    if not transfer_syntax.is_encapsulated:
        _check_native_length(path, dataset)
        # Grey values keep every allocated bit: pydicom's own correction takes the high bit for the topmost stored one.
        options = {"correct_unused_bits": not grey}
        return get_decoder(transfer_syntax).as_array(dataset, index=0, raw=grey, **options)[0]  # type: ignore[arg-type]
    plugins = available_plugins(transfer_syntax)
    if not plugins:
        raise refusal(path, f"is encoded as {transfer_syntax.name}, for which no decoder is installed", _CONVERT)
    _check_codestream(path, dataset, transfer_syntax)
    for plugin in plugins:
        try:
            array = get_decoder(transfer_syntax).as_array(dataset, index=0, decoding_plugin=plugin)[0]
        except MemoryError:
            raise
        except Exception:
            # What codecs raise on damaged data is not one family.
            continue
        if array.shape[:2] == (dataset.Rows, dataset.Columns):
            return array
    raise refusal(path, f"holds {transfer_syntax.name} data that no installed decoder can decode", _CONVERT)


def _check_native_length(path: Path, dataset: Dataset) -> None:
    samples = int(dataset.SamplesPerPixel)
    expected = int(dataset.Rows) * int(dataset.Columns) * samples * (int(dataset.BitsAllocated) // 8)
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        expected = expected // 3 * 2
    if len(dataset.PixelData) < expected:
        raise refusal(path, f"is truncated ({len(dataset.PixelData)} of {expected} bytes of pixel data)", _RECOPY)


def _check_codestream(path: Path, dataset: Dataset, transfer_syntax: uid.UID) -> None:
    """Refuse what could make a codec run past the announced size or give half an image."""
    if transfer_syntax not in JPEG_FAMILY | JPEG_2000_FAMILY:
        return
    data = get_frame(dataset.PixelData, 0, number_of_frames=1)
    header = codestream_header(data)
    # Some writers fill the last fragment up with zeros behind the end marker.
    if b"\xff\xd9" not in data.rstrip(b"\0")[-16:]:
        raise refusal(path, f"holds truncated {transfer_syntax.name} data", _RECOPY)
    lossless = transfer_syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1)
    if header is None or (lossless and not is_sound_lossless_jpeg(data)):
        raise refusal(path, f"holds damaged {transfer_syntax.name} data", _RECOPY)
    expected = (int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel))
    found = (header.rows, header.columns, header.components)
    if found != expected or header.bits > int(dataset.BitsAllocated):
        raise refusal(path, "contradicts itself (the header and the pixel data name different image sizes)", _RECOPY)
