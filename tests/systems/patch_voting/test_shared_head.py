import shutil

import numpy as np
import pytest
from safetensors.numpy import load, save

from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import open_bundle, sha256_of, write_card
from cxrscreen.systems.patch_voting import modes, pipeline
from cxrscreen.systems.patch_voting.mode_choice import SAID
from cxrscreen.systems.patch_voting.modes import fit_shared_head, load_modes
from cxrscreen.systems.patch_voting.networks import patch_classifier
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing
from cxrscreen.systems.patch_voting.shared_head import (
    SHARED_HEAD,
    LinearHead,
    bind_shared_head,
    fitted_head,
    has_foreign_head,
    shared_head,
    write_shared_head,
)

from .conftest import short_networks

RNG = np.random.default_rng(0)
HEAD = LinearHead(RNG.normal(size=(4, 6)).astype(np.float32), RNG.normal(size=4).astype(np.float32))


def said(head, features):
    """Logits less their mean, which the softmax does not see."""
    logits = features @ head.weights.T + head.bias
    return logits - logits.mean(axis=1, keepdims=True)


def test_what_is_the_same_in_all_images_is_taken_back():
    exact = RNG.normal(size=(500, 6)).astype(np.float32)
    shared = (exact * np.float32(0.7) + RNG.normal(size=6).astype(np.float32)) @ np.diag([1, 2, 1, 1, 1, 0.5])
    fitted = fitted_head(HEAD, shared.astype(np.float32), exact, 1e-9)
    np.testing.assert_allclose(said(fitted, shared), said(HEAD, exact), atol=1e-3)
    assert np.abs(said(HEAD, shared) - said(HEAD, exact)).max() > 0.5


def test_nothing_to_correct_changes_nothing():
    exact = RNG.normal(size=(50, 6)).astype(np.float32)
    fitted = fitted_head(HEAD, exact, exact, 0.1)
    np.testing.assert_allclose(fitted.weights, HEAD.weights, atol=1e-6)
    np.testing.assert_allclose(fitted.bias, HEAD.bias, atol=1e-6)


def test_with_a_great_penalty_only_the_bias_moves():
    exact, shared = (RNG.normal(size=(50, 6)).astype(np.float32) for _ in range(2))
    fitted = fitted_head(HEAD, shared, exact, 1e9)
    np.testing.assert_allclose(fitted.weights, HEAD.weights, atol=1e-5)
    np.testing.assert_allclose(said(fitted, shared).mean(axis=0), said(HEAD, exact).mean(axis=0), atol=1e-4)


@pytest.fixture
def headed(tiny_bundle, tmp_path):
    """A bundle whose shared maps all say the third class."""
    bundle = open_bundle(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle"))
    assert shared_head(bundle) is None
    count = 64
    bias = np.array([0, 0, 5, 0], np.float32)
    return write_shared_head(bundle, LinearHead(np.zeros((4, count), np.float32), bias))


def picture(settings):
    image = np.random.default_rng(1).integers(0, 255, (settings["image_side"],) * 2).astype(np.uint8)
    lungs = np.zeros(image.shape, bool)
    lungs[20:100, 20:100] = True
    return image, lungs


@pytest.mark.parametrize("ask_again", [0.0, 1.0])
def test_a_bundle_asks_shared_maps_with_the_layer_it_has(headed, ask_again):
    settings = headed.card.preprocessing | {"ask_again": ask_again}
    found = load_modes(headed)["shared"]()(*picture(settings), Preprocessing(**settings))
    # All patches agree, so that nothing is asked again even where that is wanted most.
    assert (found.probabilities.argmax(axis=1) == 2).all()
    assert found.weights.max() == 0


def test_where_the_lead_is_small_every_patch_is_asked_by_itself(headed, monkeypatch):
    # Two classes share the votes of the shared maps: no lead at all.
    head = shared_head(headed)
    weights = np.zeros_like(head.weights)
    features = load_modes(headed)["shared"]()
    settings = headed.card.preprocessing
    shown = picture(settings)
    pooled = features(*shown, Preprocessing(**settings)).pooled
    direction = pooled[0] - pooled.mean(axis=0)
    weights[0], weights[1] = direction, -direction
    middle = float(np.median(pooled @ direction))
    bundle = write_shared_head(headed, LinearHead(weights * 100, np.array([-middle, middle, -9, -9], np.float32) * 100))
    compiled, engine_for = [], modes.engine_for
    monkeypatch.setattr(modes, "engine_for", lambda graph, _: compiled.append(graph.name) or engine_for(graph, _))
    loaded = load_modes(bundle)
    exact = loaded["exact"]()(*shown, Preprocessing(**settings))
    shared = loaded["shared"]()
    alone = shared(*shown, Preprocessing(**settings))
    assert len(np.unique(alone.probabilities.argmax(axis=1))) == 2
    again = shared(*shown, Preprocessing(**settings | {"ask_again": 0.6}))
    np.testing.assert_array_equal(again.probabilities, exact.probabilities)
    np.testing.assert_array_equal(again.last_maps(), exact.last_maps())
    # The reference that is asked again is the one that was there.
    assert compiled == ["classifier.onnx", "classifier-shared.onnx"]


def rewritten(bundle, **metadata):
    """The bundle with other metadata in the file of its linear layer."""
    file = bundle.file(SHARED_HEAD)
    file.write_bytes(save(load(file.read_bytes()), metadata=metadata))
    files = bundle.card.files | {SHARED_HEAD: sha256_of(file)}
    return write_card(bundle.folder, bundle.card.model_copy(update={"files": files}))


def in_shared_mode(bundle):
    settings = bundle.card.preprocessing | {"mode": "shared", "ask_again": 0.1}
    return write_card(bundle.folder, bundle.card.model_copy(update={"preprocessing": settings}))


def test_a_layer_that_was_fitted_to_another_classifier_is_not_used(headed):
    bundle = in_shared_mode(headed)
    assert pipeline.load(bundle).settings.mode == "shared"
    foreign = rewritten(bundle, classifier_sha256="0" * 64)
    assert has_foreign_head(foreign)
    assert shared_head(foreign) is None
    assert pipeline.load(foreign).settings.mode == "exact"
    # One that names no classifier is taken for the bundle's, and can be bound to it for good.
    unbound = rewritten(foreign)
    assert not has_foreign_head(unbound)
    assert pipeline.load(unbound).settings.mode == "shared"
    bound = bind_shared_head(unbound)
    assert bound.card == bundle.card
    assert bound.card.preprocessing["mode"] == "shared"


def test_a_new_layer_sets_the_mode_back_until_it_is_measured(headed):
    said = f"{SAID}shared, 20 times faster than before."
    limits = [*headed.card.limits, said]
    measured = in_shared_mode(write_card(headed.folder, headed.card.model_copy(update={"limits": limits})))
    again = write_shared_head(measured, shared_head(headed))
    assert (again.card.preprocessing["mode"], again.card.preprocessing["ask_again"]) == ("exact", 0.0)
    assert said not in again.card.limits
    with pytest.raises(BundleError, match="float16 cannot store"):
        write_shared_head(headed, LinearHead(np.full((4, 64), 1e6, np.float32), np.zeros(4, np.float32)))


def test_a_fitted_layer_says_what_the_patches_alone_say(tiny_bundle, tmp_path):
    bundle = in_shared_mode(open_bundle(shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")))
    shown = picture(bundle.card.preprocessing)
    fitted = fit_shared_head(bundle, [shown], 0.01)
    assert fitted.card.preprocessing["mode"] == "exact"
    settings = Preprocessing(**fitted.card.preprocessing)
    exact = load_modes(fitted)["exact"]()(*shown, settings).probabilities
    own, taught = (load_modes(each)["shared"]()(*shown, settings).probabilities for each in (tiny_bundle, fitted))
    assert np.abs(taught - exact).mean() < 0.5 * np.abs(own - exact).mean()


def test_changed_networks_are_asked_patch_by_patch(headed, tiny_recipe, tmp_path):
    from cxrscreen.systems.interchange.monai_screener import with_networks

    bundle = in_shared_mode(headed)
    with short_networks():
        network = patch_classifier(tiny_recipe.classifier, tiny_recipe.pooling)
    changed = with_networks(bundle, {"classifier": network}, tmp_path / "changed")
    assert (changed.card.preprocessing["mode"], changed.card.preprocessing["ask_again"]) == ("exact", 0.0)
    assert has_foreign_head(changed)
    # The layer of the shared maps is now the new network's.
    settings = Preprocessing(**changed.card.preprocessing)
    found = load_modes(changed)["shared"]()(*picture(changed.card.preprocessing), settings)
    np.testing.assert_allclose(found.weights, network.classifier.weight.detach().numpy(), atol=1e-3)
