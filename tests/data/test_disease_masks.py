import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrscreen.data.disease_masks import BOX_COLUMNS, box_mask, disease_masks, load_boxes
from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError


def manifest(root, **columns):
    rows = {"image_id": ["a", "b", "c"], "path": "x", "source": "s", "label": "covid19", **columns}
    return check_manifest(pd.DataFrame(rows), root)


def test_boxes_and_masks_stand_for_one_region(tmp_path):
    boxes = [("a", "", 0, 0, 1, 1), ("a", "", 3, 2, 1, 2), ("b", "", 0, 0, 4, 4), ("elsewhere", "", 0, 0, 1, 1)]
    pd.DataFrame(boxes, columns=BOX_COLUMNS).to_csv(tmp_path / "boxes.csv", index=False)
    Image.fromarray(np.diag([0, 5, 255, 0]).astype(np.uint8)).save(tmp_path / "b.png")
    found = disease_masks(manifest(tmp_path, disease_mask=["", "b.png", ""]))
    assert found.image_ids == {"a", "b"}
    assert np.argwhere(found.mask("a", (4, 4))).tolist() == [[0, 0], [2, 3], [3, 3]]
    # A drawn mask is closer to the truth than a box.
    assert np.argwhere(found.mask("b", (4, 4))).tolist() == [[1, 1], [2, 2]]
    with pytest.raises(ManifestError, match=r"b.png is \(4, 4\) pixels and the image \(5, 4\)"):
        found.mask("b", (5, 4))


def test_a_manifest_without_regions_has_none(tmp_path):
    assert disease_masks(manifest(tmp_path)).image_ids == frozenset()


def test_a_mask_that_is_not_there_is_a_sentence(tmp_path):
    found = disease_masks(manifest(tmp_path, disease_mask=["gone.png", "", ""]))
    with pytest.raises(ManifestError, match="gone.png cannot be read: check the manifest's disease_mask column"):
        found.mask("a", (4, 4))


def test_a_pixel_is_inside_where_its_centre_is():
    boxes = pd.DataFrame([("a", "", 0.4, 0.6, 1.0, 1.0)], columns=BOX_COLUMNS)
    assert np.argwhere(box_mask(boxes, (3, 3))).tolist() == [[1, 0]]


def test_a_table_that_holds_no_box_is_a_sentence(tmp_path):
    pd.DataFrame([("a", "", 1, 1, 0, 3)], columns=BOX_COLUMNS).to_csv(tmp_path / "boxes.csv", index=False)
    with pytest.raises(ManifestError, match="no box in data row 1"):
        load_boxes(tmp_path / "boxes.csv")
