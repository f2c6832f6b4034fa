"""Comparison of constructed classes and sources, and the tables made of it."""

import numpy as np
import pandas as pd
import pytest

from cxrscreen.biomarkers.comparison import compare
from cxrscreen.biomarkers.statistics import holm, rank_sum
from cxrscreen.biomarkers.tables import heterogeneity, paper_tables, separations, source_tables


def test_means_and_tests_by_image_and_by_patient(made_rows, intervals):
    clean = made_rows[~made_rows["heart_in_lungs"]]
    found = compare(clean, "lung_mean", ("normal", "tuberculosis", "bacterial", "viral", "covid19"), intervals)
    groups = found.groups.set_index("class")
    assert groups["images"].to_dict() == {"normal": 20, "tuberculosis": 10, "bacterial": 0, "viral": 1, "covid19": 10}
    assert groups.at["normal", "patients"] == 10
    normal = clean.loc[clean["label"] == "normal", "lung_mean"]
    assert groups.at["normal", "mean"] == pytest.approx(normal.mean())
    assert groups.at["normal", "std"] == pytest.approx(normal.std())
    assert groups.at["normal", "mean_low"] < normal.mean() < groups.at["normal", "mean_high"]
    assert pd.isna(groups.at["bacterial", "mean"])
    # One patient has a mean, but no interval and no test.
    assert groups.at["viral", "mean"] == 0.5
    assert pd.isna(groups.at["viral", "mean_low"])
    pairs = found.pairs.set_index(["first", "second"])
    assert set(pairs.index) == {("normal", "tuberculosis"), ("normal", "covid19"), ("tuberculosis", "covid19")}
    own = pairs.loc[("normal", "covid19")]
    covid = clean.loc[clean["label"] == "covid19"]
    assert own["p_images"] == pytest.approx(rank_sum(normal, covid["lung_mean"]))
    means = [rows.groupby("group")["lung_mean"].mean() for rows in (clean[clean["label"] == "normal"], covid)]
    assert own["p_patients"] == pytest.approx(rank_sum(*means))
    assert own["p_patients"] > own["p_images"]
    assert pairs["p_holm"].tolist() == pytest.approx(holm(pairs["p_patients"].tolist()))
    assert own["superiority"] == 1.0


def test_tables_of_the_paper_with_and_without_what_is_in_doubt(made_rows, intervals):
    tables = {table.name: table for table in paper_tables(made_rows, intervals)}
    assert set(tables) == {
        "table6", "table6-all-masks", "table7", "table7-all-masks", "table8", "table8-all-masks", "table9",
    }  # fmt: skip
    images = {
        name: table.comparison.groups.set_index("class").at["covid19", "images"] for name, table in tables.items()
    }
    assert images["table6"] == images["table7"] == 10
    assert images["table6-all-masks"] == 14
    assert images["table8"] == 6
    assert images["table9"] == 0
    shown = tables["table6"].shown().set_index("Class")
    assert shown.at["COVID-19", "Paper's mean"] == "0.506"
    assert shown.at["COVID-19", "Normal"].endswith(" / ***")
    assert shown.at["COVID-19", "Bacterial"] == "n/a / n/a / ***"
    assert shown.at["Normal", "Viral"] == ""
    assert shown.at["Bacterial", "Mean"] == "-"
    assert tables["table9"].shown()["Class"].tolist()[-1] == "Nodule"


def test_sources_are_compared_within_a_class_and_classes_within_a_source(made_rows, intervals):
    tables = source_tables(made_rows, intervals)
    assert [table.name for table in tables] == [
        "sources-lung-mean", "sources-lung-std", "sources-lung-mean-with-heart", "sources-lung-std-with-heart",
    ]  # fmt: skip
    # Masks of two conventions are never compared.
    assert list(tables[2].classes.values()) == ["COVID-19, d"]
    assert not any("d" in name.split(" in ") for name in tables[0].classes)
    found = separations(tables)
    by_mean = {(item.first, item.second): item for item in found if item.marker == "lung_mean"}
    assert by_mean["Normal, b", "Normal, a"].chance == 1.0
    assert by_mean["Normal, b", "Normal, a"].same_class
    assert by_mean["Normal, b", "Normal, a"].patients == 5
    within = by_mean["Tuberculosis, b", "Normal, b"]
    assert not within.same_class
    assert 0.5 < within.chance < 0.8
    assert within.low <= within.chance <= within.high
    # Neither the class nor the source is the same: nothing can be said.
    assert not any({"COVID-19, c", "Normal, a"} == set(pair) for pair in by_mean)
    assert all(item.chance >= 0.5 for item in found)
    assert [item.chance for item in found] == sorted((item.chance for item in found), reverse=True)


def test_titles_tell_the_two_conventions_apart(made_rows, intervals):
    both = made_rows[made_rows["source"].isin(["b"])].assign(heart_in_lungs=True)
    found = separations(source_tables(pd.concat([made_rows, both]), intervals))
    titles = {item.first for item in found if item.second.startswith("Normal, b")}
    assert {"Tuberculosis, b", "Tuberculosis, b (lungs with the heart)"} <= titles


def test_spread_between_images(made_rows, intervals):
    spreads = heterogeneity(made_rows[~made_rows["heart_in_lungs"]], intervals)
    assert set(spreads) == {"normal", "tuberculosis", "covid19"}
    values = 0.30 + np.arange(10) / 100
    assert spreads["covid19"]["original"].value == pytest.approx(values.std(ddof=1))
    assert spreads["covid19"]["preprocessed"].value == pytest.approx(values.std(ddof=1) / 2)
