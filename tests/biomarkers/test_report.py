"""The files of a study: figures that can be drawn from little, a page that stands alone, the same bytes."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cxrscreen import RESEARCH_USE
from cxrscreen.biomarkers.analysis import analyse, clean_rows
from cxrscreen.biomarkers.figures import anatomy_figure, write_figure
from cxrscreen.biomarkers.missing_quarter import detect, missed_quarters
from cxrscreen.biomarkers.report import json_content, markdown, write_report
from cxrscreen.biomarkers.wording import NOT_TO_CONCLUDE
from cxrscreen.evaluate.bootstrap import grouped_rate


@pytest.fixture(scope="module")
def analysis(study, phantoms, intervals):
    return analyse(study, phantoms, intervals, grouped_rate)


@pytest.fixture(scope="module")
def written(study, analysis, tmp_path_factory):
    return write_report(
        tmp_path_factory.mktemp("out"), study, analysis, command="cxrscreen biomarkers X", seed=4, replicates=100
    )


class Text(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.text, self.sources = "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_says_what_must_not_be_concluded(written):
    html = written["biomarkers.html"].read_text()
    page = Text(html)
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?:|<script|<link|@import|url\(", html)
    assert RESEARCH_USE in page.text
    for sentence in NOT_TO_CONCLUDE:
        assert sentence in page.text
    assert "14 radiographs of" in page.text
    assert "Table VI: Mean grey value of the lungs" in page.text
    assert "Two-sample Kolmogorov-Smirnov test over means of patients" in page.text
    # Two tables have one marker, with and without supine radiographs: each test says of which it is.
    tests = page.text[page.text.index("Whether two classes have one distribution") :]
    assert "Table VIII: Standard deviation of the grey values of the lungs, without AP supine radiographs" in tests


def test_figures_are_pictures_of_some_size(written):
    for name in ("fig2", "fig4", "fig5", "fig11"):
        with Image.open(written[f"{name}.png"]) as picture:
            assert min(picture.size) > 500
            assert np.asarray(picture.convert("L")).std() > 5
        assert written[f"{name}.svg"].read_text().startswith("<?xml")


def test_json_and_markdown_carry_the_same_figures(written, study, analysis):
    content = json.loads(written["biomarkers.json"].read_text())
    assert content["notice"] == RESEARCH_USE
    assert (content["command"], content["seed"], content["replicates"]) == ("cxrscreen biomarkers X", 4, 100)
    assert content["images"] == {"measured": 14, "failed": 0, "left_out": study.left_out}
    assert sum(row["images"] for row in content["counts"]) == 14
    labels = study.rows["label"].value_counts().to_dict()
    shown = {row["class"]: row["images"] for row in content["tables"]["table6"]["classes"]}
    assert {name: count for name, count in shown.items() if count} == labels
    assert content["missing_quarter"]["detection"]["symmetry"] == {"log_ratio": -0.154, "threshold": 0.168}
    assert content["ctr_agreement"] is None
    assert content["not_to_conclude"] == list(NOT_TO_CONCLUDE)
    covid = next(row for row in content["tables"]["table6"]["classes"] if row["class"] == "covid19")
    own = study.rows.loc[study.rows["label"] == "covid19", "lung_mean"]
    assert covid["mean"] == pytest.approx(own.mean())
    assert content["tables"]["table6"]["paper"]["mean"]["normal"] == 0.54
    text = markdown(study, analysis, "cxrscreen biomarkers X")
    assert f"{own.mean():.3f} [" in text
    assert text.count("\n## ") > 10


def test_no_image_is_named_outside_the_measurements(written, study):
    for name, path in written.items():
        if path.suffix in (".json", ".md", ".html"):
            text = path.read_text()
            assert not any(image_id in text for image_id in study.rows["image_id"]), name


def test_the_same_figure_gives_the_same_bytes(written, study, tmp_path):
    again = write_figure(anatomy_figure(clean_rows(study.rows), study.histograms), tmp_path, "fig11")
    for path in again:
        assert path.read_bytes() == written[path.name].read_bytes()


def test_missing_quarters_stand_beside_the_papers_counts(study, analysis):
    assert "lack a quarter of the reference" not in markdown(study, analysis, "x")
    shares = study.rows.assign(missed_share=np.where(study.rows["label"] == "bacterial", 0.3, 0.0))
    found = replace(analysis, missed=missed_quarters(shares, grouped_rate))
    count = int((study.rows["label"] == "bacterial").sum())
    assert f"| Bacterial | exact | {count} of {count} (100 %" in markdown(study, found, "x")
    assert "| 7 of 54 |" in markdown(study, found, "x")
    content = json_content(study, found, "x", 0, 100)["missing_quarter"]["missed"]
    assert {item["label"]: item["lost"] for item in content}["bacterial"] == count
    assert {item["label"]: item["paper"] for item in content}["normal"] == "0 of 191"


def test_lungs_too_small_for_the_other_stand_with_their_number_and_masks_without_lungs_on_a_line(study, analysis):
    assert "not measured: the mask has no lung" not in markdown(study, analysis, "x")
    rows = study.rows.copy()
    of_class = rows.index[rows["label"] == "bacterial"]
    rows.loc[of_class[0], ["left_to_right", "missing_share"]] = [np.nan, 1.0]
    rows.loc[of_class[1], ["left_to_right", "missing_share", "lung_area"]] = [np.nan, np.nan, 0.0]
    found = replace(analysis, detection=detect(rows, (), (), grouped_rate))
    content = json_content(study, found, "x", 0, 100)["missing_quarter"]["detection"]
    share = content["flagged"]["bacterial"]
    assert share["n"] == len(of_class) - 1
    assert share["value"] == pytest.approx(1 / share["n"])
    assert content["without_lungs"] == {"bacterial": 1}
    text = markdown(study, found, "x")
    assert f"| Bacterial | {share['n']} | {100 * share['value']:.0f} % [" in text
    assert "| Bacterial, not measured: the mask has no lung | 1 | - |" in text


def test_one_class_without_hearts_can_be_drawn(phantoms, intervals, study, tmp_path):
    rows = study.rows[study.rows["label"] == "normal"].copy()
    no_heart = ("ctr", "thorax", "heart_right", "heart_left")
    columns = [name for name in rows if name.startswith(no_heart) or name.endswith("_heart")]
    rows[columns] = np.nan
    few = replace(
        study,
        rows=rows,
        patches=study.patches[study.patches["label"] == "normal"][:200],
        histograms={key: value for key, value in study.histograms.items() if key[0] == "normal"},
        example=None,
    )
    found = analyse(few, phantoms, intervals, grouped_rate)
    assert found.agreement is None
    files = write_report(tmp_path, few, found, command="x", seed=0, replicates=100)
    assert "fig2.png" not in files
    assert "Tuberculosis" in files["biomarkers.md"].read_text()
