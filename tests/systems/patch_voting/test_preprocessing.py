import numpy as np
import pytest
from pydantic import ValidationError

from cxrscreen.imaging.enhancement import universal_preprocessing
from cxrscreen.systems.patch_voting.preprocessing import (
    Preprocessing,
    classifier_input,
    organ_input,
    patch_image,
    reduced,
)

PAPER = {
    "gamma": 0.5,
    "working_side": None,
    "image_side": 128,
    "approach": "local",
    "patch": 32,
    "patches": 10,
    "shown": "masked",
    "seed": 0,
}


def pixels(shape=(90, 70)):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_both_networks_see_the_universal_preprocessing():
    settings = Preprocessing(**PAPER)
    expected = universal_preprocessing(pixels(), 64)
    seen = organ_input(pixels(), 64, settings)
    np.testing.assert_allclose(seen, expected / 127.5 - 1, atol=1e-6)
    assert seen.min() >= -1
    assert seen.max() <= 1
    image = patch_image(pixels(), settings)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.rint(universal_preprocessing(pixels(), 128)))


def test_a_working_side_takes_the_sharpness_of_large_images():
    settings = Preprocessing(**PAPER | {"working_side": 64})
    fine = np.tile(np.indices((256, 256)).sum(axis=0) % 2, (1, 1)).astype(np.float32)
    assert np.ptp(patch_image(fine, settings).astype(float)) == 0
    assert np.ptp(patch_image(fine, Preprocessing(**PAPER | {"image_side": 256})).astype(float)) == 255
    assert reduced(fine[:, :128], 64).shape == (64, 32)
    assert reduced(fine, None) is fine


def test_what_the_classifier_is_shown():
    grey, lungs = np.array([[0.0, 0.5, 1.0]], np.float32), np.array([[1.0, 1.0, 0.0]], np.float32)
    np.testing.assert_allclose(classifier_input(grey, lungs, "masked"), [[-1, 1, -1]])
    np.testing.assert_allclose(classifier_input(grey, lungs, "whole"), [[-1, 1, 3]])
    np.testing.assert_allclose(classifier_input(grey, lungs, "mask"), [[3, 3, -1]])


def test_the_global_approach_sees_the_whole_image_at_once():
    assert Preprocessing(**PAPER).field == 32
    assert Preprocessing(**PAPER | {"approach": "global"}).field == 128


@pytest.mark.parametrize("wrong", [{"gamma": 0}, {"patches": 0}, {"shown": "nothing"}, {"colour": True}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError):
        Preprocessing(**PAPER | wrong)
