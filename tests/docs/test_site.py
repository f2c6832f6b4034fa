"""The built site: whole, of this house alone, and with the statement of use on every page."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.systems.bundle import shipped_bundles

from .blocks import ROOT

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield out
    shutil.rmtree(out)


class Fetched(HTMLParser):
    """What a browser fetches by itself when it opens a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in {"script", "img", "iframe", "source"}:
            self.addresses.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in {"canonical", "next", "prev"}:
            self.addresses.append(given.get("href") or "")


def pages_of(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_nothing_comes_from_another_host(site):
    for page in pages_of(site):
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.addresses
        assert [address for address in fetched.addresses if re.match(r"(https?:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        addresses = re.findall(r"url\(['\"]?(?!data:)([^)'\"]+)", style.read_text(encoding="utf-8"))
        assert not [each for each in addresses if re.match(r"(https?:)?//", each)], style


def test_every_page_says_what_it_is_for(site):
    assert len(pages_of(site)) > 35
    for page in pages_of(site):
        text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert RESEARCH_USE in " ".join(text.split()), page


def test_equations_are_shown_without_a_script(site):
    for name, least in (("cascade", 6), ("covid-cxnet", 4), ("patch-voting", 6), ("comit-net", 8)):
        text = (site / "systems" / f"{name}.html").read_text(encoding="utf-8")
        assert text.count("<math ") >= least, name
    for page in pages_of(site):
        text = page.read_text(encoding="utf-8")
        assert 'class="arithmatex"' not in text, page
        assert ":math:" not in text
        assert ".. math::" not in text


def test_cards_rooms_and_reference_are_made_of_the_source(site):
    for name in shipped_bundles():
        assert "Research use only" in (site / "cards" / f"{name}.html").read_text(encoding="utf-8")
    picture = (site / "figures" / "rooms.svg").read_text(encoding="utf-8")
    assert picture.count(">imaging<") == 1
    assert "cxrscreen.imaging.read.read" in (site / "reference" / "imaging.html").read_text(encoding="utf-8")


def test_no_path_of_a_machine_is_in_it(site):
    for page in pages_of(site):
        assert str(ROOT) not in page.read_text(encoding="utf-8"), page


def test_figures_are_small():
    pictures = list((ROOT / "docs" / "figures").glob("*.png"))
    assert len(pictures) == 6
    assert all(picture.stat().st_size < 150_000 for picture in pictures)
