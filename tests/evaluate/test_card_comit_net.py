"""The card of COMiT-Net: measured in one pass, and read as a page with the figures of its own decisions."""

import pytest
import yaml

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.evaluate import card as card_module
from cxrscreen.evaluate.card import measure_bundle
from cxrscreen.report.card_page import card_html, card_markdown
from cxrscreen.report.card_sections import card_sections
from cxrscreen.systems.bundle import Card, open_bundle
from cxrscreen.systems.comit_net.decisions import DECISIONS
from cxrscreen.systems.comit_net.labels import STAGES
from cxrscreen.systems.contract import Stage
from cxrscreen.systems.decisions import all_decisions

POINT = {"operating_points": {"half": {"threshold": 0.5, "rule": "not chosen yet", "site": "none"}}, "default": "half"}
LUNGS = "lungs-any"
PROTOCOLS = tuple(decision.protocols[0] for decision in DECISIONS)

CARD = {
    "format": 1,
    "name": "comit_net",
    "version": "1",
    "system": "comit_net",
    "created": "2026-01-01",
    **dict.fromkeys(("summary", "intended_use", "licence"), "x"),
    **{"not_for": [], "limits": [], "recipe": {}, "files": {}},
    "preprocessing": {"masks": ["lungs", "disease"], "low": 1.0, "high": 99.0},
    "stages": dict.fromkeys(STAGES, POINT),
    "data": {"images_sha256": "0", "splits": {}, "seed": 0, "images": {}, "licences": []},
}


@pytest.fixture
def splits(manifest_folder):
    manifest = load_manifest(manifest_folder)
    return {name: make_split(name, manifest) for name in (*PROTOCOLS, LUNGS)}


@pytest.fixture
def folder(splits, tmp_path):
    data = CARD["data"] | {"splits": {name: split.digest for name, split in splits.items()}}
    content = CARD | {"data": data}
    (tmp_path / "comit").mkdir()
    (tmp_path / "comit" / "card.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path / "comit"


@pytest.fixture
def measured(folder, manifest_folder, grey_system, read_grey, monkeypatch):
    class Several:
        """Three scores of one image, of which the third falls as the others rise; with the lungs of the grey system."""

        bundle_id = "comit_net@1"

        def screen(self, radiograph, *, force=False, explain=True):
            screening = grey_system.screen(radiograph, force=force, explain=explain)
            ill = screening.triage_score
            shares = dict(zip(STAGES, (ill, ill**2, 1 - ill), strict=True))
            stages = tuple(Stage(name, STAGES[name], share, 0.5, "half") for name, share in shares.items())
            return type(screening)(**(vars(screening) | {"stages": stages}))

    monkeypatch.setattr(card_module, "load_system", lambda folder: Several())
    return measure_bundle(folder, load_manifest(manifest_folder), read_grey, lambda *_: None)


def test_every_decision_and_the_lungs_are_measured_and_on_the_page(measured, splits):
    card = measured.card
    assert set(card.results) == {*PROTOCOLS, LUNGS}
    for decision, protocol in zip(DECISIONS, PROTOCOLS, strict=True):
        result, stage = card.results[protocol], card.stages[decision.stage]
        assert result["images"] == len(splits[protocol].test)
        assert result["pooled_auc"]["positives"] == sum(splits[protocol].truth[i] for i in splits[protocol].test)
        assert result["pooled_auc"]["ci_low"] <= result["pooled_auc"]["value"] <= result["pooled_auc"]["ci_high"]
        assert result["command"].endswith(f"--protocol {protocol} --seed 0 --out DIR")
        assert stage.default == "youden"
        assert stage.point().site.startswith(f"validation part of {protocol}")
    # The grey system's lungs miss 7 of 168 pixels.
    assert card.results[LUNGS]["dice"]["value"] == pytest.approx(2 * 161 / (161 + 168), abs=1e-3)
    page, html = card_markdown(open_bundle(measured.folder)), card_html(measured)
    for title in (
        "Any disease of the lungs, against healthy",
        "COVID-19, against all others",
        "Other pneumonia, against all others",
    ):
        assert title in page
        assert title in html
    # Decisions first, then outlines; within sources first, then pooled.
    results = page[page.index("## Measured results") :]
    assert results.index("Any disease of the lungs") < results.index("### Lung outline")
    first = results[: results.index("### COVID-19, against all others")]
    assert "shenzhen" in first
    assert first.index("AUC within each source") < first.index("AUC, all sources pooled")
    for heading in ("### Unhealthy", "### COVID-19 / all", "### Other pneumonia"):
        assert heading in page
    for words in (
        "Masks that the network has learned",
        "Percentile of the grey",
        "comit-unhealthy",
        "Research use only",
    ):
        assert words in page, words
    assert "None" not in page


def test_what_a_decision_is_measured_by_has_a_title_in_words():
    asked = {decision.protocols[0] for decision in all_decisions()} | {LUNGS, "cxnet-classes", "patch-classes"}
    card = Card.model_validate(CARD | {"results": {name: {"images": 1} for name in asked}})
    titles = [section.title for section in card_sections(card) if section.name.startswith("result-")]
    assert len(titles) == len(asked)
    assert not [title for title in titles if title.lower().startswith(("cxnet", "comit", "patch", "stage", "lungs"))]


def test_a_card_without_results_says_so_and_renders(folder):
    page = card_markdown(open_bundle(folder))
    assert "Nothing was measured yet" in page
    assert "Scores are not calibrated" in page
