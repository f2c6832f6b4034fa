"""Pictures of what is stored, made when they are asked for; the latest are kept in memory within bounds."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal, TypeVar

import cv2
import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.encode import encode_png
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.report.figures import COLOUR_MAPS, LEFT_LUNG, RIGHT_LUNG, picture_size
from cxrscreen.report.folder import Thumbnail, write_folder
from cxrscreen.service.context import Context
from cxrscreen.service.problems import NotFoundError
from cxrscreen.service.store.files import FilesError
from cxrscreen.service.store.models import Image, Result
from cxrscreen.service.store.results import LUNGS, load_map, load_screening

Look = Literal["overlay", "values"]

HEART: Final = (204, 121, 167)
"""Colour (R, G, B) of the heart, apart from those of the lungs for colour-blind readers too."""
_RADIOGRAPH_BYTES: Final = 512 * 2**20
_FOLDER_BYTES: Final = 128 * 2**20
_AT_ONCE: Final = 2
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Window:
    """How grey values become brightness, and the size of the picture.

    Parameters
    ----------
    centre, width
        In units of the radiograph's range [0, 1]: what lies below ``centre - width / 2`` is black, above
        ``centre + width / 2`` white.
    invert
        Black for white.
    side
        Longest side of the picture in pixels; no picture is larger than its radiograph.
    """

    centre: float = 0.5
    width: float = 1.0
    invert: bool = False
    side: int = 1024


@dataclass(frozen=True)
class ResultFolder:
    """The pictures of a result, as ``cxrscreen screen`` writes them.

    Parameters
    ----------
    files
        PNG by file name: ``original.png``, ``lung_overlay.png``, ``lung_mask.png`` and a framed one for each map.
    thumbnails
        Small copies, for a report.
    """

    files: dict[str, bytes]
    thumbnails: tuple[Thumbnail, ...]


class Gallery:
    """Makes pictures; at most two radiographs are decoded at a time, however many ask.

    Parameters
    ----------
    context
        The store.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._radiographs: LRUCache[str, Radiograph] = LRUCache(_RADIOGRAPH_BYTES, lambda kept: kept.pixels.nbytes)
        self._folders: LRUCache[str, ResultFolder] = LRUCache(_FOLDER_BYTES, _weight)

    def radiograph(self, image: Image) -> Radiograph:
        """Give the radiograph of an image.

        Raises
        ------
        FilesError, UnreadableImageError
            If its file is gone, or cannot be read as a radiograph.
        """

        def made() -> Radiograph:
            path = self._context.files.path(image.sha256)
            if not path.exists():
                raise FilesError(f"The stored file {image.sha256[:12]}... is gone; restore it from a backup.")
            try:
                return read(path, limits=self._context.limits)
            except UnreadableImageError as error:
                # Where the service keeps its files is nobody's business.
                raise type(error)(str(error).replace(str(path), "The file")) from error

        return self._kept(self._radiographs, image.sha256, made)

    def picture(self, image: Image, window: Window) -> bytes:
        """Render a radiograph as 8-bit grey PNG."""
        return encode_png(windowed(self.radiograph(image).pixels, window))

    def folder(self, result: Result) -> ResultFolder:
        """Render all pictures of a result."""

        def made() -> ResultFolder:
            screening = load_screening(self._context.files, result)
            radiograph = self.radiograph(result.image)
            with TemporaryDirectory(prefix="cxrscreen-") as place:
                thumbnails = write_folder(Path(place), radiograph, screening)
                files = {path.name: path.read_bytes() for path in Path(place).glob("*.png")}
            return ResultFolder(files, thumbnails)

        return self._kept(self._folders, result.id, made)

    def map(self, result: Result, name: str, look: Look) -> bytes:
        """Render one map by itself, to be laid over the radiograph.

        Parameters
        ----------
        result
            The result.
        name
            Of the map, or ``"lungs"``, or ``"heart"`` where the system found it.
        look
            ``"values"``: grey, a map's values x 255 and the mask's 0, 1, 2 as they are. ``"overlay"``: in colour, as
            transparent as the value is small.

        Raises
        ------
        NotFoundError
            If the result has no such map.
        """
        stored = next((stored for stored in result.maps if stored.name == name), None)
        if stored is None:
            raise NotFoundError(f"The result has no such map; it has {', '.join(kept.name for kept in result.maps)}.")
        if look == "values":
            return self._context.files.read(stored.sha256)
        values = load_map(self._context.files, stored)
        return encode_png(_overlay(name, stored.kind, values))

    def _kept(self, cache: "LRUCache[str, _Value]", key: str, made: Callable[[], _Value]) -> _Value:
        known = self._known(cache, key)
        if known is not None:
            return known
        with self._turn():
            # Others who waited before for the same may have made it meanwhile.
            known = self._known(cache, key)
            if known is not None:
                return known
            value = made()
            with self._lock:
                if cache.getsizeof(value) <= cache.maxsize:
                    cache[key] = value
        return value

    def _known(self, cache: "LRUCache[str, _Value]", key: str) -> _Value | None:
        with self._lock:
            return cache.get(key)

    def _turn(self) -> "_Turn":
        return _Turn(self._turns)


class _Turn:
    """One of the turns; a thread that has one already does not wait for a second."""

    _has = threading.local()

    def __init__(self, turns: threading.BoundedSemaphore) -> None:
        self._turns = turns
        self._nested = False

    def __enter__(self) -> None:
        self._nested = getattr(self._has, "turn", False)
        if not self._nested:
            self._turns.acquire()
            self._has.turn = True

    def __exit__(self, *_error: object) -> None:
        if not self._nested:
            self._has.turn = False
            self._turns.release()


def windowed(pixels: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    """Apply a window.

    Parameters
    ----------
    pixels
        float32 (H, W), range [0, 1].
    window
        How.

    Returns
    -------
    numpy.ndarray
        uint8 (h, w).
    """
    height, width = picture_size(pixels.shape, largest=min(window.side, max(pixels.shape)))
    if (height, width) != pixels.shape:
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    low = window.centre - window.width / 2
    grey = np.clip((pixels - np.float32(low)) / np.float32(window.width), 0.0, 1.0)
    shown = np.float32(1.0) - grey if window.invert else grey
    return np.asarray(shown * 255 + 0.5, np.uint8)


def _overlay(name: str, kind: str, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _mask_overlay(name, values) if kind in ("mask", "looked_at") else _map_overlay(values, kind)


def _map_overlay(values: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    table = COLOUR_MAPS["coverage" if kind == "coverage" else "saliency"]
    colours = cv2.cvtColor(cv2.applyColorMap(values, table), cv2.COLOR_BGR2RGB)
    return np.dstack([np.asarray(colours, np.uint8), values])


def _mask_overlay(name: str, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = np.zeros((*mask.shape, 4), np.uint8)
    for label, colour in ((1, RIGHT_LUNG), (2, LEFT_LUNG)) if name == LUNGS else ((1, HEART),):
        picture[mask == label] = (*colour, 255)
    return picture


def _weight(folder: ResultFolder) -> int:
    return sum(map(len, folder.files.values())) + sum(len(thumbnail.jpeg) for thumbnail in folder.thumbnails)
