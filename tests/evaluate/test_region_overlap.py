import pandas as pd
import pytest

from cxrscreen.evaluate.region_overlap import region_figures


def test_everything_called_disease_is_found_out_by_the_precision():
    rows = [("a", 10, 90, 0), ("b", 30, 70, 0), ("healthy", 0, 100, 0)]
    names = ["image_id", "true_positive", "false_positive", "false_negative"]
    table = pd.DataFrame(rows, columns=names).assign(source="s")
    table["group"] = table["image_id"]
    found = region_figures(table, replicates=50)
    assert found.images == 2
    values = {name: estimate.value for name, estimate in found.estimates.items()}
    assert values["sensitivity"] == values["pixel_sensitivity"] == 1
    assert values["precision"] == values["pixel_precision"] == values["iou"] == pytest.approx(0.2)


def test_pixels_and_images_weigh_differently_and_nothing_found_has_no_precision():
    names = ["image_id", "true_positive", "false_positive", "false_negative"]
    table = pd.DataFrame([("a", 90, 0, 10), ("b", 0, 0, 10)], columns=names).assign(source="s")
    table["group"] = table["image_id"]
    values = {name: each.value for name, each in region_figures(table, replicates=50).estimates.items()}
    assert values["sensitivity"] == pytest.approx(0.45)
    assert values["pixel_sensitivity"] == pytest.approx(90 / 110)
    assert values["precision"] == 0.5
    assert values["pixel_precision"] == 1
    assert region_figures(table[table["image_id"] == "none"]).estimates == {}
