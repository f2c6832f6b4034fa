import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.train.record_content import bundle_tags, figures_of, fit_name, settings_of, verdicts_of


def test_a_recipe_is_flattened_and_lists_of_values_stay_one_setting():
    recipe = {"seed": 0, "stage2": {"phases": [{"epochs": 3}, {"epochs": 5}], "rates": [1, 2]}, "weights": None}
    assert settings_of(recipe) == {
        "seed": "0",
        "stage2.phases.0.epochs": "3",
        "stage2.phases.1.epochs": "5",
        "stage2.rates": "[1, 2]",
        "weights": "None",
    }


def test_figures_come_with_their_intervals_and_nothing_that_names_an_image_comes_along():
    results = {
        "pooled": {"auc": {"value": 0.9, "ci_low": 0.8, "ci_high": 0.95, "n": 40}},
        "undefined": {"value": None, "ci_low": None, "ci_high": None},
        "failures": [{"image_id": "patient-7", "value": 1.0, "ci_low": 0.0}],
        "images": 40,
        "note": "patient-7 was hard",
    }
    figures = figures_of(results, "stage2/")
    assert figures == {"stage2/pooled/auc": 0.9, "stage2/pooled/auc/low": 0.8, "stage2/pooled/auc/high": 0.95}


def test_verdicts_of_an_audit():
    audit = {
        "audits": [
            {"name": "black-lungs", "passed": True, "finding": "AUC 0.51"},
            {"name": "borders", "passed": False, "finding": "AUC 0.93"},
            {"name": "subgroups", "passed": None, "finding": "nothing to tell"},
        ]
    }
    passed, findings = verdicts_of(audit)
    assert passed == {"audit/black-lungs": 1.0, "audit/borders": 0.0}
    assert findings["audit.subgroups"] == "nothing to tell"


@pytest.mark.parametrize("told", [{"stopped": True}, {}])
def test_the_reason_why_an_audit_stopped_may_name_an_image_and_is_left_out(told):
    finding = "Could not be run: The file /archive/patient-7/chest.png is damaged: replace it."
    _, findings = verdicts_of({"audits": [{"name": "borders", "passed": None, "finding": finding, **told}]})
    assert findings == {"audit.borders": "Could not be run."}


def test_a_bundle_is_named_by_its_files(tmp_path):
    tags = bundle_tags("cascade@1.0.0", tmp_path, {"a": "00", "b": "11"})
    assert tags == bundle_tags("cascade@1.0.0", tmp_path, {"b": "11", "a": "00"})
    assert tags["bundle.sha256"] != bundle_tags("cascade@1.0.0", tmp_path, {"a": "00", "b": "12"})["bundle.sha256"]


@given(st.text(max_size=300))
def test_any_name_becomes_one_that_a_store_takes(name):
    fitted = fit_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_\-. :/]{1,200}", fitted)
    assert not fitted.startswith(("/", ".")) and ".." not in fitted and "//" not in fitted  # noqa: PT018
    assert fit_name(fitted) == fitted
