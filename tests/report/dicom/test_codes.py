"""Every decision and every map of the systems has a code of its own."""

import pytest
from pydicom.sr.codedict import codes

from cxrscreen.report.dicom.codes import COVID19, MAP_CODES, SCHEME, STAGE_CODES, stage_code
from cxrscreen.systems.bundle import open_bundle, shipped_bundles
from cxrscreen.systems.covid_cxnet.classes import STAGES


@pytest.mark.parametrize("name", sorted(shipped_bundles()))
def test_no_decision_of_a_shipped_bundle_falls_back_on_its_name(name):
    stages = open_bundle(shipped_bundles()[name]).card.stages
    assert stages
    assert set(stages) <= set(STAGE_CODES)


def test_covid19_has_its_code_whatever_it_is_told_from():
    names = {"covid19", "covid19_against_all", *STAGES["binary"]}
    assert {stage_code(name) for name in names} == {COVID19}
    assert stage_code("unhealthy").scheme_designator == SCHEME
    assert stage_code("of-another-system").value == "of-another-syste"


def test_the_maps_of_one_screening_are_of_one_kind():
    kinds = {MAP_CODES[name] for name in ("normal", "other-pneumonia", "covid19")}
    assert kinds == {codes.DCM.GradientWeightedClassActivation}
