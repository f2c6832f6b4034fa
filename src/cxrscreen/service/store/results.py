"""A screening -> rows and files, and back: the stored result is the Screening itself, but for the maps' resolution."""

import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.encode import encode_png
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report.figures import picture_size
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.service.context import Context
from cxrscreen.service.jobs import Lease, finish
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.files import Files, FilesError, StoredFile
from cxrscreen.service.store.models import Result, StoredKind, StoredMap
from cxrscreen.systems.contract import NOT_JUDGED, MapKind, SaliencyMap, Screening, Stage, Status

LUNGS, HEART = "lungs", "heart"
"""Names of the masks among the maps of a result."""
_LOOKED_AT: Final = "_looked_at"
"""Behind a map's name: the mask of where it knows anything."""
_LARGEST_MAP: Final = 1024


@dataclass(frozen=True)
class _Encoded:
    row: StoredMap
    stored: StoredFile
    png: bytes


def write_result(
    context: Context, held: Lease, radiograph: Radiograph, screening: Screening, read_seconds: float
) -> Status:
    """Write what a screening came to and end its job, all or nothing.

    Masks are kept at the radiograph's size, that of the lungs with its values 0, 1, 2; maps as 8-bit grey, their
    longest side at most 1024 pixels.

    Parameters
    ----------
    context
        The store.
    held
        The job.
    radiograph, screening
        What was read and what was found.
    read_seconds
        Time spent on reading.

    Returns
    -------
    {"screened", "refused", "failed"}
        The result's status.

    Raises
    ------
    LeaseLostError
        If somebody else has the job by now; nothing is written then.
    FilesError
        If a file cannot be written.
    """
    start = time.perf_counter()
    maps = [
        _encoded(context.files, position, name, kind, title, lung_share, values)
        for position, (name, kind, title, lung_share, values) in enumerate(_planes(screening))
    ]
    record = ScreeningRecord.screened(
        Path(held.image_id),
        radiograph,
        screening,
        read_seconds=read_seconds,
        write_seconds=time.perf_counter() - start,
    )
    now = context.now()
    result = Result(
        id=new_id(),
        job_id=held.job_id,
        image_id=held.image_id,
        system=held.system,
        bundle=screening.bundle,
        status=screening.status,
        finding=screening.finding,
        triage_score=screening.triage_score,
        quality=screening.quality,
        record=record.model_dump(mode="json"),
        stages=[asdict(stage) for stage in screening.stages],
        classes=dict(screening.classes),
        made_at=now,
        maps=[encoded.row for encoded in maps],
    )
    with context.database.writing() as session:
        finish(session, held, result, now)
    for encoded in maps:
        context.files.ensure(encoded.stored, io.BytesIO(encoded.png))
    return screening.status


def record_of(result: Result) -> ScreeningRecord:
    """Return the record of a stored result."""
    return ScreeningRecord.model_validate(result.record)


def load_screening(files: Files, result: Result) -> Screening:
    """Build the Screening of a stored result; its saliency maps have the size in which they are kept.

    Raises
    ------
    FilesError
        If a map's file is gone.
    """
    record = record_of(result)
    by_name = {stored.name: stored for stored in result.maps}
    return Screening(
        stages=tuple(Stage(**stage) for stage in result.stages),
        finding=record.finding,
        triage_score=record.triage_score,
        lung_mask=load_map(files, by_name[LUNGS]),
        lung_area_fraction=record.lung_area_fraction or 0.0,
        saliency=tuple(
            SaliencyMap(
                stored.name,
                stored.title,
                load_map(files, stored).astype(np.float32) / np.float32(255),
                stored.lung_share,
                cast(MapKind, stored.kind),
                _as_mask(files, by_name.get(stored.name + _LOOKED_AT)),
            )
            for stored in result.maps
            if stored.kind in get_args(MapKind)
        ),
        quality=record.quality or "limited",
        warnings=record.warnings,
        bundle=result.bundle,
        seconds=record.timings or {},
        verdict=record.verdict or NOT_JUDGED,
        classes=result.classes,
        heart_mask=_as_mask(files, by_name.get(HEART)),
    )


def load_map(files: Files, stored: StoredMap) -> NDArray[np.uint8]:
    """Read a map, or the lung mask, as it is kept: uint8 (h, w).

    Raises
    ------
    FilesError
        If its file is gone or damaged.
    """
    content = np.frombuffer(files.read(stored.sha256), np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise FilesError(f"The stored file {stored.sha256[:12]}... is damaged; restore it from a backup.")
    return np.asarray(decoded, np.uint8)


def _planes(screening: Screening) -> Iterator[tuple[str, StoredKind, str, float | None, NDArray[np.uint8]]]:
    """Give name, kind, title, share inside the lungs and values of everything that is kept as a picture."""
    yield LUNGS, "mask", "Lungs found", None, screening.lung_mask
    if screening.heart_mask is not None:
        yield HEART, "mask", "Heart found", None, screening.heart_mask.astype(np.uint8)
    for saliency in screening.saliency:
        yield saliency.name, saliency.kind, saliency.title, saliency.lung_share, _smaller(saliency.values)
        if saliency.looked_at is not None:
            looked_at = _smaller(saliency.looked_at.astype(np.float32)) // 128
            yield f"{saliency.name}{_LOOKED_AT}", "looked_at", "Where it looked", None, looked_at


def _as_mask(files: Files, stored: StoredMap | None) -> NDArray[np.bool_] | None:
    return None if stored is None else load_map(files, stored) > 0


def _encoded(
    files: Files,
    position: int,
    name: str,
    kind: StoredKind,
    title: str,
    lung_share: float | None,
    values: NDArray[np.uint8],
) -> _Encoded:
    png = encode_png(values)
    stored = files.put(io.BytesIO(png))
    row = StoredMap(
        id=new_id(),
        position=position,
        name=name,
        kind=kind,
        title=title,
        lung_share=lung_share,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        rows=values.shape[0],
        columns=values.shape[1],
    )
    return _Encoded(row, stored, png)


def _smaller(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = picture_size(values.shape, largest=_LARGEST_MAP)
    if values.shape != (height, width):
        values = np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return (np.clip(values, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
