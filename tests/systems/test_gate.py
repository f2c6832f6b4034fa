"""The gate: its measures against hand-made lungs, its codes, its policies, and what ships against phantoms."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from cxrscreen.data.phantoms import draw_spec, render
from cxrscreen.imaging.decoded import COLOUR_WARNING
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.cascade.pipeline import find_lungs
from cxrscreen.systems.contract import OVERRIDDEN, Concern, Screening, Stage, Verdict
from cxrscreen.systems.gate import judge, measure, refusal
from cxrscreen.systems.gate.fitted import Fitted, Logistic, Thresholds, fitted
from cxrscreen.systems.gate.judge import POLICIES, SENTENCES, codes
from cxrscreen.systems.gate.lung_shape import NO_LUNGS, lung_shape
from cxrscreen.systems.gate.picture import count_letters, grid_line, measure_picture


def radiograph(pixels=None, view="unknown", warnings=(), side=300, **provenance):
    pixels = np.full((side, side), 0.5, np.float32) if pixels is None else pixels
    return Radiograph(pixels, Provenance(Path("a.png"), "PNG", **provenance), None, view, warnings)


def two_boxes():
    """Two lungs as boxes on a 100 x 100 grid: 60 x 20 and 60 x 30 pixels, 20 columns apart."""
    mask = np.zeros((100, 100), np.uint8)
    mask[20:80, 10:30], mask[20:80, 50:80] = 1, 2
    return mask


def test_the_shape_of_two_boxes_by_hand():
    mask = two_boxes()
    shape = lung_shape((mask > 0) * np.float32(0.95), mask, (200, 100))
    assert shape.area == pytest.approx(0.30)
    assert shape.balance == pytest.approx(20 / 30)
    assert shape.certainty == pytest.approx(0.95)
    assert (shape.doubt, shape.stray, shape.level) == (0, 0, 1)
    assert shape.mirrored == pytest.approx(20 / 30, abs=0.02)
    assert (shape.height, shape.width) == (pytest.approx(0.6), pytest.approx(0.7))
    # 70 columns of 1 pixel and 60 rows of 2 pixels each.
    assert shape.aspect == pytest.approx(70 / 120)
    assert shape.gap == pytest.approx(20 / 70)
    assert shape.apex == pytest.approx(1)
    assert shape.off_centre == pytest.approx(0.05)
    assert (shape.cut_top, shape.cut_bottom, shape.cut_sides) == (0, 0, 0)
    assert shape.solidity == pytest.approx(1, abs=0.04)


def test_lungs_at_an_edge_are_seen():
    mask = np.zeros((100, 100), np.uint8)
    mask[0:60, 10:40], mask[10:70, 60:100] = 1, 2
    shape = lung_shape((mask > 0).astype(np.float32), mask, (100, 100))
    assert shape.cut_top == pytest.approx(30 / 90)
    assert shape.cut_sides == pytest.approx(60 / 70)
    assert shape.cut_bottom == 0


def test_stray_and_doubtful_pixels_count():
    mask = two_boxes()
    probability = (mask > 0).astype(np.float32)
    probability[90:96, 0:100] = 0.6
    shape = lung_shape(probability, mask, (100, 100))
    assert shape.stray == pytest.approx(600 / 3600)
    assert shape.doubt == pytest.approx(600 / 3600)


def test_no_lungs_have_a_shape_too():
    empty = np.zeros((64, 64), np.uint8)
    assert lung_shape(empty.astype(np.float32), empty, (64, 64)) == NO_LUNGS


@settings(max_examples=30)
@given(
    arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40)), elements=st.integers(0, 2)),
    arrays(np.float32, (72, 90), elements=st.floats(0, 1, width=32)),
)
def test_measures_are_finite_whatever_comes(mask, pixels):
    found = measure(pixels, (mask > 0) * np.float32(0.7), mask)
    assert all(np.isfinite(value) for value in found.values())
    limited = set(found) - {"aspect", "apex", "grid", "letters", "symmetry", "chest_likeness", "contrast"}
    assert all(0 <= found[name] <= 1.000001 for name in limited), found
    assert set(found) >= {*fitted().scope.measures, *fitted().photograph.measures, *fitted().child.measures}


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (64, 64)])
def test_odd_pictures_can_be_measured(shape):
    found = measure_picture(np.zeros(shape, np.float32), np.zeros((16, 16), np.uint8))
    assert np.isfinite(found.grid)
    assert found.letters == 0


def test_a_map_and_a_mask_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        measure(np.zeros((64, 64), np.float32), np.zeros((8, 8), np.float32), np.zeros((9, 8), np.uint8))


def test_letters_are_counted_and_anatomy_is_not():
    picture = np.full((400, 400), 80, np.uint8)
    cv2.circle(picture, (200, 200), 80, 220, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)
    assert count_letters(picture.astype(np.float32) / 255)[0] == 0
    for row in range(5):
        cv2.putText(picture, "HOSPITAL NORTH", (20, 40 + 24 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    count, share = count_letters(picture.astype(np.float32) / 255)
    assert 45 <= count <= 75
    assert 0.01 < share < 0.2


def test_a_grid_is_found_unless_it_is_that_of_block_compression():
    rng = np.random.default_rng(0)
    noise = rng.normal(0.5, 0.02, (512, 512)).astype(np.float32)
    x = np.arange(512, dtype=np.float32)
    moire = noise + 0.02 * np.sin(2 * np.pi * (0.21 * x[None] + 0.03 * x[:, None])).astype(np.float32)
    blocks = noise + 0.02 * np.sin(2 * np.pi * x[None] / 8).astype(np.float32)
    assert grid_line(moire) > 3
    assert grid_line(noise) < 2
    assert grid_line(blocks) < 2


def test_a_pattern_in_one_corner_is_no_grid():
    rng = np.random.default_rng(0)
    picture = rng.normal(0.5, 0.02, (512, 512)).astype(np.float32)
    x = np.arange(200, dtype=np.float32)
    picture[:200, :200] += 0.1 * np.sin(2 * np.pi * (0.21 * x[None] + 0.03 * x[:, None])).astype(np.float32)
    assert grid_line(picture) < 2


def by_one(measure_name, classes, sign=1.0):
    """A regression that says the last class where one measure is large."""
    rows = [(0.0,)] * (len(classes) - 1) + [(sign,)]
    return Logistic(
        measures=(measure_name,), mean=(0.5,), scale=(0.1,), classes=classes, weights=rows, bias=(0.0,) * len(classes)
    )


@pytest.fixture
def model():
    """Rough lungs are no chest, grid means photograph, aspect means child."""
    return Fitted(
        command="none",
        scope=by_one("roughness", ("frontal", "lateral", "not_a_chest")),
        photograph=by_one("grid", ("other", "photograph")),
        child=by_one("aspect", ("other", "child")),
        thresholds=Thresholds(out_of_scope=0.9, photograph=0.9, child=0.9, cut_off=0.2, letters=40, too_small=200),
    )


def measured(**changes):
    found = dict.fromkeys(("roughness", "grid", "aspect", "cut_top", "cut_sides", "cut_bottom", "letters"), 0.0)
    return found | changes


def test_a_regression_by_hand():
    probabilities = by_one("grid", ("other", "photograph")).probabilities({"grid": 0.7})
    assert probabilities["photograph"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert sum(probabilities.values()) == pytest.approx(1)
    # Cut at four standard deviations.
    assert by_one("grid", ("other", "photograph")).probabilities({"grid": 99.0})["photograph"] == pytest.approx(
        1 / (1 + np.exp(-4))
    )


def test_a_regression_whose_lists_differ_is_refused():
    with pytest.raises(ValidationError, match="differ in length"):
        Logistic(measures=("a", "b"), mean=(0,), scale=(1, 1), classes=("x",), weights=((1, 1),), bias=(0,))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"roughness": 0.95}, ("not_a_chest",)),
        ({"grid": 0.95}, ("photograph",)),
        ({"aspect": 0.95}, ("child",)),
        ({"cut_sides": 0.2}, ("cut_off",)),
        ({"letters": 40}, ("burned_in_text",)),
        ({"grid": 0.95, "aspect": 0.95, "cut_top": 0.3}, ("photograph", "cut_off")),
        # Of what is no chest, nothing else is told.
        ({"roughness": 0.95, "aspect": 0.95, "cut_top": 0.3, "letters": 99}, ("not_a_chest",)),
    ],
)
def test_codes_from_measures(model, changes, expected):
    assert codes(measured(**changes), radiograph(), model) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"view": "lateral"}, "lateral"),
        ({"warnings": (COLOUR_WARNING,)}, "photograph"),
        ({"polarity_corrected": True}, "inverted"),
        ({"side": 199}, "too_small"),
        ({"modality": "CT"}, "ct_slice"),
    ],
)
def test_codes_from_what_the_file_said(model, facts, expected):
    assert codes(measured(), radiograph(**facts), model) == (expected,)


def test_every_code_has_one_sentence_and_no_policy_an_unknown_code():
    for sentence in SENTENCES.values():
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0
    assert POLICIES["off"] < POLICIES["standard"] < POLICIES["strict"] < set(SENTENCES)
    assert not {"child", "inverted"} & POLICIES["standard"]


@pytest.mark.parametrize(
    ("policy", "force", "severity", "refused"),
    [
        ("standard", False, "refuse", True),
        ("strict", False, "refuse", True),
        ("off", False, "warn", False),
        ("standard", True, "refuse", False),
    ],
)
def test_policies_and_force(policy, force, severity, refused):
    empty = np.zeros((32, 32), np.uint8)
    verdict = judge(radiograph(view="lateral"), empty.astype(np.float32), empty, policy=policy, force=force)
    assert ("lateral", severity) in [(concern.code, concern.severity) for concern in verdict.concerns]
    assert (verdict.refused, verdict.overridden) == (refused, force)
    assert (OVERRIDDEN in verdict.sentences) == force


def test_a_refusal_has_no_result():
    verdict = Verdict("standard", (Concern("lateral", SENTENCES["lateral"], "refuse"),))
    stage, mask = Stage("pneumonia", "Pneumonia", None, 0.5, "youden"), two_boxes()
    screening = refusal(verdict, [stage], mask, "b@1", {"total": 0.1})
    assert screening.status == "refused"
    assert (screening.finding, screening.triage_score, screening.probabilities) == (None, None, {"pneumonia": None})
    assert screening.lung_area_fraction == pytest.approx(0.3)
    with pytest.raises(ValueError, match="does not refuse"):
        refusal(Verdict("off"), [stage], mask, "b@1", {})
    asked = Stage("pneumonia", "Pneumonia", 0.7, 0.5, "youden")
    with pytest.raises(ValueError, match="no result"):
        refusal(verdict, [asked], mask, "b@1", {})
    with pytest.raises(ValueError, match="has a finding"):
        Screening((stage,), None, None, mask, 0.3, (), "good", (), "b@1", {}, Verdict("standard"))


@pytest.fixture(scope="module")
def shipped():
    """The judgement that ships, on the lung network that ships."""
    segmenter = load_engine(open_bundle("cascade").file("lungs.onnx"), threads=1)

    def judged(pixels):
        lungs = find_lungs(segmenter, pixels)
        return judge(radiograph(pixels), lungs.probability, lungs.mask)

    return judged


@pytest.mark.parametrize("seed", [9001, 9002, 9003])
def test_frontal_phantoms_pass(shipped, seed):
    finding = ("normal", "covid19", "bacterial")[seed % 3]
    verdict = shipped(render(draw_spec(seed, finding, shape=(384, 384))).pixels)
    assert not verdict.refused
    # A phantom's proportions are drawn over a wide range; a small one may be taken for a child's.
    assert {concern.code for concern in verdict.concerns} <= {"child"}


def test_pictures_of_other_things_are_refused(shipped):
    data = pytest.importorskip("skimage.data")
    for name in ("camera", "coins", "moon", "text", "grass"):
        assert shipped(getattr(data, name)().astype(np.float32) / 255).refused, name
    noise = np.random.default_rng(0).uniform(0, 1, (300, 300)).astype(np.float32)
    assert shipped(noise).refused
    assert shipped(np.zeros((300, 300), np.float32)).refused


def test_a_slice_is_refused(shipped):
    body = np.zeros((512, 512), np.float32)
    for centre, axes, grey in (
        ((256, 256), (220, 150), 0.62),
        ((160, 250), (75, 95), 0.08),
        ((350, 250), (75, 95), 0.08),
        ((256, 335), (30, 24), 0.95),
    ):
        cv2.ellipse(body, centre, axes, 0, 0, 360, grey, -1, cv2.LINE_AA)
    body += np.random.default_rng(0).uniform(0, 0.03, body.shape).astype(np.float32)
    verdict = shipped(np.clip(body, 0, 1))
    assert verdict.refused
    assert verdict.concerns[0].code == "ct_slice"


def test_burned_in_text_and_missing_lungs_warn(shipped):
    lines = [f"HOSPITAL NORTH CHEST PA ERECT 110 KV {i} MAS" for i in range(8)]
    verdict = shipped(render(draw_spec(9004, "normal", shape=(640, 640), text=lines)).pixels)
    assert ("burned_in_text", "warn") in [(concern.code, concern.severity) for concern in verdict.concerns]
    pixels = render(draw_spec(9005, "normal", shape=(512, 512))).pixels
    halved = shipped(np.ascontiguousarray(pixels[170:]))
    assert "cut_off" in [concern.code for concern in halved.concerns]
