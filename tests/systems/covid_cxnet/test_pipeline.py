import shutil
import subprocess
import sys

import numpy as np
import pytest

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import BundleError
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.covid_cxnet.classes import BINARY_STAGE
from cxrscreen.systems.covid_cxnet.pipeline import NO_OTHER_PNEUMONIA, class_shares, decision_logit, load
from cxrscreen.systems.registry import load_system


@pytest.fixture(scope="module")
def system(bundle):
    return load_system(bundle.folder, threads=1)


@pytest.fixture(scope="module")
def radiograph(phantom_data):
    return read(phantom_data.image_file(phantom_data.table.index[0]))


@pytest.fixture(scope="module")
def screening(system, radiograph):
    return system.screen(radiograph, policy="off")


def test_a_screening_decides_and_shows_both_classes(screening, radiograph):
    assert screening.status == "screened"
    assert list(screening.probabilities) == [BINARY_STAGE]
    assert screening.finding in {"normal", "covid19"}
    assert (NO_OTHER_PNEUMONIA in screening.warnings) == (screening.finding == "covid19")
    assert {saliency.name for saliency in screening.saliency} == {"normal", "covid19"}
    for saliency in screening.saliency:
        assert saliency.values.shape == radiograph.shape
        assert saliency.values.min() >= 0
        assert saliency.values.max() <= 1


def test_the_same_image_gives_the_same_result(system, radiograph, screening):
    again = system.screen(radiograph, policy="off", explain=False)
    assert again.probabilities == screening.probabilities
    assert again.saliency == ()


def test_the_probability_is_the_networks(system, radiograph, screening):
    from cxrscreen.systems.covid_cxnet.preprocessing import view_input

    shares = system.shares_of(view_input(system.view(radiograph), system.settings)[None])
    assert shares.shape == (1, 2)
    assert screening.probabilities[BINARY_STAGE] == pytest.approx(float(shares[0, 1]), abs=1e-5)


def test_all_findings_have_a_probability(system, radiograph, bundle, tmp_path):
    found = system.finding_probabilities(radiograph)
    assert tuple(found) == FINDINGS
    assert all(0 <= value <= 1 for value in found.values())
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    files = {name: digest for name, digest in bundle.card.files.items() if not name.startswith("findings")}
    without = load(write_card(folder, bundle.card.model_copy(update={"files": files})))
    with pytest.raises(BundleError, match=r"findings\.onnx"):
        without.finding_probabilities(radiograph)


def test_features_are_the_ten_nodes(system, radiograph):
    features = system.features(radiograph)
    assert set(features) == {BINARY_STAGE}
    assert features[BINARY_STAGE].shape == (10,)
    assert (features[BINARY_STAGE] >= 0).all()


def test_torch_is_not_imported_on_the_way_to_a_screening(bundle, phantom_data):
    file = phantom_data.image_file(phantom_data.table.index[0])
    code = (
        "import sys; from cxrscreen.imaging.read import read; from cxrscreen.systems.registry import load_system; "
        f"load_system({str(bundle.folder)!r}).screen(read({str(file)!r}), policy='off'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_card_of_another_kind_is_refused(bundle, tmp_path):
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    with pytest.raises(BundleError, match="preprocessing that this version does not know"):
        load(write_card(folder, bundle.card.model_copy(update={"preprocessing": {"h2": "cam"}})))
    with pytest.raises(BundleError, match=f"lacks the decision {BINARY_STAGE}"):
        load(write_card(folder, bundle.card.model_copy(update={"stages": {}})))


def test_decisions_by_hand():
    shares = class_shares(np.array([[0.0, 0.0, np.log(2)]], np.float32))[0]
    np.testing.assert_allclose(shares, [0.25, 0.25, 0.5], rtol=1e-6)
    assert decision_logit("pneumonia", shares) == pytest.approx(np.log(3), abs=1e-6)
    assert decision_logit("covid19", shares) == pytest.approx(np.log(2), abs=1e-6)
    two = class_shares(np.array([[np.log(4)]], np.float32))[0]
    np.testing.assert_allclose(two, [0.2, 0.8], rtol=1e-6)
    assert decision_logit(BINARY_STAGE, two) == pytest.approx(np.log(4), abs=1e-5)
    with pytest.raises(ValueError, match="no decision"):
        decision_logit("viral", shares)
