"""What a missing quarter does, on phantoms and on constructed areas."""

import numpy as np
import pandas as pd
import pytest

from cxrscreen.biomarkers.missing_quarter import EFFECT_COLUMNS, detect, missed_quarters, summarise_effects
from cxrscreen.biomarkers.under_segmentation import PLACES, SYMMETRY, missing_share
from cxrscreen.evaluate.bootstrap import grouped_rate


def test_a_missing_quarter_makes_lungs_smaller_and_lopsided(study, intervals):
    normals = (study.rows["label"] == "normal").sum()
    assert tuple(study.effects.columns) == EFFECT_COLUMNS
    assert len(study.effects) == normals * 2 * len(PLACES)
    areas = study.rows.set_index("image_id").loc[study.effects["image_id"], "lung_area"].to_numpy()
    share = -study.effects["lung_area"].to_numpy() / areas
    np.testing.assert_allclose(share[0::8] + share[4::8], 0.25, atol=0.002)
    right = study.effects[study.effects["lung"] == "right"]
    assert (right["left_to_right"] > 0).all()
    found = {(item.marker, item.place): item for item in summarise_effects(study.effects, study.rows, intervals)}
    assert found["lung_area", "base"].change.value == pytest.approx(
        study.effects.loc[study.effects["place"] == "base", "lung_area"].mean()
    )
    assert found["missing_share", "apex"].change.value > 0.1
    # The lower quarter leaves the ribs at their widest, the lateral one does not.
    assert found["ctr", "lateral"].change.value > 0


def rows(count, rng, **columns):
    right = rng.uniform(0.9, 1.1, count) * 0.14
    left = right * 0.86 * np.exp(rng.normal(0, 0.03, count))
    filled = {"lung_area": right + left, "left_to_right": left / right, "label": "normal", "mask_origin": "human"}
    names = [f"{columns.get('label', 'normal')}{i}" for i in range(count)]
    filled["missing_share"] = [missing_share(*areas, SYMMETRY) for areas in zip(right, left, strict=True)]
    table = pd.DataFrame({**filled, "heart_in_lungs": False, "image_id": names, "group": names})
    return table.assign(**columns)


def test_detection_is_measured_on_images_that_were_not_fitted_on():
    rng = np.random.default_rng(1)
    normal, ill = rows(90, rng), rows(20, rng, label="covid19", mask_origin="automatic")
    ill.loc[:4, "left_to_right"] *= 0.6
    table = pd.concat([normal, ill], ignore_index=True)
    names = normal["image_id"].tolist()
    found = detect(table, names[:40], names[40:60], grouped_rate)
    assert (found.fitted_on, found.images) == (40, 30)
    assert found.symmetry.log_ratio == pytest.approx(np.log(0.86), abs=0.02)
    assert found.found.value > 0.95
    assert found.false_alarms.value < 0.1
    # A share of 0 or 1 is not known to be exactly that.
    assert found.false_alarms.ci_high > found.false_alarms.value
    assert found.flagged["covid19"].value == 0.25
    # Lungs that reach behind the heart are not judged by the symmetry of those that do not.
    assert "covid19" not in detect(pd.concat([normal, ill.assign(heart_in_lungs=True)]), (), (), grouped_rate).flagged
    shipped = detect(table, names[:5], (), grouped_rate)
    assert (shipped.symmetry, shipped.fitted_on, shipped.images) == (SYMMETRY, 0, 85)
    none = detect(ill, (), (), grouped_rate)
    assert none.found is none.false_alarms is None


def test_a_wholly_missing_lung_is_flagged_and_a_mask_without_lungs_is_counted_apart():
    rng = np.random.default_rng(2)
    ill = rows(10, rng, label="bacterial", mask_origin="automatic")
    # One lung alone has no ratio.
    ill.loc[:4, ["left_to_right", "missing_share"]] = [np.nan, 1.0]
    bare = rows(3, rng, label="bacterial", lung_area=0.0, left_to_right=np.nan, missing_share=np.nan)
    with_heart = rows(2, rng, label="viral", heart_in_lungs=True, missing_share=np.nan)
    found = detect(pd.concat([ill, bare, with_heart], ignore_index=True), (), (), grouped_rate)
    assert (found.flagged["bacterial"].value, found.flagged["bacterial"].n) == (0.5, 10)
    assert found.without_lungs == {"bacterial": 3}
    assert set(found.flagged) == {"bacterial"}
    none = detect(bare, (), (), grouped_rate)
    assert (none.flagged, none.without_lungs) == ({}, {"bacterial": 3})


def test_pairs_are_flagged_by_the_fitted_symmetry_and_not_by_the_one_of_the_measurements():
    rng = np.random.default_rng(3)
    # Here a left lung is two thirds of a complete one elsewhere, which the column takes for a part that is missing.
    table = pd.concat([rows(30, rng), rows(10, rng, label="viral", mask_origin="automatic")], ignore_index=True)
    table["left_to_right"] *= 2 / 3
    table["missing_share"] = [missing_share(1.0, ratio, SYMMETRY) for ratio in table["left_to_right"]]
    table.loc[30, ["left_to_right", "missing_share"]] = [np.nan, 1.0]
    names = table["image_id"].tolist()
    assert detect(table, (), (), grouped_rate).flagged["viral"].value == 1
    fitted = detect(table, names[:25], (), grouped_rate)
    assert fitted.fitted_on == 25
    assert fitted.flagged["viral"].value == 0.1


def test_predicted_lungs_that_lack_a_quarter_are_counted_by_class_and_reference():
    table = pd.DataFrame(
        {
            "label": ["bacterial"] * 3 + ["normal"] * 3,
            "reference_origin": ["automatic"] * 3 + ["human"] * 2 + ["automatic"],
            "missed_share": [0.25, 0.249, 0.6, 0.0, 0.1, np.nan],
            "group": list("aabcde"),
        }
    )
    ill, normal = missed_quarters(table, grouped_rate)
    assert (ill.label, ill.reference, ill.images, ill.lost) == ("bacterial", "automatic", 3, 2)
    assert ill.share.value == pytest.approx(2 / 3)
    assert (normal.label, normal.reference, normal.images, normal.lost) == ("normal", "human", 2, 0)
    assert normal.share.ci_high > 0
    assert missed_quarters(table.assign(missed_share=np.nan), grouped_rate) == ()
