"""What the viewer draws: grey values in 16 bits, so that window and level are smooth, and maps as they are kept."""

import gzip
from typing import Annotated

import cv2
import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray

from cxrscreen.report.figures import picture_size
from cxrscreen.service.api.asking import AuditLog, Id, Viewer
from cxrscreen.service.context import Here
from cxrscreen.service.pictures import Gallery
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.store.models import Image, Result

router = APIRouter(prefix="/view", include_in_schema=False)


@router.get("/images/{image_id}/grey")
def grey(
    image_id: Id,
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
    side: Annotated[int, Query(ge=64, le=8192)] = 2560,
) -> Response:
    """Give the grey values that the file asks for: little-endian uint16, row by row; ``X-Shape`` says rows and columns.

    A longer side than ``side`` is brought down to it; ``X-Stored-Shape`` says what there is.
    """
    gallery: Gallery = request.app.state.gallery
    with here.database.reading() as session:
        image = session.get(Image, image_id)
        if image is None:
            raise NotFoundError("There is no such image; it may have been deleted.")
    pixels = gallery.radiograph(image).pixels
    log("image.picture_seen", "image", image_id, sparsely=True)
    values = sixteen_bits(pixels, side)
    headers = {
        "Content-Encoding": "gzip",
        "X-Shape": f"{values.shape[0]} {values.shape[1]}",
        "X-Stored-Shape": f"{pixels.shape[0]} {pixels.shape[1]}",
    }
    content = gzip.compress(values.tobytes(), compresslevel=1, mtime=0)
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get("/results/{result_id}/maps/{name}")
def values_of_map(
    result_id: Id,
    name: Annotated[str, Path(pattern="^[a-z0-9_-]{1,32}$")],
    request: Request,
    here: Here,
    _asking: Viewer,
    log: AuditLog,
) -> Response:
    """Give a map, or the lung mask, as it is kept: a grey PNG of its values."""
    gallery: Gallery = request.app.state.gallery
    with here.database.reading() as session:
        result = session.get(Result, result_id)
        if result is None:
            raise NotFoundError("There is no such result; it may have been deleted.")
        content = gallery.map(result, name, "values")
    log("result.picture_seen", "result", result_id, sparsely=True)
    return Response(content, media_type="image/png")


def sixteen_bits(pixels: NDArray[np.float32], side: int) -> NDArray[np.uint16]:
    """Bring a radiograph to a size and to 16 bits.

    Parameters
    ----------
    pixels
        float32 (H, W), range [0, 1].
    side
        Largest longest side, in pixels.

    Returns
    -------
    numpy.ndarray
        Little-endian uint16 (h, w), 65535 for 1.
    """
    height, width = picture_size(pixels.shape, largest=side)
    if (height, width) != pixels.shape:
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(np.clip(pixels, 0.0, 1.0) * 65535 + 0.5, np.dtype("<u2"))
