from pathlib import Path

import pytest
import yaml

from cxrscreen.service.pages.measured import point_words, words_of
from cxrscreen.service.settings import Settings
from cxrscreen.systems.bundle import Card

CARD = Path(__file__).parents[3] / "models" / "cascade" / "card.yaml"


@pytest.fixture(scope="module")
def card() -> Card:
    return Card.model_validate(yaml.load(CARD.read_text(encoding="utf-8"), yaml.CSafeLoader))


def test_operating_points_are_told_with_their_intervals_on_test_images(card: Card) -> None:
    words = words_of(card)
    within = card.results["stage3"]["mean_within_source_auc"]["value"]
    assert f" and {within:.2f} (" in words["covid19"]
    assert words["covid19"].endswith("within single sources.")
    assert set(words) == {"pneumonia", "covid19"}
    tested = card.results["stage2"]["pooled_sensitivity"]
    assert (
        f"sensitivity {tested['value']:.2f} ({tested['ci_low']:.2f} to {tested['ci_high']:.2f})" in words["pneumonia"]
    )
    assert "95% intervals" in words["covid19"]


def test_without_results_the_choice_is_told_and_without_that_nothing(card: Card) -> None:
    bare = card.model_copy(update={"results": {}})
    assert words_of(bare)["pneumonia"].startswith("Where it was chosen (youden): sensitivity 0.")
    stage = card.stages["pneumonia"]
    point = stage.point().model_copy(update={"sensitivity": None})
    nothing = stage.model_copy(update={"operating_points": {stage.default: point}})
    assert words_of(bare.model_copy(update={"stages": {"pneumonia": nothing}})) == {}


def test_figures_of_another_version_or_of_a_system_that_is_gone_are_not_told(settings: Settings) -> None:
    assert point_words(settings, "quick", "quick@1") == {}
    assert point_words(settings, "cascade", "cascade@9") == {}
