"""Phantoms: reproducible, in range, with masks that are true."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrscreen.data.phantoms import Phantom, PhantomError, draw_spec, make_phantom, render

FINDINGS = ("normal", "covid19", "bacterial", "tuberculosis")
SMALL = (192, 192)


@pytest.fixture(scope="module")
def by_finding() -> dict[str, Phantom]:
    return {finding: make_phantom(7, finding, shape=SMALL) for finding in FINDINGS}


def assert_sound(phantom: Phantom) -> None:
    pixels = phantom.pixels
    assert pixels.dtype == np.float32
    assert pixels.shape == phantom.spec.shape
    assert np.isfinite(pixels).all()
    assert 0 <= pixels.min() < 0.15
    assert 0.75 < pixels.max() <= 1
    assert set(np.unique(phantom.lungs)) == {0, 1, 2}
    for mask in (phantom.heart, phantom.ribs, phantom.clavicles, phantom.lesions, phantom.text, phantom.border):
        assert mask.dtype == bool
        assert mask.shape == pixels.shape
    assert not (phantom.heart & (phantom.lungs > 0)).any()
    assert not (phantom.lesions & (phantom.lungs == 0)).any()
    for number in (1, 2):
        pieces, _ = cv2.connectedComponents((phantom.lungs == number).astype(np.uint8), connectivity=4)
        assert pieces == 2


def test_same_spec_same_pixels() -> None:
    spec = draw_spec(11, "covid19", shape=(160, 144), text=("ONE", "TWO"), markers=("R", "arrow"), frame="black")
    assert spec == draw_spec(
        11, "covid19", shape=(160, 144), text=("ONE", "TWO"), markers=("R", "arrow"), frame="black"
    )
    first, second = render(spec), render(spec)
    for name in ("pixels", "lungs", "heart", "ribs", "clavicles", "lesions", "text", "border"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_seeds_differ() -> None:
    assert not np.array_equal(make_phantom(0, shape=(128, 128)).lungs, make_phantom(1, shape=(128, 128)).lungs)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_sound(by_finding: dict[str, Phantom], finding: str) -> None:
    phantom = by_finding[finding]
    assert_sound(phantom)
    assert phantom.finding == finding
    assert phantom.lesions.any() == (finding != "normal")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**40),
    rows=st.integers(128, 260),
    columns=st.integers(128, 260),
    finding=st.sampled_from(FINDINGS),
    view=st.sampled_from(("PA", "AP")),
    rotation=st.floats(-12, 12),
)
def test_any_size_is_sound(seed: int, rows: int, columns: int, finding: str, view: str, rotation: float) -> None:
    phantom = make_phantom(seed, finding, shape=(rows, columns), view=view, rotation_deg=rotation)
    assert_sound(phantom)
    assert 0.03 < (phantom.lungs > 0).mean() < 0.45


def test_lungs_lie_as_in_a_radiograph(by_finding: dict[str, Phantom]) -> None:
    phantom = by_finding["normal"]
    columns = np.arange(SMALL[1])
    right, left, heart = (
        (mask.sum(axis=0) * columns).sum() / mask.sum()
        for mask in (phantom.lungs == 1, phantom.lungs == 2, phantom.heart)
    )
    assert right < SMALL[1] / 2 < left
    assert right < heart < left
    middle_of_lungs = (right + left) / 2
    assert heart > middle_of_lungs


def test_grey_values_are_those_of_radiographs() -> None:
    for seed in range(6):
        phantom = make_phantom(seed, shape=(160, 160))
        lung, heart = phantom.pixels[phantom.lungs > 0], phantom.pixels[phantom.heart]
        # Normal Montgomery, JSRT and Shenzhen lungs have a mean of 0.3 to 0.6 and a deviation of 0.10 to 0.16.
        assert 0.25 < lung.mean() < 0.65
        assert 0.08 < lung.std() < 0.22
        assert heart.mean() > lung.mean() + 0.2


def test_disease_changes_the_lungs_alone() -> None:
    healthy_spec = draw_spec(3, "normal", shape=SMALL)
    ill_spec = draw_spec(3, "bacterial", shape=SMALL)
    assert replace(ill_spec, finding="normal", lesions=()) == healthy_spec
    healthy, ill = render(healthy_spec), render(ill_spec)
    assert np.array_equal(healthy.lungs, ill.lungs)
    change = ill.pixels - healthy.pixels
    assert change[ill.lesions].mean() > 0.08
    elsewhere = (ill.lungs > 0) & ~cv2.dilate(ill.lesions.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert abs(change[elsewhere].mean()) < 0.05


def test_each_disease_has_its_place() -> None:
    heights: dict[str, list[float]] = {"covid19": [], "tuberculosis": []}
    for seed in range(4):
        for finding, found in heights.items():
            phantom = make_phantom(seed, finding, shape=(144, 144))
            rows = np.nonzero((phantom.lungs > 0).any(axis=1))[0]
            centre = np.nonzero(phantom.lesions)[0].mean()
            found.append((centre - rows[0]) / (rows[-1] - rows[0]))
            if finding == "covid19":
                assert (phantom.lesions & (phantom.lungs == 1)).any()
                assert (phantom.lesions & (phantom.lungs == 2)).any()
    assert np.mean(heights["covid19"]) > 0.5
    assert max(heights["tuberculosis"]) < 0.45
    consolidated = make_phantom(5, "bacterial", shape=(144, 144))
    assert sum((consolidated.lesions & (consolidated.lungs == side)).any() for side in (1, 2)) == 1


def test_the_same_body_at_every_resolution() -> None:
    coarse = make_phantom(9, "covid19", shape=(128, 128))
    fine = make_phantom(9, "covid19", shape=(256, 256))
    halved = cv2.resize((fine.lungs > 0).astype(np.uint8), (128, 128), interpolation=cv2.INTER_AREA) > 0
    both, either = (halved & (coarse.lungs > 0)).sum(), (halved | (coarse.lungs > 0)).sum()
    assert both / either > 0.93
    assert fine.pixel_spacing_mm[0] == pytest.approx(coarse.pixel_spacing_mm[0] / 2)


def test_overlays_are_masked() -> None:
    plain = make_phantom(2, shape=SMALL, markers=())
    assert not plain.text.any()
    assert not plain.border.any()
    marked = make_phantom(2, shape=SMALL, markers=("R", "L", "PORTABLE", "arrow"), text=("LINE",), frame="white")
    assert marked.text.any()
    assert (marked.pixels[marked.border] == 1).all()
    same = ~(marked.text | marked.border)
    assert np.array_equal(marked.pixels[same], plain.pixels[same])
    assert not (marked.text & marked.border).any()
    bars = make_phantom(2, shape=SMALL, markers=(), frame="black")
    assert (bars.pixels[bars.border] == 0).all()
    assert bars.border.mean() > 0.03


def test_inverted_is_the_negative() -> None:
    plain = make_phantom(2, shape=SMALL)
    inverted = make_phantom(2, shape=SMALL, inverted=True)
    np.testing.assert_allclose(inverted.pixels, 1 - plain.pixels, atol=1e-6)
    assert np.array_equal(inverted.lungs, plain.lungs)


def test_rotation_turns_the_lungs() -> None:
    level = make_phantom(6, shape=SMALL, rotation_deg=0.0)
    turned = make_phantom(6, shape=SMALL, rotation_deg=15.0)
    heights = [[np.nonzero(phantom.lungs == side)[0].mean() for side in (1, 2)] for phantom in (level, turned)]
    # Clockwise: the viewer's right side goes down.
    assert heights[1][1] - heights[1][0] > heights[0][1] - heights[0][0] + 5


def test_arrays_cannot_be_changed(by_finding: dict[str, Phantom]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        by_finding["normal"].pixels[0, 0] = 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "0 or more"),
        ({"seed": 1, "shape": (127, 300)}, "at least 128"),
        ({"seed": 1, "finding": "viral"}, "Unknown phantom finding 'viral'"),
        ({"seed": 1, "view": "lateral"}, "Unknown phantom view"),
        ({"seed": 1, "frame": "red"}, "Unknown phantom frame"),
        ({"seed": 1, "markers": ("R", "Z")}, "Unknown phantom marker 'Z'"),
        ({"seed": 1, "rotation_deg": 90.0}, "at most 45"),
        ({"seed": 1, "rotation_deg": float("nan")}, "at most 45"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(PhantomError, match=words):
        draw_spec(**arguments)
