"""The card as a page: everything in it, nothing hidden, nothing from outside, nothing that runs."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.report.card_page import card_html, card_markdown, write_card_page
from cxrscreen.report.card_sections import card_sections
from cxrscreen.report.folder import ResultNotWrittenError
from cxrscreen.systems.bundle import Bundle, Calibration, Card, DataCard, OperatingPoint, StageCard, open_bundle

HOSTILE = "<script>alert(1)</script> | `x` *y*"
VOID = {"meta", "rect", "line", "br"}


class Page(HTMLParser):
    """Elements and text of a page; fails where an element is closed that is not open."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def a_card(**changes):
    point = {"threshold": 0.25, "rule": "youden", "site": "validation part of stage2: nih 90"}
    points = {"youden": point, "sensitivity-0.90": point | {"threshold": 0.125, "rule": "sensitivity>=0.90"}}
    card = Card(
        name="phantom",
        version="2.1",
        system="cascade",
        created="2026-01-02",
        summary="A model of nothing.",
        intended_use="Trying the page.",
        not_for=["Anything else."],
        limits=["It is made up."],
        licence="CC0",
        preprocessing={"working_side": 224, "nested": {"deep": {"x": 1}}},
        stages={"pneumonia": StageCard(operating_points=points, default="youden")},
        data=DataCard(
            images_sha256="a" * 64,
            splits={"stage2": "b" * 64},
            seed=7,
            images={"nih": {"normal": 3, "pneumonia": 4}, "cohen": {"covid19": 5}},
            licences=["CC BY 4.0", "not stated"],
        ),
        recipe={"stage2": {"phases": [{"epochs": 3}, {"epochs": 4, "side": 128}]}, "seed": 7},
        results={"stage2": {"command": "cxrscreen evaluate BUNDLE", "within_source_auc": {"nih": {"value": 0.75}}}},
        files={"weights.safetensors": "c" * 64},
    )
    return card.model_copy(update=changes)


def bundle(**changes):
    return Bundle(Path(), a_card(**changes))


def test_everything_of_a_card_is_on_the_page():
    text = Page(card_html(bundle())).text
    for expected in (
        "Model card phantom@2.1",
        "A model of nothing.",
        "Trying the page.",
        "Anything else.",
        "It is made up.",
        "CC BY 4.0",
        "b" * 16,
        "Longest side, reduced to (pixels)",
        "youden (in use)",
        "0.125",
        "highest specificity with a sensitivity of at least 0.90",
        "Chosen on: validation part of stage2: nih 90.",
        "Scores are not calibrated",
        "0.750 (no interval)",
        "Measured by cxrscreen evaluate BUNDLE",
        "c" * 64,
        "Epochs",
        RESEARCH_USE,
    ):
        assert expected in re.sub(r"\s+", " ", text), expected


def test_sources_and_labels_add_up():
    markdown = card_markdown(bundle())
    assert "| Source | COVID-19 | Pneumonia | Normal | all |" in markdown
    assert "| nih | – | 4 | 3 | 7 |" in markdown
    assert "| all | 5 | 4 | 3 | 12 |" in markdown


def test_calibration_is_told_with_its_images():
    fit = Calibration(method="temperature scaling", site="validation part", loss_before=0.7, loss_after=0.5)
    point = OperatingPoint(threshold=0.5, rule="youden", site="here", sensitivity=0.875, specificity=0.5)
    stage = StageCard(operating_points={"youden": point}, default="youden", temperature=1.7, calibration=fit)
    text = card_markdown(bundle(stages={"covid19": stage}))
    assert "calibrated with the temperature 1.7" in text
    assert "temperature scaling (validation part); the mean log loss there went from 0.700 to 0.500" in text
    assert "| youden (in use) | 0.500 | largest sum of sensitivity and specificity | 0.875 | 0.500 |" in text
    unfound = stage.model_copy(update={"calibration": fit.model_copy(update={"method": "none: not found"})})
    assert "Scores are not calibrated" in card_markdown(bundle(stages={"covid19": unfound}))


def test_what_the_card_does_not_hold_is_said():
    def missing(results):
        return card_markdown(bundle(results=results)).partition("What this card does not hold")[2].partition("## ")[0]

    bare = missing(a_card().results)
    assert "left out of the training" in bare
    assert "lungs blanked out" in bare
    more = missing({"audit": {"black-lung": {"auc": {"value": 0.6}}, "leave_one_source_out": {"nih": {"value": 0.7}}}})
    assert "lungs blanked out" not in more
    assert "left out of the training" not in more
    assert "features tell the source" in more


def test_without_results_nothing_is_claimed():
    assert "Nothing was measured yet." in card_markdown(bundle(results={}))


def test_hostile_words_do_nothing():
    hostile = bundle(summary=HOSTILE, limits=[HOSTILE], results={HOSTILE: {HOSTILE: HOSTILE}}, files={HOSTILE: HOSTILE})
    page = Page(card_html(hostile))
    assert "script" not in {tag for tag, _ in page.elements}
    assert page.text.count(HOSTILE) >= 5
    markdown = card_markdown(hostile)
    assert not re.search(r"(?<!\\)<script", markdown)
    row = next(line for line in markdown.splitlines() if line.startswith("| \\<script"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 3


def test_the_page_asks_nothing_from_outside_and_can_be_read_by_everybody():
    html = card_html(open_bundle("cascade"))
    page = Page(html)
    assert not re.search(r"https?:|url\(|@import|<link|<script|<iframe", html)
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links
    assert {link[1:] for link in links} <= set(identifiers)
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    labels = [attributes["aria-label"] for _, attributes in page.elements if attributes.get("role") == "region"]
    assert len(labels) == len(set(labels)) > 5
    assert html == card_html(open_bundle("cascade"))


def test_pooled_figures_of_the_shipped_card_stand_after_those_within_sources():
    text = Page(card_html(open_bundle("cascade"))).text
    for section in text.split("Images that failed")[1:]:
        if "AUC, all sources pooled" in section:
            assert section.index("AUC within each source") < section.index("AUC, all sources pooled")


def test_names_of_sections_are_unique_and_recipe_and_files_are_for_looking_up():
    sections = card_sections(a_card())
    assert len({section.name for section in sections}) == len(sections)
    assert [section.name for section in sections if section.folded] == ["recipe", "files"]
    assert "Recipe of the training" in card_markdown(bundle())
    assert "Recipe of the training" not in card_markdown(bundle(), folded=False)


@pytest.mark.parametrize("name", ["card.html", "card.md", "CARD.HTML"])
def test_the_ending_says_the_kind(tmp_path, name):
    write_card_page(bundle(), tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>" if name.lower().endswith("html") else "# Model card")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ResultNotWrittenError, match="let it end in .html or .md"):
        write_card_page(bundle(), tmp_path / "card.pdf")
    with pytest.raises(ResultNotWrittenError, match="could not be written"):
        write_card_page(bundle(), tmp_path / "gone" / "card.md")
    assert list(tmp_path.iterdir()) == []
