"""What an operating point did when it was measured, in words, from the card of the model that gave the answer."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cxrscreen.errors import CxrscreenError
from cxrscreen.report.wording import printable
from cxrscreen.service.settings import Settings
from cxrscreen.systems.bundle import Card, open_bundle
from cxrscreen.systems.registry import bundle_named

_TEST_PARTS: Final = {"pneumonia": "stage2", "covid19": "stage3"}
"""Where the cascade's card keeps the results of its decisions."""


def point_words(settings: Settings, system: str, bundle: str) -> Mapping[str, str]:
    """Say, by decision, what the operating point in force did.

    Parameters
    ----------
    settings
        Which name the systems' bundles.
    system
        Name of the system.
    bundle
        ``name@version`` that gave the answer; the figures of another version say nothing of it.

    Returns
    -------
    dict
        Empty where the service has that version's card no more.
    """
    if system not in settings.systems:
        return {}
    card = _card(settings.systems[system], system)
    return words_of(card) if card is not None and card.bundle_id == bundle else {}


def words_of(card: Card) -> dict[str, str]:
    """Say, by decision, what a card's operating points did: on test images with intervals, else where it was chosen."""
    found = {}
    for name, stage in card.stages.items():
        point = stage.point()
        tested = card.results.get(_TEST_PARTS.get(name, name))
        sensitivity, specificity = _estimate(tested, "pooled_sensitivity"), _estimate(tested, "pooled_specificity")
        if sensitivity and specificity:
            found[name] = (
                f"On the test images, all sources together: sensitivity {sensitivity}, specificity {specificity} "
                f"(95% intervals). {_within(tested)}"
            )
        elif point.sensitivity is not None and point.specificity is not None:
            found[name] = (
                f"Where it was chosen ({printable(point.rule)}): sensitivity {point.sensitivity:.2f}, specificity "
                f"{point.specificity:.2f}; other images show less."
            )
    return found


def _within(tested: Any) -> str:
    """Say what stands beside pooled figures: sources differ in disease, so that knowing the source helps in these."""
    within, pooled = _estimate(tested, "mean_within_source_auc"), _estimate(tested, "pooled_auc")
    if within and pooled:
        return (
            f"Taken together, sources flatter: the AUC is {pooled} on all of them and {within} within single sources."
        )
    return "No figure within single sources is known, and taken together, sources flatter."


def _estimate(results: Any, name: str) -> str | None:
    found = results.get(name) if isinstance(results, Mapping) else None
    if not isinstance(found, Mapping) or not all(
        isinstance(found.get(key), int | float) for key in ("value", "ci_low", "ci_high")
    ):
        return None
    return f"{found['value']:.2f} ({found['ci_low']:.2f} to {found['ci_high']:.2f})"


@lru_cache(maxsize=16)
def _card(bundle: str | None, system: str) -> Card | None:
    try:
        return open_bundle(bundle_named(bundle, system)).card
    except CxrscreenError:
        return None
