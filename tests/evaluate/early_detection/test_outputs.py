"""The files: numbered cases, no identifier, no date, the statement of use, and the same bytes twice."""

import json

import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import grouped_rate
from cxrscreen.evaluate.early_detection.figure import early_figure
from cxrscreen.evaluate.early_detection.outputs import CONFIRMATION, Study, markdown, write_study
from cxrscreen.evaluate.early_detection.summary import summarise_first_calls, summarise_leads
from cxrscreen.evaluate.early_detection.timelines import Timeline

LINES = (
    Timeline(1, ((-4, False), (1, True)), onset=-6, confirmed=0),
    Timeline(2, ((-3, True),), confirmed=0),
    Timeline(4, ((-8, False),), onset=2, confirmed=0),
)


@pytest.fixture
def study():
    summary = summarise_leads(LINES, false_call_rate=0.5, replicates=100)
    rate = {"H": grouped_rate([True, False], ["1", "2"])}
    return Study("a score of 0.5 or above", {CONFIRMATION: (LINES, summary)}, {"cases, reason": 3}, rate, 0.5)


def test_the_files_and_what_is_in_them(study, tmp_path):
    files = write_study(tmp_path, study)
    names = {f"early_detection.{suffix}" for suffix in ("json", "md", "png", "svg")} | {"cases.csv"}
    assert set(files) == names == {path.name for path in tmp_path.iterdir()}
    content = json.loads(files["early_detection.json"].read_text())
    assert content["notice"] == RESEARCH_USE
    assert content["since"][CONFIRMATION]["leads"][0]["early"] == 1
    assert content["since"][CONFIRMATION]["median_lead"]["value"] == 1
    assert content["not_to_conclude"]
    cases = pd.read_csv(files["cases.csv"])
    assert list(cases["case"]) == [1, 2, 4]
    assert list(cases["lead_days"].fillna(99)) == [-1, 3, 99]
    assert RESEARCH_USE in files["early_detection.md"].read_text()


def test_the_same_study_gives_the_same_bytes(study, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_study(tmp_path / name, study)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_the_page_sets_false_calls_and_what_not_to_conclude_beside_the_leads(study):
    page = markdown(study)
    assert "1 of 3: 33.3%" in page
    assert "expected from false calls alone | 1.5 cases" in page
    assert "| H | 2 | 50.0%" in page
    assert "Never called | 1 of 3" in page
    assert "must not be concluded" in page
    silent = Study(study.decision, study.parts, {}, {}, None)
    assert "Not known from these tables" in markdown(silent)


def test_offsets_say_that_they_are_no_lead_times(tmp_path):
    lines = tuple(Timeline(line.number, line.calls) for line in LINES)
    summary = summarise_first_calls(lines, replicates=100)
    study = Study("the calls", {"symptom onset or admission": (lines, summary)}, {}, {}, None)
    files = write_study(tmp_path, study)
    assert "early_detection-symptom-onset-or-admission.svg" in files
    page = files["early_detection.md"].read_text()
    assert "no lead time can be given" in page
    assert "at least 2 days before" not in page


def test_the_figure_has_a_line_a_case_with_the_first_call_marked():
    figure = early_figure(LINES, "Title", CONFIRMATION)
    (axes,) = figure.axes
    # The earliest call on top, who was never called at the bottom.
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["2", "1", "4"]
    (first,) = [item for item in axes.collections if isinstance(item, LineCollection) and item.get_linewidth()[0] == 2]
    assert [(ends[0][0], ends.mean(axis=0)[1]) for ends in first.get_segments()] == [(-3, 0), (1, 1)]
    assert [(box.get_x(), box.get_width()) for box in axes.patches] == [(-6, 6), (2, -2)]
    dots = sum(len(item.get_offsets()) for item in axes.collections if isinstance(item, PathCollection))
    assert dots == 4
    assert [text.get_text() for text in axes.texts] == ["never called"]
    assert RESEARCH_USE in figure.legends[0].get_title().get_text()


def test_many_cases_still_fit_into_a_picture():
    many = tuple(Timeline(i, ((-i % 9, True),), confirmed=0) for i in range(1, 900))
    figure = early_figure(many, "Title", CONFIRMATION)
    assert figure.get_size_inches()[1] * 150 < 2**16
    assert list(figure.axes[0].get_yticks()) == []
