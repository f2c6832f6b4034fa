"""Which mask of a manifest is taken."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrscreen.biomarkers.references import OrganMask, reference_mask, resized
from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError


@pytest.fixture
def make(tmp_path):
    def write(name, values):
        Image.fromarray(np.asarray(values, np.uint8)).save(tmp_path / name)

    def manifest(**columns):
        lungs = np.zeros((8, 10), np.uint8)
        lungs[2:6, 1:4], lungs[2:6, 6:9] = 1, 2
        write("first.png", lungs)
        lungs[2] = 0
        write("second.png", lungs)
        lungs[3:5, 4:7] = 3
        write("heart.png", lungs)
        write("small.png", np.full((4, 5), 3))
        row = {"image_id": "x", "path": "x.png", "source": "jsrt", "label": "normal", **columns}
        return check_manifest(pd.DataFrame([row]), tmp_path)

    return manifest


def test_without_a_mask_there_is_none(make):
    assert reference_mask(make(), "x") is None
    assert reference_mask(make(lung_mask="first.png", lung_mask_sides="false"), "x") is None


def test_the_first_is_taken_where_both_leave_the_heart_out(make):
    both = {"lung_mask": "first.png", "lung_mask_origin": "human"}
    both |= {"lung_mask_2": "second.png", "lung_mask_2_origin": "landmarks"}
    mask = reference_mask(make(**both), "x")
    assert (mask.origin, mask.heart_in_lungs, mask.heart) == ("human", False, None)
    assert (mask.values > 0).sum() == 24


def test_lungs_without_the_heart_come_before_lungs_with_it(make):
    polygon = {"source": "cohen", "lung_mask": "first.png", "lung_mask_origin": "human"}
    mask = reference_mask(make(**polygon), "x")
    assert (mask.origin, mask.heart_in_lungs) == ("human", True)
    second = {"lung_mask_2": "second.png", "lung_mask_2_origin": "automatic"}
    mask = reference_mask(make(**polygon, **second), "x")
    assert (mask.origin, mask.heart_in_lungs) == ("automatic", False)
    assert (mask.values > 0).sum() == 18


def test_the_heart_comes_from_its_own_file(make):
    mask = reference_mask(make(lung_mask="first.png", lung_mask_origin="human", heart_mask="heart.png"), "x")
    assert mask.heart.sum() == 6
    # One column of the heart lies behind the lung of the other mask, whose pixels stay lung.
    assert (mask.values == 3).sum() == 4
    lungs = reference_mask(make(lung_mask="heart.png", lung_mask_origin="landmarks"), "x")
    assert lungs.heart is None
    assert lungs.values.max() == 2


def test_a_heart_of_another_size_is_one_sentence(make):
    with pytest.raises(ManifestError, match="heart mask small.png has another size"):
        reference_mask(make(lung_mask="first.png", heart_mask="small.png"), "x")


def test_another_size():
    values = np.array([[0, 1], [2, 3]], np.uint8)
    larger = resized(OrganMask(values, values == 3, "human", False), (4, 6))
    assert larger.values.shape == larger.heart.shape == (4, 6)
    assert np.bincount(larger.values.ravel()).tolist() == [6, 6, 6, 6]
    assert ((larger.values == 3) == larger.heart).all()
