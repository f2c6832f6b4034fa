import pytest

from cxrscreen.data.manifest import LABELS
from cxrscreen.data.protocols import PROTOCOLS
from cxrscreen.errors import BundleError
from cxrscreen.systems.decisions import all_decisions, decision_for, decisions_of
from cxrscreen.systems.registry import SYSTEMS


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_decisions_of_a_system_are_told_apart_and_asked_by_protocols_there_are(system):
    decisions = decisions_of(system)
    for name in ("stage", "words"):
        values = [getattr(decision, name) for decision in decisions]
        assert len(set(values)) == len(values)
    asked = [protocol for decision in decisions for protocol in decision.protocols]
    assert len(set(asked)) == len(asked)
    for decision in decisions:
        assert decision.control in LABELS
        for protocol in decision.protocols:
            assert PROTOCOLS[protocol].positive
            assert decision_for(system, protocol) == decision


def test_viral_is_not_covid19():
    viral = decision_for("patch_voting", "patch-viral")
    assert viral.stage == "viral"
    assert "covid19" not in {decision.stage for decision in decisions_of("patch_voting")}
    with pytest.raises(BundleError, match="patch_voting does not decide what stage3 asks: use one of patch-pneumonia"):
        decision_for("patch_voting", "stage3")


def test_one_protocol_is_called_the_same_in_every_system():
    words = {}
    for decision in all_decisions():
        for protocol in decision.protocols:
            words.setdefault(protocol, set()).add((decision.stage, decision.words))
    assert {protocol: said for protocol, said in words.items() if len(said) > 1} == {}


def test_an_unknown_system_is_a_sentence():
    with pytest.raises(BundleError, match="There is no system 'oracle' in this version: use one of cascade"):
        decisions_of("oracle")
