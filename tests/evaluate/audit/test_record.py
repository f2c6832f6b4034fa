import json

import pytest

from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.audit.part import AuditPart
from cxrscreen.evaluate.audit.record import record_audit
from cxrscreen.evaluate.audit.report import write_audit
from cxrscreen.systems.bundle import open_bundle


def a_part(name="trial", *, passed=False):
    return AuditPart(name, "A trial", "Does it work?", "Once.", passed, "It does not.", (), (), "Anything.")


@pytest.fixture
def audited(honest, tmp_path):
    write_audit(tmp_path / "out", honest, [a_part(), a_part(name="sources", passed=None)])
    return honest.bundle, tmp_path / "out"


def change(folder, **changes):
    content = json.loads((folder / "audit.json").read_text())
    (folder / "audit.json").write_text(json.dumps(content | changes))


def test_the_card_holds_what_the_audit_found(audited):
    bundle, folder = audited
    entry = record_audit(bundle, folder).card.results["audit"]
    assert entry["trial"] == {"passed": False, "finding": "It does not.", "not_to_conclude": "Anything."}
    assert entry["source_prediction"]["passed"] is None
    assert entry["command"].startswith("cxrscreen audit")
    assert open_bundle(bundle.folder).card.results["audit"] == entry


def test_another_audit_leaves_what_stood_and_replaces_its_own(audited):
    bundle, folder = audited
    recorded = record_audit(bundle, folder)
    part = json.loads((folder / "audit.json").read_text())["audits"][0]
    change(folder, audits=[part | {"passed": True}])
    entry = record_audit(recorded, folder).card.results["audit"]
    assert entry["trial"]["passed"] is True
    assert "source_prediction" in entry


@pytest.mark.parametrize(
    ("changes", "words"), [({"bundle": "other@2.0.0"}, "not of constructed"), ({"limited": True}, "trial")]
)
def test_an_audit_of_another_bundle_and_a_trial_are_refused(audited, changes, words):
    bundle, folder = audited
    change(folder, **changes)
    with pytest.raises(CxrscreenError, match=words):
        record_audit(bundle, folder)


@pytest.mark.parametrize("content", ["[]", "{}", "not json"])
def test_what_is_no_audit_is_refused(audited, content):
    bundle, folder = audited
    (folder / "audit.json").write_text(content)
    with pytest.raises(CxrscreenError, match="no audit"):
        record_audit(bundle, folder)


def test_other_images_are_refused(audited):
    bundle, folder = audited
    data = bundle.card.data.model_copy(update={"splits": {"stage2": "f" * 64}})
    other = bundle.card.model_copy(update={"data": data})
    change(folder, protocols={"stage2": "0" * 64})
    with pytest.raises(CxrscreenError, match="other images"):
        record_audit(type(bundle)(bundle.folder, other), folder)


def test_an_empty_folder_is_refused(audited, tmp_path):
    with pytest.raises(CxrscreenError, match="There is no audit in tmp-nothing"):
        record_audit(audited[0], tmp_path / "tmp-nothing")
