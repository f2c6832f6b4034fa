"""Which mode a bundle is asked in: the rule that chooses by what was measured, and what the card says of it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cxrscreen.systems.bundle import Card
from cxrscreen.systems.patch_voting.preprocessing import Mode
from cxrscreen.systems.patch_voting.voting import majority_vote

TIMES, AGREEMENT = 15.0, 0.99
"""Least speed-up over separate eager forwards, and least share of images with the same winner, of a shipped mode."""
SPARE = 0.05
"""Speed to spare when a lead is chosen, since seconds differ from run to run."""
LEADS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Leads below which a mode may ask the reference."""
SAID = "Screening asks about patches in the mode "
"""Begins the card's limit on a mode."""

Answers = Sequence[NDArray[np.float32]]
"""For each image the patches' probabilities, float32 (K, L)."""


def shipped_mode(modes: Mapping[str, Mapping[str, Any]]) -> Mode:
    """The mode that the rule chooses.

    Parameters
    ----------
    modes
        By name: ``times_faster`` and, with intervals, ``same_winner`` and ``same_patch``; what has no ``same_winner``
        is no mode.

    Returns
    -------
    str
        Of the modes that are :data:`TIMES` faster and agree in :data:`AGREEMENT` of the images, that with the highest
        agreement of the patches; ``exact`` where none holds both.
    """
    holding = [
        name
        for name, found in modes.items()
        if "same_winner" in found and found["times_faster"] >= TIMES and found["same_winner"]["value"] >= AGREEMENT
    ]
    return cast(Mode, max(holding, key=lambda name: modes[name]["same_patch"]["value"], default="exact"))


def greatest_lead(answers: Answers, *, eager: float, alone: float, exact: float) -> float:
    """The greatest of :data:`LEADS` with which a mode would still be :data:`TIMES` faster, with :data:`SPARE` of it.

    What speed there is to spare is spent on agreement, and nothing is chosen by the agreement that is then reported.

    Parameters
    ----------
    answers
        The mode's own, with nothing asked again.
    eager, alone, exact
        Seconds of an image: of separate eager forwards, of the mode with nothing asked again, and of the reference.

    Returns
    -------
    float
        0 where the mode is too slow already.
    """
    leads = np.array([majority_vote(answer).lead for answer in answers])
    allowed = eager / (TIMES * (1 + SPARE))
    return max((lead for lead in LEADS if alone + (leads < lead).mean() * exact <= allowed), default=0.0)


def same_winner(reference: Answers, answers: Answers) -> NDArray[np.bool_]:
    """Whether the same class wins, for each image."""
    pairs = zip(reference, answers, strict=True)
    return np.array([majority_vote(one).label == majority_vote(other).label for one, other in pairs])


def asked_in(card: Card, mode: Mode, found: Mapping[str, Any]) -> Card:
    """The card of a bundle that is asked in a mode, with what that costs among the limits.

    Parameters
    ----------
    card
        What it said before of a mode is left out.
    mode
        Of screening.
    found
        What was measured of it on the validation part: ``ask_again``, ``times_faster`` and ``same_winner`` with its
        interval; not read for ``exact``.
    """
    limits = [text for text in card.limits if not text.startswith(SAID)]
    again = 0.0
    if mode != "exact":
        same, again = found["same_winner"], found["ask_again"]
        limits.append(
            f"{SAID}{mode}, {found['times_faster']:.0f} times faster than separate forwards; each patch by itself is "
            f"asked where the lead is less than {100 * again:.0f} % of the patches. The same class as patch by patch "
            f"won in {100 * same['value']:.1f} % [{100 * same['ci_low']:.1f}, {100 * same['ci_high']:.1f}] of "
            f"{same['n']} validation images. The lead was chosen by the speed on these images; on others the agreement "
            "may be less."
        )
    preprocessing = {**card.preprocessing, "mode": mode, "ask_again": again}
    return card.model_copy(update={"preprocessing": preprocessing, "limits": limits})


def asked_exactly(card: Card) -> Card:
    """The card of a bundle that is asked patch by patch, as long as nothing faster was measured."""
    return asked_in(card, "exact", {})
