"""Lists of scores from files: what is taken, and one sentence for what is not."""

import contextlib
import string

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.scores import read_scores

GOOD = "image_id,group,source,truth,score\na,p1,east,1,0.9\nb,p1,east,0,0.2\nc,p2,west,0,1e-3\n"
CLASSES = "truth,p_normal,p_covid19,p_other\nnormal,0.7,0.2,0.1\ncovid19,0.1,0.8,0.1\nother,0.333,0.333,0.333\n"


@pytest.fixture
def write(tmp_path):
    def writing(text, name="list.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return writing


def test_a_full_list(write):
    scores = read_scores(write(GOOD))
    assert scores.classes == ()
    assert scores.given == {"image_id", "group", "source"}
    assert scores.table["truth"].tolist() == [1, 0, 0]
    assert scores.table["score"].tolist() == [0.9, 0.2, 0.001]
    assert scores.table["group"].tolist() == ["p1", "p1", "p2"]
    assert list(scores.table.columns) == ["image_id", "source", "group", "truth", "score"]


def test_two_columns_suffice_and_rows_are_then_patients_of_their_own(write):
    scores = read_scores(write("\ufeffscore, truth\n0.5,1.0\n0.5,1\n\n0.25,0\n"))
    assert scores.table["image_id"].tolist() == ["row 1", "row 2", "row 3"]
    assert scores.table["group"].tolist() == ["row 1", "row 2", "row 3"]
    assert set(scores.table["source"]) == {"all"}
    assert scores.given == frozenset()
    assert scores.copies == 0  # "1.0" and "1" are written differently: not a copy in every column.
    assert read_scores(write("score,truth\n0.5,1\n0.5,1\n0.25,0\n")).copies == 1


def test_without_a_group_an_image_is_a_patient(write):
    scores = read_scores(write("image_id,truth,score\na,1,0.9\nb,0,0.2\n"))
    assert scores.table["group"].tolist() == ["a", "b"]


def test_text_that_pandas_would_take_for_missing_stays_text(write):
    scores = read_scores(write("image_id,group,source,truth,score\nNA,nan,None,1,0.9\nnull,N/A,NaN,0,0.2\n"))
    assert scores.table["group"].tolist() == ["nan", "N/A"]
    assert scores.table["source"].tolist() == ["None", "NaN"]


def test_a_list_of_classes(write):
    scores = read_scores(write(CLASSES))
    assert scores.classes == ("normal", "covid19", "other")
    assert scores.table["truth"].tolist() == ["normal", "covid19", "other"]
    assert scores.table["p_covid19"].tolist() == [0.2, 0.8, 0.333]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("truth,score\n", "no row under its header"),
        (GOOD.replace("truth", "target"), "lacks the column truth"),
        (GOOD.replace("score", "result"), "lacks the column score"),
        (GOOD.replace("b,p1,east,0", "b,p1,east,2"), "unknown label in the column truth in row 2"),
        (GOOD.replace("b,p1,east,0", "b,p1,east,covid19"), "unknown label in the column truth in row 2"),
        (GOOD.replace("east,1,", "east,0,"), "All 3 images of list.csv are negative"),
        (GOOD.replace("0.2", "nan"), "no number in the column score in row 2"),
        (GOOD.replace("0.2", ""), "no number in the column score in row 2"),
        (GOOD.replace("0.2", "high"), "no number in the column score in row 2"),
        (GOOD.replace("0.2", "inf"), "infinite value in the column score in row 2"),
        (GOOD.replace("0.2", "-inf"), "infinite value in the column score in row 2"),
        (GOOD.replace("0.2", "1.0001"), "outside \\[0, 1\\] in the column score in row 2"),
        (GOOD.replace("0.2", "-0.2").replace("1e-3", "-3"), "in 2 rows \\(the first is row 2\\)"),
        (GOOD.replace("b,p1", "a,p1"), "repeats the image_id of an earlier row in row 2"),
        (GOOD.replace("b,p1", "b,"), "empty group in row 2"),
        (GOOD.replace("b,p1,east", "b,p1,"), "empty source in row 2"),
        (GOOD.replace("0.2\n", "0.2,7\n"), "another number of values than of columns in row 2"),
        (GOOD.replace(",0.2\n", "\n"), "another number of values than of columns in row 2"),
        (GOOD.replace(",", ";"), "not separated by commas"),
        (GOOD.replace("group,source", "truth,source"), "the column 'truth' more than once"),
        (GOOD.replace("a,p1", '"a,p1'), "not a CSV table"),
        (GOOD.replace("source", "p_covid19"), "both score and p_ columns"),
        (
            CLASSES.replace("normal,0.7", "flu,0.7"),
            "unknown label in the column truth in row 1\\): use|in row 1: use one",
        ),
        (CLASSES.replace("0.8", "0.9"), "do not add up to 1 in row 2"),
        (CLASSES.replace("0.8", "nan"), "no number in the column p_covid19 in row 2"),
        (CLASSES.replace("0.8,0.1", "1.8,-0.9"), "outside \\[0, 1\\] in the column p_covid19"),
        (CLASSES.replace("covid19,0.1", "normal,0.1").replace("other,0.3", "normal,0.3"), "are of one class"),
        ("truth,p_normal\nnormal,1\nnormal,1\n", "the one class column p_normal"),
    ],
)
def test_a_list_that_cannot_be_measured_is_refused_in_one_sentence(write, text, reason):
    with pytest.raises(ManifestError, match=reason) as caught:
        read_scores(write(text))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert "p1" not in message.replace("p1 ", "")  # No patient's name.


def test_a_file_that_is_not_there_or_no_text_is_refused(write, tmp_path):
    with pytest.raises(ManifestError, match="no file gone.csv"):
        read_scores(tmp_path / "gone.csv")
    with pytest.raises(ManifestError, match="no file"):
        read_scores(tmp_path)
    with pytest.raises(ManifestError, match="cannot be read as UTF-8"):
        read_scores(write(GOOD.replace("east", "öst"), encoding="latin-1"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=20))
def test_what_was_written_is_read(write, rows):
    text = "truth,score\n" + "".join(f"{truth},{score!r}\n" for truth, score in rows)
    if len({truth for truth, _ in rows}) == 1:
        with pytest.raises(ManifestError, match="of the other class"):
            read_scores(write(text))
    else:
        table = read_scores(write(text)).table
        assert table["truth"].tolist() == [truth for truth, _ in rows]
        assert table["score"].tolist() == pytest.approx([score for _, score in rows], abs=1e-15)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(",", False)
@given(st.text(alphabet=string.printable + "öß\x00", max_size=80), st.booleans())
def test_any_text_is_read_or_refused(write, text, headed):
    with contextlib.suppress(ManifestError):
        assert np.isin(read_scores(write(("truth,score\n" if headed else "") + text)).table["truth"], (0, 1)).all()
