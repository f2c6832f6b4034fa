"""The rule that chooses a mode, by hand."""

import numpy as np
import pytest

from cxrscreen.systems.patch_voting.mode_choice import (
    LEADS,
    SAID,
    asked_exactly,
    asked_in,
    greatest_lead,
    same_winner,
    shipped_mode,
)


def answers(*counts):
    """For each image 20 patches, so many of which declare the first class and the others the second."""
    return [np.eye(2, dtype=np.float32)[[0] * count + [1] * (20 - count)] for count in counts]


def measured(times, winner, patch):
    same = {"value": winner, "ci_low": winner - 0.02, "ci_high": 1.0, "n": 156}
    return {"times_faster": times, "ask_again": 0.15, "same_winner": same, "same_patch": {"value": patch}}


def test_the_closest_of_the_fast_modes_that_agree_is_shipped():
    modes = {
        "eager": {"times_faster": 1.0},
        "exact": measured(3.0, 1.0, 1.0),
        "bf16": measured(14.9, 1.0, 0.999),
        "early": measured(15.0, 0.99, 0.97),
        "middle": measured(16.0, 0.995, 0.98),
        "shared": measured(40.0, 0.989, 0.99),
    }
    assert shipped_mode(modes) == "middle"
    assert shipped_mode({name: modes[name] for name in ("eager", "exact", "bf16", "early")}) == "early"
    assert shipped_mode({name: modes[name] for name in ("eager", "exact", "bf16", "shared")}) == "exact"


def test_winners_are_compared_image_by_image():
    assert same_winner(answers(20, 20, 9), answers(20, 11, 11)).tolist() == [True, True, False]


def test_speed_to_spare_is_spent_on_asking_again():
    # Leads of 1.0, 0.5, 0.2 and 0.1; the clock allows 1.575 / 15.75 = 0.1 second an image.
    votes = answers(20, 15, 12, 11)
    assert greatest_lead(votes, eager=1.575, alone=0.04, exact=0.4) == 0.1
    assert greatest_lead(votes, eager=1.575, alone=0.04, exact=0.2) == 0.2
    assert greatest_lead(votes, eager=1.575, alone=0.04, exact=0.1) == LEADS[-1]
    assert greatest_lead(votes, eager=1.575, alone=0.11, exact=0.2) == 0.0


def test_the_card_says_what_a_mode_costs_and_on_what_it_was_chosen(tiny_bundle):
    card = asked_in(tiny_bundle.card, "shared", measured(17.2, 0.994, 0.97))
    assert (card.preprocessing["mode"], card.preprocessing["ask_again"]) == ("shared", 0.15)
    (said,) = set(card.limits) - set(tiny_bundle.card.limits)
    for words in ("mode shared, 17 times", "less than 15 %", "99.4 % [97.4, 100.0] of 156", "chosen by the speed"):
        assert words in said
    again = asked_in(card, "early", measured(15.5, 1.0, 0.99))
    assert sum(text.startswith(SAID) for text in again.limits) == 1
    back = asked_exactly(again)
    assert back.limits == tiny_bundle.card.limits
    assert back.preprocessing == pytest.approx(tiny_bundle.card.preprocessing | {"mode": "exact", "ask_again": 0.0})
