"""A phantom as a DICOM file, and a screening of it with an off-centre mark."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cxrscreen.data.phantoms import Phantom, make_phantom, write_dicom
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.report.dicom.objects import DicomObjects, dicom_objects
from cxrscreen.systems.contract import Concern, SaliencyMap, Screening, Stage, Verdict

MADE = datetime(2026, 1, 2, 3, 4, 5)
SHAPE = (151, 129)


@pytest.fixture(scope="session")
def made() -> datetime:
    return MADE


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(5, "bacterial", shape=SHAPE)


@pytest.fixture(scope="session")
def dicom_path(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dicom") / "chest.dcm"
    write_dicom(phantom, path)
    return path


@pytest.fixture(scope="session")
def radiograph(dicom_path: Path) -> Radiograph:
    return read(dicom_path)


@pytest.fixture(scope="session")
def off_centre() -> np.ndarray:
    """A map whose mark lies in a corner, with a value of its own in every pixel of it."""
    values = np.zeros(SHAPE, np.float32)
    values[7:11, 90:119] = np.linspace(0.25, 1.0, 4 * 29, dtype=np.float32).reshape(4, 29)
    return values


@pytest.fixture(scope="session")
def make_screening(phantom: Phantom, off_centre: np.ndarray) -> Callable[..., Screening]:
    def make(*, pneumonia: float = 0.9, maps: tuple[str, ...] = ("h2", "h3"), bundle: str = "cascade@1.0") -> Screening:
        lungs = phantom.lungs.astype(np.uint8)
        return Screening(
            stages=(
                Stage("pneumonia", "Pneumonia of any type, against normal", pneumonia, 0.4, "youden"),
                Stage("covid19", "COVID-19, against other pneumonia", 0.2, 0.5, "youden"),
            ),
            finding="other_pneumonia",
            triage_score=0.6,
            lung_mask=lungs,
            lung_area_fraction=float((lungs > 0).mean()),
            saliency=tuple(SaliencyMap(name, f"Map {name}", off_centre, 0.5) for name in maps),
            quality="limited",
            warnings=("The lungs are small.",),
            bundle=bundle,
            heart_mask=phantom.heart.astype(bool),
        )

    return make


@pytest.fixture(scope="session")
def screening(make_screening: Callable[..., Screening]) -> Screening:
    return make_screening()


@pytest.fixture(scope="session")
def partly(screening: Screening, off_centre: np.ndarray) -> Screening:
    """A screening whose system looked around the mark alone, and says how often."""
    looked_at = np.zeros(SHAPE, np.bool_)
    looked_at[:60, 40:] = True
    coverage = np.where(looked_at, np.float32(0.4), np.float32(0))
    heat = SaliencyMap("viral", "What spoke for viral", off_centre, 0.5, "saliency", looked_at)
    return replace(
        screening,
        saliency=(heat, SaliencyMap("looked-at", "How often it looked", coverage, 0.3, "coverage", looked_at)),
        bundle="patch_voting@1.0",
    )


@pytest.fixture(scope="session")
def refused(phantom: Phantom) -> Screening:
    verdict = Verdict("standard", (Concern("lateral", "This is a lateral view.", "refuse"),))
    stages = (Stage("pneumonia", "Pneumonia", None, 0.4, "youden"),)
    mask = phantom.lungs.astype(np.uint8)
    return Screening(stages, None, None, mask, 0.2, (), "limited", verdict.sentences, "cascade@1.0", verdict=verdict)


@pytest.fixture(scope="session")
def objects(screening: Screening, radiograph: Radiograph) -> DicomObjects:
    return dicom_objects(screening, radiograph, made=MADE)
