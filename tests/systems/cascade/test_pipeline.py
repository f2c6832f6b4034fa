import numpy as np
import pytest

from cxrscreen.imaging.read import read
from cxrscreen.systems.cascade.pipeline import (
    Preprocessing,
    finding_of,
    pneumonia_map,
    weighted_input,
)
from cxrscreen.systems.cascade.roi import Roi
from cxrscreen.systems.cautions import NO_LUNGS
from cxrscreen.systems.contract import OVERRIDDEN, Stage
from cxrscreen.systems.registry import load_system


def stage(name, probability, threshold=0.5):
    return Stage(name, name, probability, threshold, "youden")


def test_stage_3_speaks_only_where_stage_2_found_pneumonia():
    assert finding_of(stage("pneumonia", 0.4), stage("covid19", 0.9)) == "normal"
    assert finding_of(stage("pneumonia", 0.6), stage("covid19", 0.9)) == "covid19"
    assert finding_of(stage("pneumonia", 0.6), stage("covid19", 0.1)) == "other_pneumonia"


def test_both_readings_of_equation_1():
    features = np.zeros((1, 1024, 2, 2), np.float32)
    features[0, 3, 0, 1] = 8.0
    features[0, 5, 1, 0] = 4.0
    weights = np.zeros((1, 1024), np.float32)
    weights[0, 3], weights[0, 5] = 1.0, -1.0
    outputs = {"features": features, "pooled": features.mean(axis=(2, 3))}
    # Weighted sum: 8 at one place, -4 at another, 0 elsewhere; scaled from the least to the most.
    expected = np.array([[4 / 12, 1.0], [0.0, 4 / 12]])
    np.testing.assert_allclose(pneumonia_map(outputs, weights, "cam"), expected, atol=1e-6)
    literal = pneumonia_map(outputs, weights, "literal")
    assert literal.shape == (32, 32)
    assert literal[0, 3] == 1.0
    assert literal[0, 5] == pytest.approx(0.5)


def test_equation_3_is_a_pixelwise_product():
    pixels, mask = np.full((4, 4), 0.5, np.float32), np.ones((4, 4), np.float32)
    mask[0] = 0
    roi = Roi(pixels, mask, (0, 0, 1, 1), trusted=True)
    h2 = np.full((2, 2), 0.8, np.float32)
    np.testing.assert_allclose(weighted_input(roi, h2), 0.4 * mask, atol=1e-6)


def test_an_unknown_preprocessing_setting_is_refused():
    with pytest.raises(ValueError, match="surprise"):
        Preprocessing(working_side=224, margin=0.04, dilation=0.02, h2="cam", surprise=1)


def test_normals_do_not_reach_stage_3_unless_forced(tiny_bundle, phantom_data):
    system = load_system(tiny_bundle.folder)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    forced = system.screen(radiograph, force=True)
    assert [item.name for item in forced.saliency] == ["h2", "h3", "guided"]
    assert forced.probabilities["covid19"] is not None
    above = forced.probabilities["pneumonia"] + 1e-3
    gated = system.card.stages["pneumonia"].operating_points["half"].model_copy(update={"threshold": above})
    stages = system.card.stages | {
        "pneumonia": system.card.stages["pneumonia"].model_copy(update={"operating_points": {"half": gated}})
    }
    system.card = system.card.model_copy(update={"stages": stages})
    screening = system.screen(radiograph, policy="off")
    assert screening.finding == "normal"
    assert screening.probabilities["covid19"] is None
    assert [item.name for item in screening.saliency] == ["h2"]
    assert any("near its threshold" in warning for warning in screening.warnings)


def test_maps_and_mask_have_the_size_of_the_radiograph(tiny_bundle, phantom_data):
    system = load_system(tiny_bundle.folder)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[1]))
    screening = system.screen(radiograph, force=True)
    assert screening.lung_mask.shape == radiograph.shape
    for item in screening.saliency:
        assert item.values.shape == radiograph.shape
        assert item.values.dtype == np.float32
        assert 0.0 <= item.values.min() <= item.values.max() <= 1.0
    assert set(screening.seconds) == {"lungs", "gate", "pneumonia", "covid19", "total"}


def test_explanations_do_not_change_the_probabilities(tiny_bundle, phantom_data):
    system = load_system(tiny_bundle.folder)
    radiograph = read(phantom_data.image_file(phantom_data.table.index[2]))
    plain, explained = (system.screen(radiograph, force=True, explain=flag) for flag in (False, True))
    assert plain.saliency == ()
    for name, value in plain.probabilities.items():
        assert explained.probabilities[name] == pytest.approx(value, abs=1e-5)


def test_an_image_without_lungs_is_limited_and_says_so(tiny_bundle, tmp_path):
    from PIL import Image

    Image.fromarray(np.tile(np.linspace(0, 255, 256, dtype=np.uint8), (256, 1))).save(tmp_path / "ramp.png")
    system = load_system(tiny_bundle.folder)
    system._lungs = Blind(system._lungs)
    screening = system.screen(read(tmp_path / "ramp.png"), policy="off")
    assert screening.quality == "limited"
    assert NO_LUNGS in screening.warnings
    assert screening.lung_area_fraction == 0.0


def test_a_refused_image_does_not_reach_the_classifiers_unless_forced(tiny_bundle, tmp_path):
    from PIL import Image

    Image.fromarray(np.tile(np.linspace(0, 255, 256, dtype=np.uint8), (256, 1))).save(tmp_path / "ramp.png")
    system = load_system(tiny_bundle.folder)
    system._lungs = Blind(system._lungs)
    classifier, system._pneumonia = system._pneumonia, Unasked(system._pneumonia)
    screening = system.screen(read(tmp_path / "ramp.png"))
    assert screening.status == "refused"
    assert screening.probabilities == {"pneumonia": None, "covid19": None}
    assert (screening.finding, screening.triage_score, screening.saliency) == (None, None, ())
    assert set(screening.seconds) == {"lungs", "gate", "total"}
    system._pneumonia = classifier
    forced = system.screen(read(tmp_path / "ramp.png"), force=True)
    assert forced.verdict.overridden
    assert OVERRIDDEN in forced.warnings
    assert forced.probabilities["covid19"] is not None
    assert forced.quality == "limited"


class Unasked:
    """An engine that must not be asked."""

    def __init__(self, engine):
        self.image_shape = engine.image_shape

    def __call__(self, image):
        raise AssertionError("the gate refused this image")


class Blind:
    """An engine that finds no lung anywhere."""

    def __init__(self, engine):
        self.image_shape = engine.image_shape

    def __call__(self, image):
        return {"logits": np.full_like(image, -20.0)}
