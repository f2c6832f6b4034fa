"""The command from its tables to its files."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app


@pytest.fixture
def tables(tmp_path):
    dates = "patient_id,image_id,imaged,onset,confirmed\nsecret-a,MRN1,2020-03-10,2020-03-09,2020-03-16\n"
    (tmp_path / "dates.csv").write_text(dates + "secret-b,MRN2,2020-03-20,,2020-03-19\nsecret-c,MRN3,,,2020-03-19\n")
    (tmp_path / "scores.csv").write_text("image_id,source,truth,score\nMRN1,H,1,0.8\nMRN2,H,1,0.2\nMRN9,H,0,0.9\n")
    return tmp_path


@pytest.fixture
def run(tables):
    def command(*arguments):
        given = ["early-detection", tables / "scores.csv", "--out", tables / "out", "--replicates", 100, *arguments]
        return CliRunner().invoke(app, [str(argument) for argument in given])

    return command


def test_from_tables_to_files_without_identifiers_and_dates(run, tables):
    done = run("--dates", tables / "dates.csv", "--threshold", 0.5)
    assert done.exit_code == 0, done.output
    assert "1 of 2: 50.0%" in done.output
    written = list((tables / "out").iterdir())
    assert {path.suffix for path in written} == {".json", ".md", ".csv", ".png", ".svg"}
    for path in written:
        content = path.read_bytes()
        assert not any(word in content for word in (b"secret", b"MRN", b"2020-03", str(tables).encode())), path.name
    assert list(pd.read_csv(tables / "out" / "cases.csv")["lead_days"].fillna(0)) == [6, 0]


def test_the_threshold_can_come_from_a_card(run, tables):
    done = run("--dates", tables / "dates.csv", "--bundle", "cascade", "--point", "sensitivity-0.95")
    assert done.exit_code == 0, done.output
    assert "(sensitivity-0.95)" in (tables / "out" / "early_detection.md").read_text()


def test_offsets_of_a_manifest(run, tables):
    manifest = "image_id,path,source,patient_id,label,offset_days,offset_reference\n"
    (tables / "manifest.csv").write_text(manifest + "MRN1,a.png,H,p,covid19,4,admission\n")
    done = run("--manifest", tables, "--threshold", 0.5)
    assert done.exit_code == 0, done.output
    assert (tables / "out" / "early_detection-admission.png").is_file()
    assert "no lead time can be given" in (tables / "out" / "early_detection.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "either --dates or --manifest"),
        (("--dates", "dates.csv", "--manifest", "."), "either --dates or --manifest"),
        (("--dates", "dates.csv"), "say with a threshold"),
        (("--dates", "dates.csv", "--threshold", 0.5, "--bundle", "cascade"), "either --bundle or --threshold"),
        (("--dates", "dates.csv", "--bundle", "cascade", "--stage", "rib"), "no decision 'rib'"),
        (("--dates", "dates.csv", "--bundle", "cascade", "--point", "best"), "no operating point 'best'"),
        (("--dates", "scores.csv", "--threshold", 0.5), "lacks the column"),
        (("--dates", "other.csv", "--threshold", 0.5), "No case is left"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_file(run, tables, arguments, sentence):
    (tables / "other.csv").write_text("patient_id,image_id,imaged,onset,confirmed\nx,other,1,,2\n")
    given = [tables / item if str(item).endswith((".csv", ".")) else item for item in arguments]
    done = run(*given)
    assert done.exit_code == 2
    assert sentence in done.output.replace("\n", " ")
    assert not (tables / "out").exists()
