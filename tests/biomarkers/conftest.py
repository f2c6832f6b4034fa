"""A small set of phantoms with their masks, measured once."""

from functools import partial

import pandas as pd
import pytest

from cxrscreen.biomarkers.study import run_study
from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.phantoms import write_set
from cxrscreen.evaluate.bootstrap import bootstrap_all
from cxrscreen.imaging.read import read


@pytest.fixture(scope="session")
def intervals():
    """Makes intervals by patient."""
    return partial(bootstrap_all, replicates=100)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A manifest of 14 phantoms in four classes; some images share a patient."""
    folder = tmp_path_factory.mktemp("phantoms")
    return load_manifest(write_set(folder, 14, seed=3, size=160, dicom_every=7))


@pytest.fixture(scope="session")
def study(phantoms):
    """The study of the phantoms' exact masks."""
    return run_study(phantoms, read)


@pytest.fixture
def made_rows():
    """Constructed rows: two sources of normals that differ, tuberculosis in one of them, COVID-19 in a third."""

    def row(index, label, source, value, **more):
        filled = {"image_id": f"{label}{source}{index}", "label": label, "source": source, "view": "PA"}
        numbers = {"lung_mean": value, "lung_std": value / 4, "ctr": None, "original_right": value}
        numbers |= {"original_left": value, "preprocessed_right": value / 2, "preprocessed_left": value / 2}
        return filled | numbers | {"group": f"{label}{source}{index // 2}", "heart_in_lungs": False} | more

    rows = [row(i, "normal", "a", 0.40 + i / 100) for i in range(10)]
    rows += [row(i, "normal", "b", 0.60 + i / 100) for i in range(10)]
    rows += [row(i, "tuberculosis", "b", 0.605 + i / 100) for i in range(10)]
    rows += [row(i, "covid19", "c", 0.30 + i / 100, view="AP Supine" if i < 4 else "AP") for i in range(10)]
    rows += [row(i, "covid19", "d", 0.80, heart_in_lungs=True) for i in range(4)]
    rows += [row(0, "viral", "c", 0.5)]
    return pd.DataFrame(rows)
