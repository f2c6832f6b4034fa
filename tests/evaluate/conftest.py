"""A manifest folder of tiny constructed pictures, and a system whose answers can be worked out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import Screening, Stage

SHAPE = (20, 24)
LUNG_COLUMNS = (slice(3, 10), slice(14, 21))

# (source, label, images): per label a tenth of the images are tested, a quarter of COVID-19.
SOURCES = (
    ("nih", "normal", 120),
    ("nih", "pneumonia", 120),
    ("shenzhen", "normal", 100),
    ("shenzhen", "tuberculosis", 100),
    ("armiro", "covid19", 32),
)


@pytest.fixture(scope="session")
def manifest_folder(tmp_path_factory):
    """The folder; not to be changed (copy it first)."""
    return write_manifest(tmp_path_factory.mktemp("pack")).parent


@pytest.fixture
def grey_system():
    return GreySystem()


@pytest.fixture
def read_grey():
    return read


def write_manifest(folder: Path) -> Path:
    """Write pictures whose mean grey value is their score, lung masks for Shenzhen, and the manifest."""
    rng = np.random.default_rng(0)
    (folder / "masks").mkdir(parents=True)
    rows = []
    for source, label, count in SOURCES:
        (folder / "images" / source).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image_id = f"{source}/{label}{i}"
            grey = 110 + 40 * (label != "normal") + 30 * rng.normal()
            Image.fromarray(np.full(SHAPE, np.clip(grey, 0, 255), np.uint8)).save(folder / "images" / f"{image_id}.png")
            mask = ""
            if source == "shenzhen":
                mask = f"masks/{label}{i}.png"
                write_mask(folder / mask)
            rows.append((image_id, f"images/{image_id}.png", source, f"{source}{label}{i // 2}", label, mask))
    columns = ["image_id", "path", "source", "patient_id", "label", "lung_mask"]
    table = pd.DataFrame(rows, columns=columns)
    table["lung_mask_origin"] = np.where(table["lung_mask"] == "", "", "human")
    table.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def write_mask(path: Path) -> None:
    """Right lung 1, left lung 2 and the heart 3 between them, as a palette picture whose colours mislead."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[4:16, LUNG_COLUMNS[0]], mask[4:16, LUNG_COLUMNS[1]], mask[8:16, 10:14] = 1, 2, 3
    image = Image.fromarray(mask, mode="P")
    image.putpalette([0, 0, 0, 250, 250, 250, 9, 9, 9, 90, 0, 0])
    image.save(path)


def read(path: Path) -> Radiograph:
    """Read one of the pictures above."""
    if path.stat().st_size == 0:
        raise UnreadableImageError(f"{path.name} is empty: copy it again.")
    with Image.open(path) as image:
        pixels = np.asarray(image, np.float32) / 255
    return Radiograph(pixels, Provenance(path, "PNG"))


class GreySystem:
    """Calls the mean grey value a probability; its lungs miss the lowest row of the right lung (7 of 168 pixels)."""

    bundle_id = "grey@1"

    def screen(self, radiograph: Radiograph, *, force: bool = False, explain: bool = True) -> Screening:
        if explain:
            raise AssertionError("an evaluation needs no maps")
        score = float(radiograph.pixels.mean())
        if score > 0.995:
            raise RuntimeError("white picture")
        lungs = np.zeros(radiograph.shape, np.uint8)
        lungs[4:15, LUNG_COLUMNS[0]], lungs[4:16, LUNG_COLUMNS[1]] = 1, 2
        asked = force or score >= 0.5
        return Screening(
            stages=(
                Stage("pneumonia", "Pneumonia (any type) against normal", score, 0.5, "youden"),
                Stage("covid19", "COVID-19 against other pneumonia", score**2 if asked else None, 0.3, "youden"),
            ),
            finding="normal",
            triage_score=score,
            lung_mask=lungs,
            lung_area_fraction=float((lungs > 0).mean()),
            saliency=(),
            quality="good",
            warnings=(),
            bundle=self.bundle_id,
        )
