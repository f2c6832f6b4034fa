"""Identifiers that come out the same."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.report.dicom.identity import asked, derived_uid, identify

words = st.lists(st.text(max_size=8), max_size=4).map(tuple)


@given(words, words)
def test_a_uid_belongs_to_its_words_alone(one, other):
    assert (derived_uid(*one) == derived_uid(*other)) == (one == other)
    assert derived_uid(*one).is_valid


def test_a_measured_value_changes_no_uid_but_a_setting_does(make_screening):
    first, rounded = make_screening(), make_screening(pneumonia=0.9000001)
    assert identify("report", "1.2", first) == identify("report", "1.2", rounded)
    moved = replace(first, stages=(replace(first.stages[0], threshold=0.41), *first.stages[1:]))
    others = (moved, make_screening(bundle="cascade@1.1"), make_screening(maps=()))
    uids = {identify("report", "1.2", some).instance_uid for some in (first, *others)}
    assert len(uids) == 4
    assert identify("maps", "1.2", first).series_uid != identify("report", "1.2", first).series_uid
    assert identify("capture", "1.2", first, 2).series_uid == identify("capture", "1.2", first, 1).series_uid
    assert identify("capture", "1.2", first, 2).instance_uid != identify("capture", "1.2", first, 1).instance_uid


def test_no_probability_is_in_what_was_asked(screening):
    assert "0.9" not in asked(screening)
