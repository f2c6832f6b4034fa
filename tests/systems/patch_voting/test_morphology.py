import cv2
import numpy as np
import pytest

from cxrscreen.systems.patch_voting.morphology import organ_mask, organ_mask_at_size, organ_probabilities


def organs(side=128):
    """Two ellipses and a heart between them, as the masks name them."""
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (38, 64), (18, 42), 0, 0, 360, 1, -1)
    cv2.ellipse(mask, (90, 64), (18, 42), 0, 0, 360, 2, -1)
    heart = np.zeros_like(mask)
    cv2.ellipse(heart, (66, 86), (17, 14), 0, 0, 360, 1, -1)
    mask[(heart > 0) & (mask == 0)] = 3
    return mask


def probabilities(mask, sure=6.0):
    return organ_probabilities(np.stack([sure * (mask == index) for index in range(4)]).astype(np.float32))


def test_clean_organs_stay_as_they_are():
    np.testing.assert_array_equal(organ_mask(probabilities(organs())), organs())


def test_specks_and_holes_go_and_a_lung_called_the_other_one_stays_whole():
    noisy = organs()
    noisy[2:5, 2:5] = 1
    noisy[60:64, 36:40] = 0
    noisy[30:40, 30:46][noisy[30:40, 30:46] == 1] = 2
    noisy[4:8, 60:66] = 3
    noisy[88:90, 65:67] = 0
    np.testing.assert_array_equal(organ_mask(probabilities(noisy)), organs())


def test_nothing_found_is_an_empty_mask():
    assert not organ_mask(probabilities(np.zeros((64, 64), np.uint8))).any()


@pytest.mark.parametrize("shape", [(512, 512), (300, 200)])
def test_at_another_size_the_organs_keep_place_and_share(shape):
    mask = organs()
    large = organ_mask_at_size(mask, probabilities(mask), shape)
    assert large.shape == shape
    expected = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)
    for organ in (1, 2, 3):
        both = ((large == organ) & (expected == organ)).sum()
        assert both / ((large == organ) | (expected == organ)).sum() > 0.93


def test_softmax_is_over_the_classes():
    np.testing.assert_allclose(
        organ_probabilities(np.log(np.array([1, 2, 3, 4.0]))[:, None, None])[:, 0, 0], [0.1, 0.2, 0.3, 0.4], rtol=1e-6
    )
