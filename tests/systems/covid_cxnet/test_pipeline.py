import shutil
import subprocess
import sys

import numpy as np
import pytest

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import BundleError
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.contract import Stage
from cxrscreen.systems.covid_cxnet.classes import BINARY_STAGE
from cxrscreen.systems.covid_cxnet.pipeline import (
    APART,
    NO_OTHER_PNEUMONIA,
    NOT_APART,
    NOT_STATED,
    class_shares,
    decision_logit,
    disagreement,
    load,
)
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


def test_the_work_of_an_image_is_that_of_its_network_and_side(system, bundle, tmp_path):
    assert system.work == pytest.approx(0.4 * (system.side / 224) ** 2)
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    for network, work in (("chexnet", 2.9), ("another", 4.1)):
        recipe = bundle.card.recipe | {"classifier": {"network": network}}
        written = load(write_card(folder, bundle.card.model_copy(update={"recipe": recipe})))
        assert written.work == pytest.approx(work * (system.side / 224) ** 2)


def test_all_findings_have_a_probability(system, radiograph, bundle, tmp_path):
    found = system.finding_probabilities(radiograph)
    assert tuple(found) == FINDINGS
    assert all(0 <= value <= 1 for value in found.values())
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    files = {name: digest for name, digest in bundle.card.files.items() if not name.startswith("findings")}
    without = load(write_card(folder, bundle.card.model_copy(update={"files": files})))
    with pytest.raises(BundleError, match=r"findings\.onnx"):
        without.finding_probabilities(radiograph)


def test_the_chart_says_what_its_card_says_of_how_it_was_learned(system, bundle, tmp_path):
    # Of phantoms nothing but pneumonia is known.
    assert system.chart_caution == NOT_APART
    assert "pre-trained" in system.chart_source
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    for limits, said in (([f"{APART}Nodule."], ""), ([], NOT_STATED)):
        written = write_card(folder, bundle.card.model_copy(update={"limits": limits}))
        assert load(written).chart_caution == said


def test_the_network_of_the_findings_shows_where_it_saw_pneumonia(system, radiograph):
    from cxrscreen.systems.covid_cxnet.preprocessing import view_input

    view = system.view(radiograph)
    image = view_input(view, system.settings)
    found = system.pneumonia_map(radiograph, view)
    outputs, weights = system._findings(image[None]), system._findings.weights
    by_hand = np.tensordot(weights["classifier.weight"][FINDINGS.index("Pneumonia")], outputs["features"][0], axes=1)
    # Up to the factor of the mean over places, which a map drops.
    np.testing.assert_allclose(found * by_hand.size, np.maximum(by_hand, 0), rtol=1e-4, atol=1e-5)


def decisions(pneumonia, covid19, threshold):
    return Stage("pneumonia", "", pneumonia, 0.5, "youden"), Stage("covid19", "", covid19, threshold, "youden")


def test_a_finding_that_the_decisions_contradict_is_in_doubt():
    # Shares of 0.05, 0.30 and 0.65 at the shipped bundle's threshold of COVID-19.
    (sentence,) = disagreement("covid19", decisions(0.95, 0.65 / 0.95, 0.848))
    assert "most probable class is COVID-19, but" in sentence
    assert "say other pneumonia" in sentence
    assert disagreement("covid19", decisions(0.95, 0.65 / 0.95, 0.5)) == []
    assert disagreement("other_pneumonia", decisions(0.95, 0.2, 0.848)) == []
    assert "say normal" in disagreement("other_pneumonia", decisions(0.4, 0.2, 0.848))[0]
    # Behind a negative first decision the second one does not count.
    assert disagreement("normal", decisions(0.4, 0.9, 0.848)) == []
    assert disagreement("covid19", (Stage(BINARY_STAGE, "", 0.4, 0.5, "youden"),)) == []


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
