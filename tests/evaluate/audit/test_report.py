"""From the audits to their files: complete, self-contained, the same twice, and no image named but in scores.csv."""

import json
import re
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import BundleError, CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.part import AuditFigure, AuditPart, AuditTable, plain
from cxrscreen.evaluate.audit.report import write_audit
from cxrscreen.evaluate.audit.run import AUDITS, Audit, audit_data, named_audits, protocols_of, run_audits
from cxrscreen.evaluate.audit.untouched import untouched
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.systems.learned import images_digest


def a_part(**changes):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    estimate = Estimate(0.5, 0.25, 0.75, 10, 5, "given")
    part = AuditPart(
        name="trial",
        title="A <trial>",
        question="Does it work?",
        design="Once.",
        passed=False,
        finding="It does not.",
        tables=(AuditTable("Numbers", ("What", "Value", "n"), (("x", estimate, 3), ("y", None, float("nan")))),),
        figures=(AuditFigure("A line", figure, "A line that rises."),),
        not_to_conclude="Anything.",
    )
    return replace(part, **changes)


@pytest.fixture
def written(honest, tmp_path):
    return write_audit(tmp_path / "out", honest, [a_part()])


def test_the_page_is_one_file_that_asks_for_nothing(written):
    page = written["audit.html"].read_text()
    assert RESEARCH_USE in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "A &lt;trial&gt;" in page
    assert "data:image/svg+xml;base64," in page
    assert '0.500<span class="ci">[0.250, 0.750]</span>' in page
    assert "Not to be concluded:</strong> Anything." in page


def test_the_first_page_says_what_a_reader_must_know(written):
    content = json.loads(written["audit.json"].read_text())
    sections = {section["title"]: section for section in content["first_page"]}
    text = json.dumps(content["first_page"])
    for expected in (
        "Not answered, so nothing is known about: black lungs",
        "It knows one place only.",
        "Not for: Anything else.",
        "80 test images asked for, 80 screened, 0 failed.",
        "Left out of stage2: 2 images, lateral views.",
        "not known to this software",
        "Sensitivity at specificity 0.95",
        "ECE",
    ):
        assert expected in text, expected
    verdicts = sections["What passed and what failed"]["tables"][0]["rows"]
    assert verdicts == [["A <trial>", "failed", "It does not."]]
    images = sections["Images: sources and labels"]["tables"][0]
    assert images["columns"] == ["Source", "normal", "pneumonia", "total"]
    assert images["rows"][-1] == ["total", 40, 40, 80]
    split = sections["Split rule, and proof that parts do not overlap"]["tables"][0]["rows"][0]
    assert split[1:7] == [0, 0, 80, 0, 0, False]
    hashes = {row[0]: row[2] for row in sections["Model, data and code"]["tables"][0]["rows"]}
    assert re.fullmatch("[0-9a-f]{64}", hashes["Software"])
    assert re.fullmatch("[0-9a-f]{64}", hashes["Images of this audit"])


def test_numbers_without_a_value_are_null(written):
    content = json.loads(written["audit.json"].read_text())
    (table,) = content["audits"][0]["tables"]
    assert table["rows"][1] == ["y", None, None]
    assert table["rows"][0][1]["ci_high"] == 0.75
    assert plain({"a": (float("inf"), 1)}) == {"a": [None, 1]}


def test_only_the_scores_name_images(written):
    assert "image003" in written["scores.csv"].read_text()
    assert "image003" not in written["audit.html"].read_text()
    assert "image003" not in written["audit.json"].read_text()


def test_the_same_audit_gives_the_same_bytes(honest, tmp_path):
    audits = named_audits(["black-lungs"])
    first, second = (
        write_audit(tmp_path / name, honest, run_audits(honest, audits)[0]) for name in ("first", "second")
    )
    assert set(first) == {
        "audit.json",
        "audit.html",
        "scores.csv",
        "scores-black-lungs.csv",
        "failures.csv",
        "figures/black-lungs.png",
        "figures/black-lungs.svg",
    }
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes(), name


def test_unreadable_images_are_counted_and_told_without_their_folder(audit_of, lungs, tmp_path):
    data = audit_of(lungs, broken=("image000", "image001"))
    assert len(untouched(data).scores) == 78
    assert untouched(data).failures["image000"] == "image000 is empty: copy it again."
    content = json.loads(write_audit(tmp_path / "out", data, [])["audit.json"].read_text())
    assert content["images"] == {"screened": 78, "failed": 2}
    assert "image001 is empty" in (tmp_path / "out" / "failures.csv").read_text()
    assert "80 test images asked for, 78 screened, 2 failed (failures.csv says why)." in json.dumps(
        content["first_page"]
    )


def test_nothing_screened_is_an_error(audit_of, lungs):
    data = audit_of(lungs, images=4, broken=tuple(f"image{i:03d}" for i in range(4)))
    with pytest.raises(ManifestError, match=r"None of 4 image\(s\) could be screened; the first: image000 is empty"):
        untouched(data)


def test_an_audit_that_stops_does_not_cost_the_others(honest, monkeypatch):
    def refuse(data):
        raise CxrscreenError("There are no boxes: add boxes.csv.")

    def fault(data):
        raise ZeroDivisionError

    monkeypatch.setattr("cxrscreen.evaluate.audit.regions.audit_borders", refuse)
    monkeypatch.setattr("cxrscreen.evaluate.audit.regions.audit_lungs_only", fault)
    parts, stopped = run_audits(honest, named_audits(["borders", "lungs-only", "black-lungs"]))
    assert [part.passed for part in parts] == [True, None, None]
    assert stopped == ("lungs-only", "borders")
    assert "fault of the program (ZeroDivisionError)" in parts[1].finding
    assert parts[2].finding == "Could not be run: There are no boxes: add boxes.csv."
    assert [part.content()["stopped"] for part in parts] == [False, True, True]


def test_audits_are_named_and_importable():
    assert named_audits([], controls=True) == AUDITS
    assert set(named_audits([])) == {audit for audit in AUDITS if not audit.trains}
    assert len({audit.name for audit in AUDITS}) == len(AUDITS)
    with pytest.raises(CxrscreenError, match="no audit 'shadow': use black-lungs"):
        named_audits(["shadow"])
    assert Audit("plain", "part", "plain").run(3) == 3


def test_a_table_with_a_short_row_is_refused():
    with pytest.raises(ValueError, match="must have 2 cells"):
        AuditTable("t", ("a", "b"), (("x",),))


def test_images_are_drawn_from_the_splits(honest):
    with pytest.raises(BundleError, match="does not decide what stage9 asks: use one of stage2"):
        audit_data(
            honest.system, honest.bundle, honest.manifest, honest.read, ["stage9"], seed=0, replicates=100, limit=5
        )
    data = audit_data(
        honest.system, honest.bundle, honest.manifest, honest.read, ["stage2"], seed=0, replicates=100, limit=5
    )
    assert len(data.images("stage2", "train")) == 5
    assert set(data.images("stage2", "train")) <= set(data.splits["stage2"].train)


def test_each_decision_is_asked_once_by_its_first_protocol(honest):
    def asked(names, system="cascade", **card):
        changed = honest.bundle.card.model_copy(update={"system": system, **card})
        return protocols_of(replace(honest.bundle, card=changed), names)

    assert asked(()) == ("stage2",)  # The constructed bundle decides pneumonia alone.
    assert asked((), "patch_voting") == ("patch-pneumonia",)
    assert asked(("stage3", "stage3")) == ("stage3",)
    given = (honest.system, honest.bundle, honest.manifest, honest.read)
    with pytest.raises(BundleError, match="ask for pneumonia: audit stage2-adults by itself"):
        audit_data(*given, ["stage2", "stage2-adults"], seed=0, replicates=100)
    with pytest.raises(BundleError, match="does not decide covid19: leave out stage3"):
        audit_data(*given, ["stage3"], seed=0, replicates=100)


def test_an_audit_keeps_to_the_sources_that_the_card_names(honest):
    def asked(digest, **given):
        known = {"sources": {"stage2": ["a"]}, "images_sha256": digest}
        card = honest.bundle.card.model_copy(update={"data": honest.bundle.card.data.model_copy(update=known)})
        bundle = replace(honest.bundle, card=card)
        audited = audit_data(
            honest.system, bundle, honest.manifest, honest.read, ["stage2"], seed=0, replicates=100, limit=5, **given
        )
        used = [i for part in ("train", "validation", "test") for i in audited.splits["stage2"].part(part)]
        return set(honest.manifest.table.loc[used, "source"])

    assert asked(images_digest(honest.manifest)) == {"a"}
    # Of another hospital's images all are asked about, or those of the sources that are given.
    assert asked("of other images") == {"a", "b"}
    assert asked("of other images", sources=("b",)) == {"b"}
