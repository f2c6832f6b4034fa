"""All DICOM objects of one screening, and the files they become."""

import logging
import os
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset

from cxrscreen.biomarkers.cardiothoracic import cardiothoracic_ratio
from cxrscreen.errors import CxrscreenError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.report.dicom.captures import answer_line, captures
from cxrscreen.report.dicom.maps import parametric_map
from cxrscreen.report.dicom.presentation import presentation_state
from cxrscreen.report.dicom.report import structured_report
from cxrscreen.report.dicom.segmentation import regions_of, segmentation
from cxrscreen.report.dicom.source import DicomObjectError, Source, source_of
from cxrscreen.report.record import all_warnings
from cxrscreen.systems.contract import Screening

# It tells of every attribute that it copies, with the instance's identifiers.
logging.getLogger("highdicom").setLevel(logging.WARNING)


@dataclass(frozen=True, eq=False)
class DicomObjects:
    """What one screening becomes.

    Parameters
    ----------
    report
        Comprehensive SR; also of a refused radiograph, with the reason.
    segmentation
        Segmentation; None where nothing was segmented.
    maps
        Parametric Map; None without heat maps.
    captures
        Secondary Captures; none of a refused radiograph.
    image
        The Secondary Capture made of a picture, to which the others refer; None for a DICOM file.
    outlines
        Grayscale Softcopy Presentation State; None where nothing was segmented, and of an image in colour.
    """

    report: Dataset
    segmentation: Dataset | None
    maps: Dataset | None
    captures: tuple[Dataset, ...]
    image: Dataset | None
    outlines: Dataset | None = None

    @property
    def named(self) -> dict[str, Dataset]:
        """Every object by the name of its file, in the order to store them: what is referred to comes first."""
        some = {"image.dcm": self.image, "segmentation.dcm": self.segmentation, "maps.dcm": self.maps}
        pictures = {f"capture-{number}.dcm": capture for number, capture in enumerate(self.captures, 1)}
        whole = {name: dataset for name, dataset in some.items() if dataset is not None}
        drawn = {} if self.outlines is None else {"outlines.dcm": self.outlines}
        return {**whole, **pictures, **drawn, "report.dcm": self.report}


def dicom_objects(
    screening: Screening,
    radiograph: Radiograph,
    *,
    made: datetime | None = None,
) -> DicomObjects:
    """Make the DICOM objects of one screening, in the study of the image screened.

    The same image screened by the same bundle under the same settings gives the same UIDs, so that storing the result
    again makes no second one.

    Parameters
    ----------
    screening
        What was found.
    radiograph
        What was screened; its file is read again for the header.
    made
        When the result was made; None: now.

    Returns
    -------
    DicomObjects
        Each written as it is by :func:`write_objects`.

    Raises
    ------
    DicomObjectError
        If the file lacks what the objects refer to, or a mask or map differs from it in size.
    """
    when = made or datetime.now()
    source = source_of(radiograph.provenance.path, radiograph)
    try:
        with without_warnings():
            return _made(screening, radiograph, source, when)
    except CxrscreenError:
        raise
    except Exception as error:
        # what a broken header makes the writers raise is of no family, and its text may hold patient data
        raise DicomObjectError(
            f"The results could not be made DICOM objects ({type(error).__name__}); check the image's header."
        ) from error


def write_objects(folder: Path, objects: DicomObjects) -> tuple[Path, ...]:
    """Write the objects into a folder, each whole or not at all.

    Parameters
    ----------
    folder
        Made where missing.
    objects
        From :func:`dicom_objects`.

    Returns
    -------
    tuple of Path
        ``image.dcm`` (of a picture), ``segmentation.dcm``, ``maps.dcm``, ``capture-1.dcm`` ..., ``outlines.dcm`` and
        ``report.dcm``, where there are such, on disk when this returns.

    Raises
    ------
    DicomObjectError
        If a file cannot be written.
    """
    paths = []
    for name, dataset in objects.named.items():
        path = folder / name
        part = path.with_name(f"{name}.part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(encoded(dataset))
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise DicomObjectError(
                f"{name} could not be written to {folder.name!r} ({error.strerror}); check space and rights."
            ) from error
        paths.append(path)
    return tuple(paths)


def encoded(dataset: Dataset) -> bytes:
    """Return an object as the bytes of a DICOM file."""
    buffer = BytesIO()
    with without_warnings():
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _made(screening: Screening, radiograph: Radiograph, source: Source, when: datetime) -> DicomObjects:
    refused = screening.status == "refused"
    regions = () if refused else regions_of(screening)
    segmented = segmentation(regions, screening, source, when)
    report = structured_report(
        screening,
        source,
        when,
        cardiothoracic_ratio=ratio_of(screening),
        regions=regions,
        segmentation=segmented,
        warnings=all_warnings(radiograph, screening),
    )
    maps = None if refused else parametric_map(screening, source, when)
    shown = () if refused else captures(radiograph, screening, source, when)
    outlines = presentation_state(regions, screening, source, when, answer_line(screening))
    return DicomObjects(report, segmented, maps, shown, source.made, outlines)


def ratio_of(screening: Screening) -> float | None:
    """Return the cardiothoracic ratio; None where the heart was not segmented, or nothing was screened."""
    if screening.heart_mask is None or screening.status == "refused":
        return None
    ratio = cardiothoracic_ratio(screening.lung_mask, screening.heart_mask)
    return None if ratio is None else ratio.ratio
