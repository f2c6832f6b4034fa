import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrscreen.data.findings import FINDINGS
from cxrscreen.imaging.read import read
from cxrscreen.systems.covid_cxnet.pipeline import FINDINGS_FILE, HEAD_FILE

from .conftest import short_networks


def test_a_finding_that_the_features_tell_is_found_and_an_unknown_one_is_left_alone():
    from cxrscreen.systems.covid_cxnet.finding_head import agreement_of, fit_layer

    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6)).astype(np.float32) * np.float32(1e-3)
    features[:, 5] = 4.0
    known = np.full((300, len(FINDINGS)), np.nan, np.float32)
    known[:, 0] = (features[:, 2] + 2e-4 * rng.normal(size=300)) > 0
    known[:100, 1] = 0
    weight, bias = fit_layer(features, known, 0.1)
    assert weight.dtype == bias.dtype == np.float32
    logits = features @ weight.T + bias
    assert roc_auc_score(known[:, 0], logits[:, 0]) > 0.95
    # Known to be absent of 100 images, and nothing else: no weights, and seldom.
    assert (weight[1:] == 0).all()
    assert 1 / (1 + np.exp(-bias[1])) == pytest.approx(0.5 / 101)
    assert bias[2] == 0
    same = agreement_of(known, logits, logits)
    assert same["rank_correlation"] == 1.0
    assert same["findings"] == 1
    assert same["auc_network"] == same["auc_head"] > 0.95
    assert agreement_of(known, logits, -logits)["rank_correlation"] == -1.0


def test_a_bundle_without_the_second_network_still_tells_of_the_findings(
    trained_folder, recipe, phantom_data, tmp_path
):
    from cxrscreen.systems.covid_cxnet.export import write_bundle
    from cxrscreen.systems.covid_cxnet.training import train_covid_cxnet
    from cxrscreen.systems.registry import load_system

    changed = recipe.model_copy(update={"pretraining": recipe.pretraining.model_copy(update={"chart": "head"})})
    with short_networks():
        # The chart is no part of what was trained: the finished steps serve.
        trained = train_covid_cxnet(changed, phantom_data, trained_folder / "work")
        bundle = write_bundle(changed, phantom_data, trained, tmp_path / "head")
    assert HEAD_FILE in bundle.card.files
    assert FINDINGS_FILE not in bundle.card.files
    assert any("linear layer on the classifier's features" in text for text in bundle.card.limits)
    assert not any("is of the network that was pre-trained" in text for text in bundle.card.limits)
    system = load_system(bundle.folder, threads=1)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    found = system.finding_probabilities(radiograph)
    assert system.tells_findings
    assert system.chart_source == "a linear layer on the classifier's features"
    assert system.pneumonia_map(radiograph, system.view(radiograph)) is None
    from cxrscreen.systems.covid_cxnet.preprocessing import view_input

    features = system.outputs_for(view_input(system.view(radiograph), system.settings))["features"][0]
    logits = trained.head.weight @ features.mean(axis=(1, 2)) + trained.head.bias
    np.testing.assert_allclose(list(found.values()), 1 / (1 + np.exp(-logits)), atol=2e-3)
