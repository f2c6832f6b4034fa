"""Tables of dates and calls: what they are read as, and the sentence for what is wrong with them."""

from contextlib import suppress
from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.early_detection.tables import offsets_of, read_calls, read_dates

HEAD = "patient_id,image_id,imaged,onset,confirmed\n"


@pytest.fixture
def write(tmp_path):
    def to(text, name="dates.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return to


def test_dates_and_days_of_the_example(write):
    as_dates = HEAD + "a,a1,2020-02-28,2020-02-27,2020-03-02\na,a2,2020-03-01,,\nb,b1,,,2020-03-19\n"
    (a, b), undated = read_dates(write(as_dates))
    assert undated == 1
    assert [a.number, b.number] == [1, 2]
    # 2020 was a leap year.
    assert [a.confirmed - day for _, day in a.images] == [3, 1]
    assert a.confirmed - a.onset == 4
    assert (b.images, b.onset) == ((), None)
    assert b.confirmed - a.confirmed == 17
    (c, _), _ = read_dates(write(HEAD + "a,a1,-3,-4,0\na,a2,-1.0,,0\nb,b1,,,+7\n"))
    assert (c.images, c.onset, c.confirmed) == ((("a1", -3), ("a2", -1)), -4, 0)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(-400, 400), st.none() | st.integers(-400, 400), st.none() | st.integers(-400, 400)),
        min_size=1,
        max_size=12,
    )
)
def test_dates_and_days_say_the_same(tmp_path_factory, patients):
    zero = date(2020, 3, 1)
    read = []
    for shown in (str, lambda day: (zero + timedelta(day)).isoformat()):
        rows = [
            [f"p{i}", f"i{i}", *("" if day is None else shown(day) for day in row)] for i, row in enumerate(patients)
        ]
        path = tmp_path_factory.mktemp("table") / "t.csv"
        path.write_text(HEAD + "\n".join(",".join(row) for row in rows))
        read.append(read_dates(path)[0])
    for days, dates in zip(*read, strict=True):
        shift = dates.images[0][1] - days.images[0][1]
        assert shift == zero.toordinal()
        for field in ("onset", "confirmed"):
            if getattr(days, field) is None:
                assert getattr(dates, field) is None
            else:
                assert getattr(dates, field) - getattr(days, field) == shift


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no readable|not a readable"),
        ("patient_id,image_id,imaged,onset\na,b,1,1\n", "lacks the column.s. confirmed"),
        (HEAD, "has no row"),
        (HEAD + ",i1,1,,2\n", "empty patient_id in data row 1"),
        (HEAD + "secret,i1,1,,2\nsecret,,1,,2\n", "empty image_id in data row 2"),
        (HEAD + "secret,i1,1,,2\nsecret,i1,2,,2\n", "data row 2 twice"),
        (HEAD + "secret,i1,14.03.2020,,\n", "imaged, data row 1"),
        (HEAD + "secret,i1,2020-02-30,,\n", "imaged, data row 1"),
        (HEAD + "secret,i1,20200203,,\n", "imaged, data row 1"),
        (HEAD + "secret,i1,1.5,,\n", "imaged, data row 1"),
        (HEAD + "secret,i1,1,nan,\n", "onset, data row 1"),
        (HEAD + "secret,i1,1,,2\nsecret,i2,2020-01-01,,2\n", "mixes dates and numbers"),
        (HEAD + "secret,i1,1,,2020-01-01\n", "mixes dates and numbers"),
        (HEAD + "x,i1,1,,2\nsecret,i2,1,,2\nsecret,i3,2,,3\n", "patient of data row 2 two different days in confirmed"),
    ],
)
def test_a_bad_table_gets_one_sentence_without_identifiers(write, text, sentence):
    with pytest.raises(ManifestError, match=sentence) as caught:
        read_dates(write(text))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_no_other_error_comes_out_of_any_text(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(HEAD + text, encoding="utf-8", errors="replace")
    # Whatever is no table ends in a ManifestError; anything else fails the test.
    with suppress(ManifestError):
        patients, undated = read_dates(path)
        assert len(patients) >= 1
        assert undated >= 0


def test_a_missing_file_and_another_encoding_are_told(tmp_path):
    with pytest.raises(ManifestError, match="no table gone.csv"):
        read_dates(tmp_path / "gone.csv")
    (tmp_path / "latin{row}.csv").write_bytes((HEAD + "m\xfcller,i,1,,2\n").encode("latin-1"))
    with pytest.raises(ManifestError, match=r"latin\{row\}.csv is not a readable"):
        read_dates(tmp_path / "latin{row}.csv")


def test_scores_are_called_at_the_threshold_and_above(write):
    text = "image_id,source,group,truth,score\na,H,1,1,0.5\nb,H,2,1,0.49\nc,H,3,0,0.9\nd,K,3,0,0.1\n"
    calls = read_calls(write(text), 0.5)
    assert calls.called == {"a": True, "b": False, "c": True, "d": False}
    assert list(calls.others["called"]) == [True, False]
    assert list(calls.others["source"]) == ["H", "K"]


def test_no_image_of_a_case_is_a_false_call(write):
    # Patient 1 is ill on another day, patient 4 by the table of dates alone; where no patient is given, images are.
    rows = ["a,H,1,1,0.9", "b,H,1,0,0.9", "c,H,3,0,0.9", "d,H,4,0,0.9", "e,H,4,0,0.1", "f,H,,1,0.9", "g,H,,0,0.9"]
    calls = read_calls(write("image_id,source,group,truth,score\n" + "\n".join(rows) + "\n"), 0.5)
    assert list(calls.others.index) == ["c", "d", "e", "g"]
    beside = calls.beside(["d", "not scored"])
    assert list(beside.others.index) == ["c", "g"]
    assert beside.called == calls.called


def test_decisions_need_no_threshold(write):
    calls = read_calls(write("image_id,positive\na,Yes\nb,0\nc,true\n"), None)
    assert calls.called == {"a": True, "b": False, "c": True}
    assert calls.others.empty


@pytest.mark.parametrize(
    ("text", "threshold", "sentence"),
    [
        ("image,score\na,1\n", 0.5, "lacks the column.s. image_id"),
        ("image_id,probability\na,1\n", 0.5, "neither the column positive nor score"),
        ("image_id,score\na,0.1\n", None, "say with a threshold"),
        ("image_id,score\na,0.1\nb,nan\n", 0.5, "score in data row 2"),
        ("image_id,score\na,1.1\n", 0.5, "score in data row 1"),
        ("image_id,score\na,0.1\na,0.1\n", 0.5, "repeated image_id in data row 2"),
        ("image_id,positive\na,maybe\n", None, "positive, data row 1"),
        ("image_id,score,truth\na,0.1,2\n", 0.5, "truth, data row 1"),
    ],
)
def test_bad_calls_get_one_sentence(write, text, threshold, sentence):
    with pytest.raises(ManifestError, match=sentence):
        read_calls(write(text), threshold)


def manifest(rows, tmp_path):
    columns = ["image_id", "source", "patient_id", "label", "offset_days", "offset_reference", "duplicate_of"]
    table = pd.DataFrame(rows, columns=columns)
    table["path"] = table["image_id"]
    return check_manifest(table, tmp_path)


def test_offsets_of_a_manifest_link_copies_and_keep_events_apart(tmp_path):
    rows = [
        ("a1", "K", "a", "covid19", "-2", "admission", ""),
        ("a2", "K", "a", "normal", "3.0", "admission", ""),
        ("h1", "H", "x", "covid19", "-2", "admission", "a1"),
        ("h2", "H", "x", "covid19", "5", "admission", ""),
        ("b1", "K", "b", "covid19", "1", "admission", ""),
        ("b2", "K", "b", "covid19", "1", "onset", ""),
        ("c1", "K", "c", "covid19", "", "", ""),
        ("d1", "K", "d", "bacterial", "1", "admission", ""),
    ]
    (case,), left_out = offsets_of(manifest(rows, tmp_path))
    assert case.images == (("a1", -2), ("a2", 3), ("h2", 5))
    assert case.reference == "admission"
    assert left_out == {"no day given": 1, "days count from two events": 1}


@pytest.mark.parametrize(
    ("offset", "label", "sentence"),
    [
        ("1", "cat", "no label 'cat'"),
        ("1", "viral", "No image of the manifest has the label viral"),
        ("soon", "covid19", "offset_days, data row 1"),
        ("2020-01-01", "covid19", "a date in offset_days"),
    ],
)
def test_bad_offsets_get_one_sentence(tmp_path, offset, label, sentence):
    with pytest.raises(ManifestError, match=sentence):
        offsets_of(manifest([("a1", "K", "a", "covid19", offset, "admission", "")], tmp_path), label)
