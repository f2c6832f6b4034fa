"""Biomarkers of real radiographs: the cardiothoracic ratio of JSRT, and symmetry of lungs drawn by people."""

import numpy as np
import pytest

from cxrscreen.biomarkers.cardiothoracic import cardiothoracic_ratio
from cxrscreen.biomarkers.morphology import lung_shape
from cxrscreen.biomarkers.references import reference_mask
from cxrscreen.biomarkers.study import run_study
from cxrscreen.biomarkers.under_segmentation import SYMMETRY, fit_symmetry
from cxrscreen.data.protocols import make_split
from cxrscreen.imaging.read import read

pytestmark = pytest.mark.realdata


def test_the_ratio_of_jsrt_is_that_of_adults(pack):
    masks = [reference_mask(pack, str(image_id)) for image_id in pack.table.index[pack.table["source"] == "jsrt"]]
    measured = [cardiothoracic_ratio(mask.values, mask.heart) for mask in masks]
    ratios = np.array([each.ratio for each in measured if each is not None])
    assert len(ratios) == 194
    assert ratios.mean() == pytest.approx(0.474, abs=0.002)
    assert ((ratios > 0.3) & (ratios < 0.7)).all()
    assert all(each.heart_row.length <= each.ratio * each.thorax.length for each in measured if each is not None)


def test_the_shipped_symmetry_is_that_of_the_training_masks(pack):
    areas = []
    for image_id in make_split("lungs", pack).train:
        if pack.table.at[image_id, "label"] != "normal" or pack.table.at[image_id, "source"] in ("kermany", "cohen"):
            continue
        shape = lung_shape(reference_mask(pack, image_id).values)
        areas.append((shape.right_area, shape.left_area))
    fitted = fit_symmetry(areas)
    assert fitted.log_ratio == pytest.approx(SYMMETRY.log_ratio, abs=0.005)
    assert fitted.threshold == pytest.approx(SYMMETRY.threshold, abs=0.01)


def test_a_few_images_of_every_class_are_measured(pack):
    study = run_study(pack, read, limit=2)
    assert study.failures.empty
    assert set(study.rows["label"]) == {"normal", "tuberculosis", "bacterial", "viral", "covid19", "nodule"}
    assert study.rows["lung_mean"].between(0.3, 0.8).all()
    assert study.rows.loc[study.rows["source"] == "jsrt", "ctr"].notna().all()
