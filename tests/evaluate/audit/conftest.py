"""Constructed images of one decision, a system that reads a known place in them, and what an audit is given of both."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cxrscreen.data.manifest import check_manifest
from cxrscreen.data.protocols import Split
from cxrscreen.errors import UnreadableImageError
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.contract import Screening, Stage

SIDE = 64
LUNGS = np.zeros((SIDE, SIDE), np.bool_)
LUNGS[18:46, 12:28] = LUNGS[18:46, 36:52] = True
CORNER = np.zeros((SIDE, SIDE), np.bool_)
CORNER[:8, :8] = True
THRESHOLD = 0.5

CARD = {
    "format": 1,
    "name": "constructed",
    "version": "1.0.0",
    "system": "cascade",
    "created": "2026-01-01",
    "summary": "Reads one place.",
    "intended_use": "Tests of the audits.",
    "not_for": ["Anything else."],
    "limits": ["It knows one place only."],
    "licence": "none",
    "preprocessing": {},
    "stages": {
        "pneumonia": {
            "operating_points": {"youden": {"threshold": THRESHOLD, "rule": "youden", "site": "nowhere"}},
            "default": "youden",
        }
    },
    "data": {"images_sha256": "0" * 64, "splits": {}, "seed": 0, "images": {"a": {"normal": 3}}, "licences": []},
    "recipe": {},
    "files": {},
}


class PlaceSystem:
    """Calls the mean grey value of one place a probability of pneumonia; finds the same lungs in every image."""

    bundle_id = "constructed@1.0.0"

    def __init__(self, place):
        self.place = place

    def screen(self, radiograph, *, force=False, explain=True):
        assert force
        assert not explain
        score = float(radiograph.pixels[self.place].mean())
        return Screening(
            stages=(Stage("pneumonia", "Pneumonia against normal", score, THRESHOLD, "youden"),),
            finding="normal",
            triage_score=score,
            lung_mask=LUNGS.astype(np.uint8),
            lung_area_fraction=float(LUNGS.mean()),
            saliency=(),
            quality="good",
            warnings=(),
            bundle=self.bundle_id,
        )

    def features(self, radiograph):
        return {"pneumonia": radiograph.pixels[self.place].ravel()[:4]}


def picture(truth: int, seed: int) -> np.ndarray:
    """Lungs and a corner on a brighter body, all brighter where the truth is 1; float32 (SIDE, SIDE) in [0, 1]."""
    rng = np.random.default_rng(seed)
    level = 0.42 + 0.16 * truth + 0.07 * rng.normal()
    body = np.where(LUNGS | CORNER, 0.0, 0.2)
    return np.clip(level + body + 0.02 * rng.normal(size=(SIDE, SIDE)), 0, 1).astype(np.float32)


@pytest.fixture
def audit_of(tmp_path):
    """Give the data of an audit of a system that reads a place, on two sources with both classes."""

    def make(place, *, images=80, broken=(), replicates=200):
        ids = [f"image{i:03d}" for i in range(images)]
        truth = {image_id: i % 2 for i, image_id in enumerate(ids)}
        table = pd.DataFrame(
            {
                "image_id": ids,
                "path": ids,
                "source": [("a", "b")[(i // 2) % 2] for i in range(images)],
                "patient_id": [f"p{i // 4}" for i in range(images)],
                "label": [("normal", "pneumonia")[truth[i]] for i in ids],
            }
        )
        manifest = check_manifest(table, tmp_path)

        def read(path: Path) -> Radiograph:
            if path.name in broken:
                raise UnreadableImageError(f"{path} is empty: copy it again.")
            number = ids.index(path.name)
            return Radiograph(picture(truth[path.name], number), Provenance(path, "PNG"))

        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        (folder / "card.yaml").write_text(yaml.safe_dump(CARD))
        groups = {str(i): str(g) for i, g in manifest.table["group"].items()}
        split = Split("stage2", 0, (), (), tuple(ids), truth, groups, {"lateral views": 2})
        chosen = {("stage2", "train"): (), ("stage2", "validation"): (), ("stage2", "test"): tuple(ids)}
        steps = []
        return AuditData(
            PlaceSystem(place),
            open_bundle(folder),
            manifest,
            {"stage2": split},
            chosen,
            read,
            seed=0,
            replicates=replicates,
            advance=steps.append,
        )

    return make


@pytest.fixture
def honest(audit_of):
    """A system that reads the lungs."""
    return audit_of(LUNGS)


@pytest.fixture
def cheating(audit_of):
    """A system that reads a corner."""
    return audit_of(CORNER)


@pytest.fixture
def lungs():
    return LUNGS.copy()


@pytest.fixture
def corner():
    return CORNER.copy()
