import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.data.test_history import label_by_tests, label_of
from cxrscreen.errors import ManifestError

DAYS = arrays(np.float64, st.integers(0, 5), elements=st.integers(-60, 60).map(float))


def images(*dates: str, patient: str = "a") -> pd.DataFrame:
    return pd.DataFrame(
        {"image_id": [f"i{number}" for number in range(len(dates))], "patient_id": patient, "date": list(dates)}
    )


def history(*rows: tuple[str, str], patient: str = "a") -> pd.DataFrame:
    return pd.DataFrame([(patient, *row) for row in rows], columns=["patient_id", "date", "result"])


@pytest.mark.parametrize(
    ("taken", "positive", "negative", "answer"),
    [
        (10, [0], [], "positive"),
        (13.9, [0], [], "positive"),
        (14, [0], [], "negative"),
        (-14, [0], [], "negative"),
        # The nearest test decides, on either side of the image.
        (10, [4], [15], "negative"),
        (10, [6], [15], "positive"),
        # At the same distance neither is nearer.
        (10, [8], [12], "positive"),
        # Another positive test is near.
        (30, [0, 28], [], "positive"),
        (10, [], [200], "negative"),
        (10, [], [], "unknown"),
    ],
)
def test_the_rule(taken, positive, negative, answer):
    assert label_of(taken, np.array(positive, float), np.array(negative, float)).covid19 == answer


def test_the_limit_can_be_another():
    assert label_of(6, np.array([0.0]), np.empty(0), limit_days=6).covid19 == "negative"
    with pytest.raises(ValueError, match="above 0"):
        label_of(6, np.array([0.0]), np.empty(0), limit_days=0)


@pytest.mark.parametrize(
    ("taken", "tests", "answer", "days"),
    [
        # The positive test is of the image's day, whatever its hour; the negative one of the day before.
        ("2020-04-01", [("2020-04-01 20:00", "positive"), ("2020-03-31 12:00", "negative")], "positive", 0),
        # Fourteen days by the calendar.
        ("2020-03-15", [("2020-03-01 09:30", "positive")], "negative", 14),
        ("2020-03-15 08:00", [("2020-03-01", "positive")], "negative", 14),
        # With all times known they count: thirteen days and 22.5 hours.
        ("2020-03-15 08:00", [("2020-03-01 09:30", "positive")], "positive", 13.9375),
        ("2020-04-01 01:00", [("2020-04-01 20:00", "positive"), ("2020-03-31 23:00", "negative")], "negative", 19 / 24),
        # A test that said nothing says nothing of times either.
        ("2020-03-15 08:00", [("2020-03-01 09:30", "positive"), ("2020-03-02", "indeterminate")], "positive", 13.9375),
    ],
)
def test_a_date_without_a_time_makes_days_of_the_patients_times(taken, tests, answer, days):
    label = label_by_tests(images(taken), history(*tests)).iloc[0]
    assert (label["covid19"], label["positive_days"]) == (answer, pytest.approx(days))


@given(st.integers(-60, 60), DAYS, DAYS)
def test_what_holds_for_all_histories(taken, positive, negative):
    found = label_of(taken, positive, negative)
    # Looking at days backwards, or from another day on, changes nothing.
    assert label_of(-taken, -positive, -negative) == found
    assert label_of(taken + 7, positive + 7, negative + 7) == found
    if found.covid19 == "positive":
        assert np.abs(positive - taken).min() < 14
        assert not (np.abs(negative - taken) < np.abs(positive - taken).min()).any()
        # A positive test on the same day never takes a positive label away.
        assert label_of(taken, np.append(positive, taken), negative).covid19 == "positive"
    # Negative tests never make an image positive.
    assert not (found.covid19 == "negative" and label_of(taken, positive, np.append(negative, 0)).covid19 == "positive")


def test_a_table_is_labelled_in_its_order_and_by_patient():
    taken = pd.concat([images("2020-04-01", "2020-03-20 12:00"), images("2020-04-01", patient="b")])
    taken["image_id"] = ["x", "y", "z"]
    tested = pd.concat(
        [
            history(("2020-03-20", "positive"), ("2020-03-31", "Negative"), ("2020-03-20 11:59", "indeterminate")),
            history(("2020-04-01", "indeterminate"), patient="b"),
        ]
    )
    found = label_by_tests(taken, tested).set_index("image_id")
    assert found["covid19"].tolist() == ["negative", "positive", "unknown"]
    # Other dates of this patient have no time.
    assert found.at["y", "positive_days"] == 0
    assert found.at["x", "negative_days"] == 1
    assert np.isnan(found.at["z", "positive_days"])
    assert found.at["x", "reason"] == "a negative test is nearer than the nearest positive one"


@pytest.mark.parametrize(
    ("taken", "tested", "sentence"),
    [
        (images("2020-04-01").drop(columns="date"), history(), "images lack the column.*date"),
        (images("2020-04-01", "01.04.2020"), history(), "images have no date in row 2"),
        (images("2020-02-30"), history(), "images have no date in row 1"),
        (images("2020-04-01T10:00:00+02:00"), history(), "without a time zone"),
        (images("2020-04-01", patient=" "), history(), "empty patient_id in row 1"),
        (images("2020-04-01"), history(("2020-04-01", "maybe")), "unknown result in row 1: use positive"),
        (images("2020-04-01", "2020-04-01").assign(image_id="i"), history(), "repeat an image_id in row 2"),
    ],
)
def test_bad_tables_are_a_sentence_without_names(taken, tested, sentence):
    with pytest.raises(ManifestError, match=sentence) as caught:
        label_by_tests(taken, tested)
    assert str(caught.value).count(". ") == 0


def test_the_command(tmp_path):
    images("2020-04-01", "2020-06-01").to_csv(tmp_path / "images.csv", index=False)
    history(("2020-04-02", "positive")).to_csv(tmp_path / "tests.csv", index=False)
    files = [str(tmp_path / name) for name in ("images.csv", "tests.csv")]
    result = CliRunner().invoke(app, ["label-by-tests", *files, "--out", str(tmp_path / "new" / "labels.csv")])
    assert result.exit_code == 0
    assert "1 positive, 1 negative, 0 unknown" in result.stderr
    assert pd.read_csv(tmp_path / "new" / "labels.csv")["covid19"].tolist() == ["positive", "negative"]
    result = CliRunner().invoke(app, ["label-by-tests", files[1], files[0], "--out", str(tmp_path / "labels.csv")])
    assert result.exit_code == 2
    assert "tests.csv lacks the column(s) image_id" in result.stderr
    result = CliRunner().invoke(app, ["label-by-tests", *files, "--out", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "new cannot be written" in " ".join(result.stderr.split())
