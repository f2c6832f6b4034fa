import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.report import page as page_module
from cxrscreen.report.folder import ResultNotWrittenError, write_folder
from cxrscreen.report.page import Details, Entry, Report, render_report
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.systems.contract import Concern, Screening, Stage, Verdict

HOSTILE = "<script>alert(1)</script>\"' onerror=x &amp;.png"
VOID = {"meta", "img", "rect", "line", "br"}


class Page(HTMLParser):
    """The elements of a page; fails where an element is closed that is not open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def make_entry(
    tmp_path: Path, radiograph: Radiograph, make_screening: Callable[..., Screening]
) -> Callable[..., Entry]:
    def make(name: str, *, covid: float | None = 0.8) -> Entry:
        screening = make_screening(covid=covid)
        thumbnails = write_folder(tmp_path / "folder", radiograph, screening)
        path = Path("ward 7/secret") / name
        record = ScreeningRecord.screened(path, radiograph, screening, read_seconds=0.1, write_seconds=0.1)
        return Entry(path, record, "folder", Details(screening.stages, thumbnails))

    return make


def failed(path: Path, reason: str) -> Entry:
    return Entry(path, ScreeningRecord.failed(path, reason, "cascade@1.0"))


def rendered(*entries: Entry) -> str:
    return "".join(render_report(entries, bundle="cascade@1.0", made_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)))


def test_findings_of_patch_voting_are_counted_by_their_own_names(
    tmp_path: Path, radiograph: Radiograph, make_screening: Callable[..., Screening], make_entry: Callable[..., Entry]
) -> None:
    names = ("pneumonia", "bacterial", "tuberculosis", "viral")
    stages = tuple(Stage(name, f"{name} against the rest", 0.6, 0.5, "youden") for name in names)
    entries = []
    for finding in ("viral", "viral", "tuberculosis"):
        screening = replace(make_screening(), stages=stages, finding=finding)
        thumbnails = write_folder(tmp_path / finding, radiograph, screening)
        record = ScreeningRecord.screened(Path("a.png"), radiograph, screening, read_seconds=0.1, write_seconds=0.1)
        assert ScreeningRecord.from_line(record.line()).finding == finding
        entries.append(Entry(Path("a.png"), record, finding, Details(stages, thumbnails)))
    html = rendered(*entries)
    page = Page(html)
    tiles = [each["class"] for each in page.all("div") if (each.get("class") or "").startswith("tile ")]
    assert tiles[:4] == ["tile viral", "tile bacterial", "tile tuberculosis", "tile normal"]
    assert "Viral pneumonia or COVID-19 called" in page.text
    assert "speaks for viral pneumonia or COVID-19" in page.text
    assert "COVID-19 called" not in page.text.replace("or COVID-19 called", "")
    for finding in ("viral", "bacterial", "tuberculosis"):
        assert all(f"{place}.{finding}" in html for place in (".tile", ".chip", ".fill"))
    # Beside the cascade's, both families are counted.
    both = Page(rendered(make_entry("b.png"), *entries)).text
    assert "Other pneumonia called" in both
    assert "Bacterial pneumonia called" in both


def test_coverage_has_a_scale_of_its_own_and_what_was_not_looked_at_is_said(
    tmp_path: Path, radiograph: Radiograph, partly: Screening, make_entry: Callable[..., Entry]
) -> None:
    thumbnails = write_folder(tmp_path / "part", radiograph, partly)
    record = ScreeningRecord.screened(Path("a.png"), radiograph, partly, read_seconds=0.1, write_seconds=0.1)
    page = Page(rendered(Entry(Path("a.png"), record, "part", Details(partly.stages, thumbnails))))
    assert page.text.count("Grey hatching: not looked at.") == 2
    assert sum("Grey hatching: not looked at." in str(image["alt"]) for image in page.all("img")) == 2
    assert page.text.count("lies inside the lungs") == 1
    scales = [bar["class"] for bar in page.all("i") if bar.get("role") == "img"]
    assert scales == ["saliency", "coverage"]
    assert "how often the system looked" in page.text
    whole = Page(rendered(make_entry("b.png")))
    assert [bar["class"] for bar in whole.all("i") if bar.get("role") == "img"] == ["saliency"]
    assert "hatching" not in whole.text


def test_a_hostile_name_is_shown_and_does_nothing(make_entry: Callable[..., Entry]) -> None:
    hostile = Path(HOSTILE.replace("/", "_"))
    page = Page(rendered(make_entry(hostile.name), failed(hostile, f"{hostile} is no image.")))
    assert page.all("script") == []
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert page.text.count(hostile.name) == 4


def test_a_hostile_folder_name_is_no_address(make_entry: Callable[..., Entry]) -> None:
    entry = make_entry("a.png")
    page = Page(rendered(Entry(entry.path, entry.record, "javascript:alert(1)//#?%", entry.details)))
    links = [str(link["href"]) for link in page.all("a")]
    assert any("javascript" in link for link in links)
    assert all(link.startswith(("#", "./javascript%3Aalert%281%29//%23%3F%25/")) for link in links)


def test_the_page_asks_nothing_from_outside(make_entry: Callable[..., Entry]) -> None:
    html = rendered(make_entry("a.png"), make_entry("b.png", covid=None), failed(Path("c.png"), "c.png is empty."))
    page = Page(html)
    assert not re.search(r"https?:|url\(|@import|<link|<script|<iframe", html)
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert all(re.match(r"#|\./", str(link["href"])) for link in page.all("a"))


def test_no_folder_of_the_user_is_shown(make_entry: Callable[..., Entry]) -> None:
    path = Path("ward 7/secret/b.dcm")
    html = rendered(make_entry("a.png"), failed(path, f"{path.absolute()} is empty."))
    assert "a.png" in html
    assert "b.dcm is empty." in html
    assert "secret" not in html
    assert "ward" not in html


def test_files_of_one_name_are_told_apart_by_their_result_folders(make_entry: Callable[..., Entry]) -> None:
    twins = [replace(make_entry("im1.dcm"), path=Path(f"p{n}/im1.dcm"), folder=f"im1-{n}") for n in (1, 2)]
    html = rendered(*twins, make_entry("other.png"))
    for folder in ("im1-1", "im1-2"):
        # Once in the worklist, once above the card.
        assert html.count(f"in {folder}<") == 2
    assert "in other" not in html


def test_the_page_can_be_read_by_everybody(make_entry: Callable[..., Entry]) -> None:
    page = Page(rendered(make_entry("a.png"), failed(Path("c.png"), "c.png is empty.")))
    assert page.all("html") == [{"lang": "en"}]
    assert all(image["alt"] and image["width"] and image["height"] for image in page.all("img"))
    assert all("scope" in head for head in page.all("th"))
    parts = [
        part for tag, part in page.elements if tag in ("section", "nav", "article") or part.get("role") == "region"
    ]
    labels = [part.get("aria-label") or part["aria-labelledby"] for part in parts]
    assert len(labels) == len(set(labels))
    targets = {attributes.get("id") for _, attributes in page.elements}
    links = [str(link["href"]) for link in page.all("a")]
    assert all(link[1:] in targets for link in links if link.startswith("#"))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_worklist_counts_and_plain_words(make_entry: Callable[..., Entry]) -> None:
    low, high = make_entry("low.png", covid=None), make_entry("high.png", covid=0.3)
    text = Page(rendered(low, high, failed(Path("c.png"), "c.png is empty."))).text
    assert "Research use only." in text
    assert text.index("high.png") < text.index("low.png")
    assert "1 radiograph was called normal by the first decision" in text
    assert "At or above the operating point of 0.40: called pneumonia (any type)." in text
    assert "Below the operating point of 0.50: called other pneumonia." in text
    assert "Not asked" in text
    assert "The lungs are small." in text
    assert "What this report does not say" in text
    assert "c.png is empty." in text


def test_the_suggestion_is_shown_with_its_reason_and_what_it_is_not(
    make_screening: Callable[..., Screening], radiograph: Radiograph, tmp_path: Path
) -> None:
    screening = replace(make_screening(), quality="good")
    record = ScreeningRecord.screened(Path("a.png"), radiograph, screening, read_seconds=0, write_seconds=0)
    details = Details(screening.stages, write_folder(tmp_path / "a", radiograph, screening))
    text = Page(rendered(Entry(Path("a.png"), record, "a", details))).text
    assert text.count("RT-PCR / CT first") == 2
    assert "The system called “COVID-19”. Policy “fig9”; a suggestion for ordering work, not treatment advice." in text
    assert "The suggested order of work is no treatment advice." in text


def test_an_uncertain_result_suggests_a_reader(make_entry: Callable[..., Entry]) -> None:
    text = Page(rendered(make_entry("a.png"))).text
    assert text.count("Cannot say: read by a person") == 2
    assert "The quality is limited" in text


def test_refused_files_stand_apart_with_code_and_sentence(
    make_entry: Callable[..., Entry], tmp_path: Path, radiograph: Radiograph, refused_screening: Screening
) -> None:
    path = Path("ward 7/secret/side.png")
    record = ScreeningRecord.screened(path, radiograph, refused_screening, read_seconds=0, write_seconds=0)
    page = Page(rendered(make_entry("a.png"), Entry(path, record, "side")))
    assert "Refused files" in page.text
    refused = page.text[page.text.index("Refused files", page.text.index("Worklist")) :]
    assert "side.png" in refused
    assert "lateral This is a lateral view." in refused
    assert "too_small The image is very small." in refused
    assert len(page.all("article")) == 1
    assert any(link["href"] == "./side/" for link in page.all("a"))
    assert "Refused files" not in Page(rendered(make_entry("a.png"))).text


def test_a_concern_of_a_screened_file_is_shown_once_with_its_code(
    make_screening: Callable[..., Screening], radiograph: Radiograph, tmp_path: Path
) -> None:
    verdict = Verdict("standard", (Concern("child", "This looks like a child.", "warn"),))
    screening = replace(make_screening(), verdict=verdict, warnings=("The lungs are small.", *verdict.sentences))
    record = ScreeningRecord.screened(Path("a.png"), radiograph, screening, read_seconds=0, write_seconds=0)
    details = Details(screening.stages, write_folder(tmp_path / "a", radiograph, screening))
    text = Page(rendered(Entry(Path("a.png"), record, "a", details))).text
    assert text.count("This looks like a child.") == 1
    assert "child This looks like a child." in text
    assert "The lungs are small." in text


def test_a_page_without_any_result() -> None:
    assert "No file was screened." in Page(rendered(failed(Path("c.png"), "c.png is empty."))).text
    assert "Failed files" not in Page(rendered()).text


def test_only_the_most_urgent_get_a_card(make_entry: Callable[..., Entry], tmp_path: Path) -> None:
    report = Report("cascade@1.0", cards=1)
    for name, covid in (("low.png", None), ("high.png", 0.8), ("late.png", None)):
        entry = make_entry(name, covid=covid)
        report.add(entry.path, entry.record, entry.folder, entry.details)
    report.write(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.all("article")) == 1
    assert page.text.count("high.png") == 2
    assert page.text.count("low.png") == page.text.count("late.png") == 1
    assert "the pictures of the other 2 are in their folders" in page.text
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_five_hundred_radiographs_fit_into_forty_megabytes(make_entry: Callable[..., Entry]) -> None:
    one, two = len(rendered(make_entry("a.png"))), len(rendered(make_entry("a.png"), make_entry("b.png")))
    assert (two - one) * 500 < 40e6


def _luminance(colour: str) -> float:
    colour = colour if len(colour) == 7 else "#" + "".join(c * 2 for c in colour[1:])
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_has_enough_contrast_in_light_dark_and_print() -> None:
    css = (Path(page_module.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--([\w-]+): (#\w+);", block)) for block in re.findall(r":root \{([^}]*)\}", css)]
    assert len(schemes) == 3
    pairs = [(text, ground) for text in ("ink", "quiet", "link", "bad") for ground in ("page", "paper")]
    pairs += [(name, f"{name}-soft") for name in ("covid", "other", "normal", "warn")]
    pairs += [(name, "paper") for name in ("covid", "other", "normal", "warn")]
    for scheme in schemes:
        for text, ground in pairs:
            light, dark = sorted((_luminance(scheme[text]), _luminance(scheme[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground, scheme)


def test_a_page_that_does_not_fit_leaves_the_older_one_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> Iterator[str]:
        yield "<!doctype html>"
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "report.html").write_text("older")
    monkeypatch.setattr(page_module, "render_report", full)
    with pytest.raises(ResultNotWrittenError, match="No space left on device"):
        Report("b@1").write(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "older"
