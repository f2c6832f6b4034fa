"""The cascade with EfficientNet-Lite0 in both stages, trained for two batches on phantoms."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cxrscreen.data.protocols import make_split
from cxrscreen.imaging.read import read
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.cascade import training
from cxrscreen.systems.cascade.adaptation import network_of
from cxrscreen.systems.cascade.export import write_bundle
from cxrscreen.systems.cascade.recipe import CascadeRecipe
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.systems.registry import load_system
from cxrscreen.train.recipe import load_recipe

SIDE = 64


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    content = load_recipe(tiny_recipe, CascadeRecipe).model_dump(mode="json")
    phase = {"side": SIDE, "epochs": 1, "batch": 6, "batches": 2, "learning_rate": 1e-3, "ema": 0.5}
    for name, weights in (("stage2", "none"), ("stage3", "stage2")):
        content[name] |= {"network": "efficientnet-lite0", "weights": weights, "dropout": 0.3, "phases": [phase]}
    return CascadeRecipe.model_validate(content | {"tutor": None})


@pytest.fixture(scope="module")
def work(tiny_bundle, tmp_path_factory):
    """A work folder in which stage 1 is done: it is the tiny recipe's."""
    folder = tmp_path_factory.mktemp("lite")
    for name in ("lungs", "rois"):
        shutil.copytree(tiny_bundle.folder.parent / "work" / name, folder / "work" / name)
    return folder / "work"


@pytest.fixture(scope="module")
def bundle(recipe, phantom_data, work):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_train_lungs", None)
        trained = training.train_cascade(recipe, phantom_data, work)
    return write_bundle(recipe, phantom_data, trained, work.parent / "bundle")


def test_the_bundle_holds_the_small_network_and_says_so(bundle):
    assert "(EfficientNet-Lite0)" in bundle.card.summary
    assert "DenseNet" not in bundle.card.summary
    assert bundle.card.recipe["stage3"]["network"] == "efficientnet-lite0"
    for name in ("pneumonia", "covid19"):
        assert isinstance(network_of(bundle.file(f"{name}.safetensors"), "lungs"), EfficientNetLite0)


def test_the_engine_and_torch_agree(bundle):
    image = np.full((2, 1, SIDE, SIDE), -1, np.float32)
    image[:, :, 8:40, 8:56] = np.random.default_rng(0).uniform(-1, 3, (2, 1, 32, 48))
    results = load_engine(bundle.file("covid19-guided.onnx"))(image)
    network = EfficientNetLite0(1, pooling="lungs").eval()
    state = load_file(bundle.file("covid19.safetensors"))
    assert not network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False).unexpected_keys
    with torch.inference_mode():
        features = network.feature_maps(torch.from_numpy(image)).numpy()
        logits = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(results["features"], features, rtol=0, atol=1e-4 * max(1, features.max()))
    np.testing.assert_allclose(results["logits"], logits, rtol=0, atol=1e-4)
    assert results["guided"].shape == image.shape
    assert np.abs(results["guided"]).max() > 0


def test_a_phantom_is_screened_with_all_maps(bundle, phantom_data):
    system = load_system(bundle.folder)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    screening = system.screen(radiograph, force=True)
    assert [each.name for each in screening.saliency] == ["h2", "h3", "guided"]
    plain = system.screen(radiograph, force=True, explain=False)
    for name, probability in screening.probabilities.items():
        assert plain.probabilities[name] == pytest.approx(probability, abs=1e-4)
    assert {values.shape for values in system.features(radiograph).values()} == {(1280,)}


def test_a_phase_keeps_the_state_that_it_is_told_to(recipe, phantom_data, work, bundle, monkeypatch, tmp_path):
    best, last = {"state": torch.zeros(1)}, {"state": torch.ones(1)}
    monkeypatch.setattr(training, "fit", lambda *_: best)
    monkeypatch.setattr(
        training, "kept_state", lambda folder, name: {(tmp_path / "phase1", "last"): last}[folder, name]
    )
    split, rois = make_split("stage2", phantom_data, recipe.seed), RoiTable.load(work / "rois" / "rois.npz")
    for keep, expected in (("best", best), ("last", last)):
        phase = recipe.stage2.phases[0].model_copy(update={"keep": keep})
        stage = recipe.stage2.model_copy(update={"phases": (phase,)})
        state = training.train_stage(recipe, stage, phantom_data, split, rois, None, {}, None, tmp_path)
        assert state is expected
