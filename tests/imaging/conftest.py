"""Constructed chests and DICOM files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

DicomWriter = Callable[..., Path]


def draw_chest(side: int = 256) -> np.ndarray:
    """Draw a frontal chest, float32 in [0, 1], bright = dense: body, two lungs, a heart, a spine."""
    image = np.zeros((side, side), np.float32)

    def ellipse(x: float, y: float, width: float, height: float, value: float) -> None:
        center, axes = (int(x * side), int(y * side)), (int(width * side), int(height * side))
        cv2.ellipse(image, center, axes, 0, 0, 360, value, -1)

    ellipse(0.5, 0.75, 0.45, 0.70, 0.65)
    ellipse(0.29, 0.45, 0.14, 0.30, 0.15)
    ellipse(0.71, 0.45, 0.14, 0.30, 0.15)
    ellipse(0.56, 0.60, 0.14, 0.14, 0.75)
    image[:, int(0.46 * side) : int(0.54 * side)] = 0.8
    return cv2.GaussianBlur(image, (0, 0), side / 100)


def make_dataset(pixels: np.ndarray, transfer_syntax: str = uid.ExplicitVRLittleEndian, **attributes: Any) -> Dataset:
    """Build a DX data set around integer pixels; attributes given replace or add to the usual ones."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(transfer_syntax)
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = Dataset()
    dataset.file_meta, dataset.preamble = meta, bytes(128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    dataset.Modality = "DX"
    dataset.PatientName = "Secret^Person"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.HighBit = attributes.get("HighBit", dataset.BitsStored - 1)
    dataset.PixelData = attributes.get("PixelData", pixels.tobytes())
    return dataset


@pytest.fixture
def chest() -> np.ndarray:
    return draw_chest()


@pytest.fixture
def dicom_file(tmp_path: Path) -> DicomWriter:
    """Write a DICOM file and give its path."""

    def write(pixels: np.ndarray, transfer_syntax: str = uid.ExplicitVRLittleEndian, **attributes: Any) -> Path:
        path = tmp_path / "image.dcm"
        make_dataset(pixels, transfer_syntax, **attributes).save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def dataset_of() -> Callable[..., Dataset]:
    return make_dataset
