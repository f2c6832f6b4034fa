import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cxrscreen.imaging.polarity import INVERTED_BELOW, NORMAL_ABOVE, detect_inverted, judge_polarity, polarity_score


def test_a_chest_and_its_negative(chest: np.ndarray) -> None:
    assert judge_polarity(chest) == "normal"
    assert judge_polarity(1 - chest) == "inverted"
    assert detect_inverted(1 - chest)
    assert not detect_inverted(chest)


def test_the_score_changes_sign_with_the_image(chest: np.ndarray) -> None:
    assert polarity_score(1 - chest) == pytest.approx(-polarity_score(chest), abs=1e-4)


@pytest.mark.parametrize("frame", [0.0, 1.0])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("inverted", [False, True])
def test_frames_bars_and_text_do_not_fool_it(chest: np.ndarray, frame: float, text: bool, inverted: bool) -> None:
    image = 1 - chest if inverted else chest
    image = cv2.copyMakeBorder(image, 60, 10, 30, 50, cv2.BORDER_CONSTANT, value=frame)
    if text:
        letters = cv2.putText(np.zeros(image.shape, np.uint8), "L AP", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 2)
        image[letters > 0] = 1 - frame
    assert judge_polarity(image) == ("inverted" if inverted else "normal")


def test_what_is_no_chest_is_left_alone() -> None:
    flat = np.full((100, 100), 0.5, np.float32)
    noise = np.random.default_rng(0).random((300, 300), np.float32)
    assert polarity_score(flat) == 0.0
    assert judge_polarity(flat) == "unsure"
    assert judge_polarity(noise) == "unsure"
    assert INVERTED_BELOW < 0 < NORMAL_ABOVE


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (20, 30), elements=st.floats(0, 1, width=32)))
def test_the_score_is_a_correlation_for_any_image(image: np.ndarray) -> None:
    assert -1.0 <= polarity_score(image) <= 1.0
