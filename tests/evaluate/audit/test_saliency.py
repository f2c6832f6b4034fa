"""Maps against lungs and boxes, by hand and on a system whose maps are known."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.filters import threshold_otsu

from cxrscreen.data import disease_masks
from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.audit import saliency
from cxrscreen.evaluate.audit.part import AuditData
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import SaliencyMap, Screening, Stage
from cxrscreen.systems.learned import LEARNED

SHAPE = (32, 40)
LUNGS = np.zeros(SHAPE, np.uint8)
LUNGS[6:26, 4:16], LUNGS[6:26, 24:36] = 1, 2
BOX = (6, 20, 8, 5)  # x, y, width, height


def test_measures_by_hand():
    inside = np.zeros((4, 4), bool)
    inside[:2, :2] = True
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[3, 3], values[1, 2] = 0.6, 0.6, 0.3
    assert saliency.energy_inside(values, inside) == pytest.approx(0.6 / 1.5)
    assert saliency.pointing_game(values, inside) == 0.5  # Two pixels are hottest, one is inside.
    # Otsu parts 0 from 0.3 and above: 3 hot pixels, 1 of them inside 4.
    assert saliency.otsu_overlap(values, inside) == pytest.approx(1 / 6)
    assert np.isnan(saliency.energy_inside(np.zeros((4, 4), np.float32), inside))
    even = np.ones((4, 4), np.float32)
    assert [measure(even, inside) for measure in saliency.MEASURES.values()] == [0.25, 0.25, 0.25]


@given(st.integers(0, 100))
def test_otsu_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((20, 20)) < 0.3, 0.6 + 0.4 * rng.random((20, 20)), 0.3 * rng.random((20, 20)))
    values = (values / values.max()).astype(np.float32)
    grey = np.round(255 * values).astype(np.uint8)
    inside = rng.random((20, 20)) < 0.5
    hot = grey > threshold_otsu(grey)
    assert saliency.otsu_overlap(values, inside) == pytest.approx((hot & inside).sum() / (hot | inside).sum())


def test_a_box_covers_the_pixels_whose_centre_it_holds():
    boxes = pd.DataFrame(
        [("a", "", 1.0, 0.0, 2.0, 1.0), ("a", "", 0.4, 2.6, 1.0, 5.0)], columns=disease_masks.BOX_COLUMNS
    )
    assert disease_masks.box_mask(boxes, (4, 4)).astype(int).tolist() == [
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,finding,x,y,width\na,b,1,1,1\n", "lacks the column.* height"),
        ("image_id,finding,x,y,width,height\na,b,1,1,1,2\na,b,1,1,0,2\n", "data row 2"),
        ("image_id,finding,x,y,width,height\na,b,-1,1,1,2\n", "data row 1"),
        ("image_id,finding,x,y,width,height\na,b,wide,1,1,2\n", "data row 1"),
        ("", "not a readable CSV"),
    ],
)
def test_boxes_that_are_none_get_one_sentence(tmp_path, text, message):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        disease_masks.load_boxes(tmp_path / "boxes.csv")


class Mapped:
    """One map: on the disease, or wherever it is told to look."""

    bundle_id = "mapped@1"

    def __init__(self, hot):
        self.values = hot.astype(np.float32)

    def screen(self, radiograph, *, force=False, explain=True):
        assert force
        item = SaliencyMap("h2", "H2", self.values, 1.0)
        stage = Stage("pneumonia", "Pneumonia", 0.7, 0.5, "youden")
        return Screening((stage,), "normal", 0.7, LUNGS, 0.4, (item,), "good", (), self.bundle_id)


def audit_data(root, system, n=24):
    ids = [f"x{i:02d}" for i in range(n)]
    (root / "mask.png").parent.mkdir(exist_ok=True)
    Image.fromarray(LUNGS).save(root / "mask.png")
    table = pd.DataFrame({"image_id": ids, "path": ids, "source": "s", "label": "pneumonia"})
    table["lung_mask"] = ["mask.png"] * 5 + [""] * (n - 5)
    table["lung_mask_origin"] = ["human"] * 5 + [""] * (n - 5)
    rows = [(image_id, "Pneumonia", *BOX) for image_id in ids[:12]] + [(ids[0], "Mass", 25, 8, 2, 2)]
    pd.DataFrame(rows, columns=disease_masks.BOX_COLUMNS).to_csv(root / "boxes.csv", index=False)
    split = SimpleNamespace(truth=dict.fromkeys(ids, 1), train=tuple(ids[:9]))
    return AuditData(
        system,
        SimpleNamespace(card=SimpleNamespace(system="cascade"), file=root.joinpath),
        check_manifest(table, root),
        {"stage2": split},
        {("stage2", "test"): tuple(ids[9:])},
        read,
        0,
        200,
        lambda text: None,
    )


def read(path):
    return Radiograph(np.full(SHAPE, 0.5, np.float32), Provenance(path, "PNG"))


def on_box():
    hot = np.zeros(SHAPE)
    x, y, width, height = BOX
    hot[y : y + height, x : x + width] = 1
    return hot


def test_a_map_on_the_disease_passes_beside_maps_that_know_nothing(tmp_path):
    part = saliency.audit_saliency(audit_data(tmp_path, Mapped(on_box())))
    assert part.passed is True
    lungs, boxes, excess = part.tables
    shares = {(row[0], row[1]): row for row in lungs.rows}
    assert shares[saliency.OWN_LUNGS, "h2"][2] == 15
    assert shares[saliency.OWN_LUNGS, "h2"][3].value == pytest.approx(1.0)
    assert shares[saliency.OWN_LUNGS, saliency.EVEN][3].value == pytest.approx((LUNGS > 0).mean())
    assert shares[saliency.OWN_LUNGS, saliency.LUNGS][3].value == pytest.approx(1.0)
    assert (saliency.HUMAN_LUNGS, "h2") not in shares  # The masks are of images that were trained on.
    rows = {(row[0], row[1]): row for row in boxes.rows}
    assert rows[saliency.ALL_BOXED, "h2"][2] == 12
    assert rows[saliency.UNSEEN_BOXED, "h2"][2] == 3
    assert [rows[saliency.UNSEEN_BOXED, "h2"][i].value for i in (3, 4, 5)] == pytest.approx([1.0, 1.0, 1.0])
    # The lung mask as a map: 40 of its 480 pixels are in the box (44 where there is a second one).
    assert rows[saliency.UNSEEN_BOXED, saliency.LUNGS][5].value == pytest.approx(40 / 480)
    assert rows[saliency.ALL_BOXED, saliency.LUNGS][5].value == pytest.approx((11 * 40 + 44) / 12 / 480)
    assert excess.rows[0][2].value == pytest.approx(1 - (11 * 40 + 44) / 12 / 480)
    assert len(part.figures) == 2


def test_a_map_beside_the_disease_or_outside_the_lungs_fails(tmp_path):
    beside = np.zeros(SHAPE)
    beside[7:10, 26:30] = 1
    part = saliency.audit_saliency(audit_data(tmp_path, Mapped(beside)))
    assert part.passed is False
    outside = on_box() + 0.2 * (LUNGS == 0)
    part = saliency.audit_saliency(audit_data(tmp_path, Mapped(outside)))
    assert part.passed is False
    assert part.tables[0].rows[0][3].value < saliency.IN_LUNGS


@pytest.mark.parametrize(("train", "left"), [(range(11), 1), (range(1), 11), (range(12), 0)])
def test_boxes_that_taught_a_system_its_regions_are_not_measured(tmp_path, train, left):
    data = audit_data(tmp_path, Mapped(on_box()))
    parts = {"train": [f"x{i:02d}" for i in train], "validation": [], "test": []}
    (tmp_path / LEARNED).write_bytes(gzip.compress(json.dumps(parts).encode()))
    part = saliency.audit_saliency(data)
    counts = {row[2] for table in part.tables for row in table.rows if row[:2] == (saliency.ALL_BOXED, "h2")}
    assert counts == ({left} if left else set())
    assert ("the place of the disease was not judged" in part.finding) == (left < saliency.FEWEST)


def test_without_boxes_the_place_of_the_disease_is_not_judged(tmp_path):
    data = audit_data(tmp_path, Mapped(on_box()))
    (tmp_path / "boxes.csv").unlink()
    part = saliency.audit_saliency(data)
    assert part.passed is True
    assert "was not judged" in part.finding
    assert len(part.tables) == len(part.figures) == 1


def test_human_masks_are_used_where_the_manifest_has_them(tmp_path):
    data = audit_data(tmp_path, Mapped(np.ones(SHAPE)))
    ids = tuple(data.manifest.table.index)
    data.chosen["stage2", "test"] = ids
    rows = {(row[0], row[1]): row for row in saliency.audit_saliency(data).tables[0].rows}
    assert rows[saliency.HUMAN_LUNGS, "h2"][2] == 5
    assert rows[saliency.HUMAN_LUNGS, "h2"][3].value == pytest.approx((LUNGS > 0).mean())


def test_a_box_outside_its_image_is_refused(tmp_path):
    data = audit_data(tmp_path, Mapped(on_box()))
    pd.DataFrame([("x00", "Mass", 900, 900, 5, 5)], columns=disease_masks.BOX_COLUMNS).to_csv(tmp_path / "boxes.csv")
    with pytest.raises(ManifestError, match="outside its image, of x00"):
        saliency.audit_saliency(data)


class Patchy:
    """Looks at a part of each image, with two maps of which another one comes first each time, and says where."""

    bundle_id = "patchy@1"

    def __init__(self, looked_at):
        self.looked_at, self.turn = looked_at, 0

    def screen(self, radiograph, *, force=False, explain=True):
        self.turn += 1
        names = ("viral", "normal") if self.turn % 2 else ("normal", "viral")
        # Values where nobody looked mean nothing: these would count against the map.
        values = np.where(self.looked_at, on_box(), 0.7).astype(np.float32)
        maps = [SaliencyMap(name, name, values, 1.0, "saliency", self.looked_at) for name in names]
        coverage = SaliencyMap("looked-at", "Looked at", self.looked_at.astype(np.float32), 1.0, "coverage")
        stage = Stage("pneumonia", "Pneumonia", 0.7, 0.5, "youden")
        return Screening((stage,), "viral", 0.7, LUNGS, 0.4, (*maps, coverage), "good", (), self.bundle_id)


def test_what_was_not_looked_at_counts_for_no_map_and_coverage_is_no_explanation(tmp_path):
    looked_at = np.zeros(SHAPE, bool)
    looked_at[:24, :16] = True
    part = saliency.audit_saliency(audit_data(tmp_path, Patchy(looked_at)))
    assert part.passed is True
    lungs, boxes, excess, coverage = part.tables
    shares = {(row[0], row[1]): row[3] for row in lungs.rows}
    inside = (LUNGS > 0) & looked_at
    assert shares[saliency.OWN_LUNGS, "viral"].value == shares[saliency.OWN_LUNGS, "normal"].value == 1
    for known in (saliency.EVEN, "chance: looked-at"):
        assert shares[saliency.OWN_LUNGS, known].value == pytest.approx(inside.sum() / looked_at.sum())
    # Four of the box's five rows were looked at, and nothing of the second box.
    rows = {(row[0], row[1]): row for row in boxes.rows}
    assert rows[saliency.ALL_BOXED, "viral"][5].value == pytest.approx(1)
    assert rows[saliency.ALL_BOXED, saliency.LUNGS][5].value == pytest.approx(32 / inside.sum())
    assert excess.rows[0][1:] == (12, excess.rows[0][2])
    assert excess.rows[0][2].value == pytest.approx(1 - 32 / inside.sum())
    shown = {row[0]: row[2].value for row in coverage.rows}
    assert shown[saliency.OWN_LUNGS] == pytest.approx(inside.sum() / (LUNGS > 0).sum())
    assert shown[saliency.ALL_BOXED] == pytest.approx((11 * 32 / 40 + 32 / 44) / 12)


def test_boxes_that_nobody_looked_at_say_nothing(tmp_path):
    looked_at = np.zeros(SHAPE, bool)
    looked_at[:24, 24:] = True
    part = saliency.audit_saliency(audit_data(tmp_path, Patchy(looked_at)))
    rows = {(row[0], row[1]): row for row in part.tables[1].rows}
    # Of twelve images one has a box there.
    assert {row[2] for row in rows.values()} == {1}
    assert "was not judged" in part.finding
