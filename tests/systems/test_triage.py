"""The triage policy: what each system's results come to, what counts as uncertain, and its mistakes in one sentence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.systems.contract import Concern, Screening, Stage, Verdict
from cxrscreen.systems.triage import (
    Rule,
    TriageError,
    TriagePolicy,
    default_policy,
    load_policy,
    parse_policy,
    suggest,
)

GOOD = "name: own\nrules:\n  - {suggestion: routine, findings: [normal]}\n"


def screening(finding, probabilities, *, quality="good", verdict=None, threshold=0.5):
    return Screening(
        stages=tuple(Stage(name, name, value, threshold, "youden") for name, value in probabilities.items()),
        finding=finding,
        triage_score=None if finding is None else 0.5,
        lung_mask=np.zeros((4, 4), np.uint8),
        lung_area_fraction=0.0,
        saliency=(),
        quality=quality,
        warnings=(),
        bundle="x@1",
        verdict=verdict or Verdict("standard"),
    )


def votes(bacterial=0.05, tuberculosis=0.05, viral=0.05):
    classes = {"bacterial": bacterial, "tuberculosis": tuberculosis, "viral": viral}
    return {"pneumonia": min(1.0, sum(classes.values())), **classes}


@pytest.mark.parametrize(
    ("finding", "probabilities", "action"),
    [
        # The cascade.
        ("normal", {"pneumonia": 0.1, "covid19": None}, "routine"),
        ("covid19", {"pneumonia": 0.9, "covid19": 0.8}, "pcr_or_ct_first"),
        ("other_pneumonia", {"pneumonia": 0.9, "covid19": 0.2}, "cannot_say"),
        # Patch voting, which gives each class a probability.
        ("normal", votes(), "routine"),
        ("other_pneumonia", votes(bacterial=0.8), "treat_as_bacterial"),
        ("other_pneumonia", votes(tuberculosis=0.8), "tb_work_up"),
        ("covid19", votes(viral=0.8), "pcr_or_ct_first"),
        # The votes and the mean probabilities contradict each other.
        ("covid19", votes(bacterial=0.8), "cannot_say"),
        ("other_pneumonia", votes(viral=0.8), "cannot_say"),
        ("normal", votes(viral=0.9), "cannot_say"),
    ],
)
def test_findings_of_either_kind_of_system(finding, probabilities, action):
    suggestion = suggest(screening(finding, probabilities))
    assert suggestion.action == action
    assert suggestion.policy == "fig9"
    assert suggestion.reason.endswith(".")


def test_doubt_wins_over_every_rule():
    refused = Verdict("standard", (Concern("lateral", "A lateral view.", "refuse"),))
    overridden = Verdict("standard", refused.concerns, overridden=True)
    certain = {"pneumonia": 0.9, "covid19": 0.8}
    assert suggest(screening("covid19", certain)).action == "pcr_or_ct_first"
    for doubtful, words in (
        (screening(None, dict.fromkeys(certain), verdict=refused), "refused"),
        (screening("covid19", certain, verdict=overridden), "overridden"),
        (screening("covid19", certain, quality="limited"), "quality is limited"),
        (screening("covid19", {"pneumonia": 0.9, "covid19": 0.54}), "“covid19” lies within 0.05"),
        (screening("normal", {"pneumonia": 0.46, "covid19": None}), "“pneumonia” lies within 0.05"),
        (screening("other_pneumonia", votes(bacterial=0.45, viral=0.40)), "less than 0.10 apart"),
    ):
        suggestion = suggest(doubtful)
        assert suggestion.action == "cannot_say"
        assert words in suggestion.reason


def test_a_decision_behind_a_negative_one_casts_no_doubt():
    assert suggest(screening("normal", {"pneumonia": 0.1, "covid19": 0.5})).action == "routine"


@pytest.mark.parametrize(
    ("finding", "probabilities", "close"),
    [
        ("normal", {"unhealthy": 0.05, "covid19_against_all": 0.47, "other_pneumonia": 0.1}, "covid19_against_all"),
        ("covid19", {"unhealthy": 0.05, "covid19_against_all": 0.53, "other_pneumonia": 0.1}, "covid19_against_all"),
        ("normal", {"unhealthy": 0.05, "covid19_against_all": 0.1, "other_pneumonia": 0.48}, "other_pneumonia"),
    ],
)
def test_decisions_that_stand_side_by_side_all_cast_doubt(finding, probabilities, close):
    suggestion = suggest(screening(finding, probabilities))
    assert suggestion.action == "cannot_say"
    assert f"“{close}” lies within 0.05" in suggestion.reason


def test_votes_lead_where_there_are_some():
    # Most patches voted viral, though bacterial has the larger probability by itself.
    voted = replace(
        screening("viral", votes(bacterial=0.6, viral=0.5)),
        classes={"normal": 0.1, "bacterial": 0.2, "tuberculosis": 0.1, "viral": 0.6},
    )
    suggestion = suggest(voted)
    assert suggestion.action == "pcr_or_ct_first"
    assert "“viral pneumonia or COVID-19”." in suggestion.reason


@pytest.mark.parametrize(("normal", "viral", "finding"), [(0.45, 0.44, "normal"), (0.44, 0.45, "viral")])
def test_a_close_vote_against_normal_is_doubt_whoever_won(normal, viral, finding):
    scores = {"normal": normal, "bacterial": 0.06, "tuberculosis": 0.05, "viral": viral}
    # No probability lies near its operating point: the votes alone are close.
    probabilities = votes(viral=0.3) if finding == "normal" else votes(viral=0.9)
    close = replace(screening(finding, probabilities), classes=scores)
    suggestion = suggest(close)
    assert suggestion.action == "cannot_say"
    assert "“normal”" in suggestion.reason
    assert "“viral”" in suggestion.reason
    certain = replace(close, classes=scores | {finding: 0.8})
    assert suggest(certain).action == ("routine" if finding == "normal" else "pcr_or_ct_first")


def test_the_cascade_does_not_pretend_to_know_the_cause_of_other_pneumonia():
    assert "its cause is not told apart" in suggest(screening("other_pneumonia", {"pneumonia": 1.0})).reason


def test_a_misspelt_finding_is_no_rule_that_never_fits():
    with pytest.raises(TriageError, match="is wrong at rules.0.findings"):
        parse_policy("name: own\nrules:\n  - {suggestion: tb_work_up, findings: [tubercolosis]}\n", "own.yaml")


def test_a_policy_of_ones_own():
    policy = TriagePolicy(
        name="ward",
        near_threshold=0.0,
        limited_quality="keep",
        rules=(
            Rule(suggestion="pcr_or_ct_first", at_least={"covid19": 0.3}, positive=("pneumonia",)),
            Rule(suggestion="treat_as_bacterial", findings=("other_pneumonia",), below={"covid19": 0.1}),
        ),
    )
    low = screening("other_pneumonia", {"pneumonia": 0.9, "covid19": 0.35}, quality="limited")
    assert suggest(low, policy).action == "pcr_or_ct_first"
    assert suggest(screening("other_pneumonia", {"pneumonia": 0.9, "covid19": 0.05}), policy).action == (
        "treat_as_bacterial"
    )
    assert suggest(screening("other_pneumonia", {"pneumonia": 0.9, "covid19": 0.2}), policy).action == "cannot_say"
    # A decision that was not asked meets no bound.
    assert suggest(screening("other_pneumonia", {"pneumonia": 0.9, "covid19": None}), policy).action == "cannot_say"


@given(
    st.sampled_from(["normal", "covid19", "other_pneumonia"]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["good", "limited"]),
)
def test_every_result_has_one_suggestion_and_the_uncertain_ones_none(finding, pneumonia, covid19, quality):
    suggestion = suggest(screening(finding, {"pneumonia": pneumonia, "covid19": covid19}, quality=quality))
    if quality == "limited" or abs(pneumonia - 0.5) < 0.05:
        assert suggestion.action == "cannot_say"
    if suggestion.action == "pcr_or_ct_first":
        assert finding == "covid19"
    if suggestion.action == "routine":
        assert finding == "normal"
        assert pneumonia < 0.5


def test_the_policy_of_the_package_is_read_from_its_file(tmp_path):
    assert {rule.suggestion for rule in default_policy().rules} == {
        "pcr_or_ct_first", "treat_as_bacterial", "tb_work_up", "routine",
    }  # fmt: skip
    own = tmp_path / "own.yaml"
    own.write_text(GOOD)
    assert load_policy(own).name == "own"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2", "not valid YAML"),
        ("- a", "not a mapping"),
        ("name: x", "wrong at rules"),
        (GOOD + "speed: 3", "wrong at speed"),
        (GOOD.replace("routine", "operate"), "wrong at rules.0.suggestion"),
        (GOOD.replace(", findings: [normal]", ""), "a rule needs a condition"),
        (GOOD.replace("findings: [normal]", "leading: [viral]"), "not among the classes"),
        (GOOD + "near_threshold: 2", "wrong at near_threshold"),
    ],
)
def test_a_mistake_is_one_sentence(text, reason):
    with pytest.raises(TriageError, match="policy own.yaml") as caught:
        parse_policy(text, "own.yaml")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named_without_its_folder(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("gone.yaml", "bad.yaml"):
        with pytest.raises(TriageError, match="cannot be read") as caught:
            load_policy(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_policy_or_one_sentence(text):
    with pytest.raises(TriageError, match=r"^The triage policy x\.yaml"):
        parse_policy(text, "x.yaml")
