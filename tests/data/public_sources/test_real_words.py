"""The publishers' words in the data pack, which other hands labelled."""

import os
from pathlib import Path

import pandas as pd
import pytest

from cxrscreen.data.public_sources import cohen, hannover, kermany, nih

FOLDER = Path(os.environ.get("CXRSCREEN_DATA", Path(__file__).parents[4] / "shared" / "data"))

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (FOLDER / "manifest.csv").is_file(), reason="the data pack is not here: set CXRSCREEN_DATA"),
]


@pytest.fixture(scope="module")
def pack():
    return pd.read_csv(FOLDER / "manifest.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize(("source", "label_of"), [("cohen", cohen.label_of), ("nih", nih.label_of)])
def test_labels_agree(pack, source, label_of):
    rows = pack[pack["source"] == source]
    assert len(rows) > 500
    assert rows["finding"].map(label_of).tolist() == rows["label"].tolist()


def test_patients_and_kinds_of_kermanys_names_agree(pack):
    rows = pack[pack["source"] == "kermany"]
    names = [kermany.name_of(image_id.removeprefix("kermany/")) for image_id in rows["image_id"]]
    assert [f"kermany:{name[0]}" for name in names if name] == rows["patient_id"].tolist()
    kinds = {"bacteria": "bacterial", "virus": "viral", "normal": "normal"}
    assert [kinds[name[1]] for name in names if name] == rows["label"].tolist()


def test_days_since_admission_agree_with_hannovers_table(pack):
    clinical = pd.read_csv(FOLDER / "clinical.csv", dtype=str, keep_default_na=False)
    rows = pack[pack["source"] == "hannover"].merge(clinical[["image_id", "admission_offset"]], on="image_id")
    assert len(rows) > 200
    assert rows["admission_offset"].map(hannover.days_since).tolist() == rows["offset_days"].tolist()
