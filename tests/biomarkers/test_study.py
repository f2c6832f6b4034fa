"""A study over phantoms: who is measured, what does not depend on what, and what becomes of bad files."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from cxrscreen.biomarkers.analysis import analyse
from cxrscreen.biomarkers.measure import BINS, MARKERS
from cxrscreen.biomarkers.references import OrganMask, reference_mask
from cxrscreen.biomarkers.report import markdown
from cxrscreen.biomarkers.study import COLUMNS, chosen_rows, run_study
from cxrscreen.biomarkers.under_segmentation import without_part
from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import grouped_rate
from cxrscreen.imaging.read import read


def changed(manifest, **columns):
    table = manifest.table.drop(columns="group").reset_index(drop=True)
    for column, change in columns.items():
        table[column] = change(table[column]) if callable(change) else change
    return check_manifest(table, manifest.root)


def test_every_phantom_is_measured(phantoms, study):
    assert tuple(study.rows.columns) == COLUMNS
    assert len(study.rows) == 14
    assert study.failures.empty
    assert study.rows[list(MARKERS)].notna().all(axis=None)
    assert study.rows["lung_mean"].between(0, 1).all()
    assert study.rows["ctr"].between(0.3, 0.7).all()
    assert (study.rows["ctr_one_row"] <= study.rows["ctr"]).all()
    assert (study.rows["ctr"] == study.rows["ctr_reference"]).all()
    assert not study.rows["predicted"].any()
    # Lungs are the dark part of a chest, also after the preprocessing.
    assert (study.rows["preprocessed_right"] < study.rows["preprocessed_heart"]).all()
    assert len(study.patches) == 14 * 100
    for histogram in study.histograms.values():
        assert histogram.shape == (BINS,)
        assert histogram.sum() == pytest.approx(1.0)
    assert study.example is not None
    assert study.example.truth is None


def test_an_images_figures_do_not_depend_on_the_others(phantoms, study):
    few = run_study(phantoms, read, limit=1)
    assert 4 <= len(few.rows) < 14
    whole = study.rows[study.rows["image_id"].isin(few.rows["image_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(few.rows, whole)


def test_who_is_left_out(phantoms):
    first, second, third, fourth, *_ = phantoms.table["image_id"]
    table = phantoms.table.copy()
    table.loc[first, "label"] = "fungal"
    table.loc[second, "duplicate_of"] = third
    table.loc[third, "view"] = "L"
    table.loc[fourth, "pediatric"] = "true"
    kept, left_out = chosen_rows(table)
    assert len(kept) == 10
    assert list(left_out.values()) == [1, 1, 1, 1]


def test_predicted_masks_fill_gaps_or_stand_everywhere(phantoms):
    asked = []

    def predict(radiograph):
        asked.append(radiograph.provenance.path.name)
        reference = reference_mask(phantoms, next(i for i in phantoms.table.index if i in _id(radiograph)))
        return OrganMask(np.where(reference.values == 3, 0, reference.values), None, "net@1", False)

    def _id(radiograph):
        return f"phantom/{radiograph.provenance.path.stem}"

    gaps = changed(phantoms, lung_mask=lambda column: ["" if i < 3 else name for i, name in enumerate(column)])
    filled = run_study(gaps, read, predict=predict)
    assert len(asked) == 3
    assert filled.rows["predicted"].sum() == 3
    # Nothing to compare a predicted mask with, and nothing else is compared with itself.
    assert filled.rows["missed_share"].isna().all()
    assert set(filled.rows["mask_origin"]) == {"exact", "net@1"}
    asked.clear()
    everywhere = run_study(phantoms, read, predict=predict, everywhere=True, limit=1)
    assert len(asked) == len(everywhere.rows)
    assert everywhere.rows["predicted"].all()
    assert (everywhere.rows["missed_share"] == 0).all()
    assert set(everywhere.rows["reference_origin"]) == {"exact"}
    # Right lungs and the reference's heart give the reference's ratio.
    assert (everywhere.rows["heart_origin"] == "reference").all()
    assert (everywhere.rows["ctr"] == everywhere.rows["ctr_reference"]).all()
    assert everywhere.example.truth is not None
    assert everywhere.effects.empty


def test_a_heart_that_was_not_found_is_not_replaced_by_the_references(phantoms, intervals):
    def predict(radiograph):
        reference = reference_mask(phantoms, f"phantom/{radiograph.provenance.path.stem}")
        found = np.where(reference.values == 3, 0, reference.values)
        hearts = reference.heart if radiograph.pixels.mean() > darkest else np.zeros_like(reference.heart)
        return OrganMask(found, hearts, "net@1", False)

    means = {i: read(phantoms.image_file(i)).pixels.mean() for i in phantoms.table.index}
    darkest = min(means.values())
    study = run_study(phantoms, read, predict=predict, everywhere=True)
    lost = study.rows[study.rows["ctr"].isna()]
    assert lost["image_id"].tolist() == [min(means, key=means.get)]
    assert lost["ctr_reference"].notna().all()
    assert set(study.rows["heart_origin"]) == {"", "net@1"}
    found = analyse(study, phantoms, intervals, grouped_rate)
    assert (found.agreement.n, found.agreement.without_prediction) == (13, 1)
    assert not found.heart_of_reference
    # What taught the network that predicts is not compared with it.
    taught = study.rows["image_id"].iloc[:5].tolist()
    fewer = analyse(study, phantoms, intervals, grouped_rate, taught)
    assert fewer.taught == 5
    assert fewer.agreement.n + fewer.agreement.without_prediction == 9
    assert sum(item.images for item in fewer.missed) == 9
    assert "5 images with both masks are compared nowhere" in markdown(study, fewer, "x")
    assert analyse(study, phantoms, intervals, grouped_rate, study.rows["image_id"].tolist()).agreement is None


def test_lungs_that_a_predicted_mask_leaves_out_are_measured_against_the_reference(phantoms):
    two = check_manifest(phantoms.table.drop(columns="group").reset_index(drop=True).head(2), phantoms.root)

    def predict(radiograph, heart_in_lungs=False):
        reference = reference_mask(phantoms, f"phantom/{radiograph.provenance.path.stem}")
        return OrganMask(without_part(reference.values, 1, "base", 1.0), None, "net@1", heart_in_lungs)

    rows = run_study(two, read, predict=predict, everywhere=True).rows
    for row in rows.to_dict("records"):
        truth = reference_mask(phantoms, row["image_id"]).values
        assert row["missed_share"] == pytest.approx((truth == 1).sum() / np.isin(truth, (1, 2)).sum())
    # Lungs with the heart and lungs without it are not compared.
    other = run_study(two, read, predict=partial(predict, heart_in_lungs=True), everywhere=True).rows
    assert other["missed_share"].isna().all()


def test_a_bad_file_is_a_failure_and_all_bad_files_are_an_error(phantoms):
    first = phantoms.table["lung_mask"].iloc[0]
    broken = changed(phantoms, lung_mask=lambda column: column.replace(first, "gone.png"))
    whole = run_study(broken, read)
    assert len(whole.rows) == 13
    assert whole.failures["reason"].tolist() == [
        "The lung mask gone.png cannot be read: check the manifest's lung_mask column."
    ]
    with pytest.raises(ManifestError, match="None of 14 image"):
        run_study(changed(phantoms, lung_mask="gone.png"), read)
    with pytest.raises(ManifestError, match="fill that column, or give a bundle"):
        run_study(changed(phantoms, lung_mask=""), read)
    with pytest.raises(ManifestError, match="no adult frontal radiograph"):
        run_study(changed(phantoms, pediatric="true"), read)
