"""The gate's judgement: measures -> codes -> what the policy makes of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.decoded import COLOUR_WARNING
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import INVERTED_WARNING
from cxrscreen.systems.contract import Code, Concern, Policy, Screening, Severity, Stage, Verdict
from cxrscreen.systems.gate.fitted import Fitted, fitted
from cxrscreen.systems.gate.measures import Measures, measure

SENTENCES: Final[dict[Code, str]] = {
    "not_a_chest": "This does not look like a frontal chest radiograph; the networks know nothing else.",
    "ct_slice": "This looks like a slice of computed tomography; the networks know projection radiographs only.",
    "lateral": "This is or looks like a lateral view; the networks know frontal views only.",
    "photograph": "This looks like a photograph of a screen or a coloured figure; use the original image.",
    "inverted": INVERTED_WARNING,
    "child": "This looks like the chest of a child; results measured on adults say nothing about children.",
    "cut_off": "The lungs run along the edge of the image, so a part of them may be missing.",
    "too_small": "The image is very small; fine signs of disease cannot be seen in it.",
    "burned_in_text": "There is much burned-in text in the image; it can move the result and may name the person.",
}
"""By code, in the order of weight."""

POLICIES: Final[Mapping[Policy, frozenset[Code]]] = {
    "strict": frozenset(code for code in SENTENCES if code != "inverted"),
    "standard": frozenset({"not_a_chest", "ct_slice", "lateral"}),
    "off": frozenset(),
}
"""Codes that refuse, by policy; all others warn. An inverted image has been put right, so it is never refused."""


def judge(
    radiograph: Radiograph,
    probability: NDArray[np.float32],
    mask: NDArray[np.uint8],
    *,
    policy: Policy = "standard",
    force: bool = False,
) -> Verdict:
    """Judge whether a radiograph is of the kind the systems were made for.

    Parameters
    ----------
    radiograph
        The image; its view position, modality and the reader's notes count as well.
    probability
        float32 (S, T) in [0, 1]: the lung network's map, at the network's own size.
    mask
        uint8 (S, T): 0 background, 1 right lung (viewer's left), 2 left lung.
    policy
        Which codes refuse.
    force
        Screen it all the same; the verdict remembers a refusal that was overridden.
    """
    found = codes(measure(radiograph.pixels, probability, mask), radiograph)
    concerns = tuple(Concern(code, SENTENCES[code], _severity(code, policy)) for code in found)
    refuses = any(concern.severity == "refuse" for concern in concerns)
    return Verdict(policy, concerns, overridden=force and refuses)


def codes(measures: Measures, radiograph: Radiograph, model: Fitted | None = None) -> tuple[Code, ...]:
    """Name what speaks against a radiograph, in the order of weight.

    Parameters
    ----------
    measures
        From :func:`cxrscreen.systems.gate.measures.measure`.
    radiograph
        For what its file said.
    model
        Fitted weights and thresholds; None: those that ship with the package.
    """
    model = model or fitted()
    at = model.thresholds
    scope = model.scope.probabilities(measures)
    outside = 1.0 - scope.pop("frontal") >= at.out_of_scope
    looks_like = max(scope, key=lambda name: scope[name]) if outside else ""
    header_lateral = radiograph.view_position == "lateral"
    photograph = (
        COLOUR_WARNING in radiograph.warnings or model.photograph.probabilities(measures)["photograph"] >= at.photograph
    )
    # Of what is no frontal chest there is nothing more to say, and a photograph's slant changes a chest's proportions.
    chest = not outside and not header_lateral
    holds: dict[Code, bool] = {
        "not_a_chest": looks_like == "not_a_chest" and not header_lateral,
        "ct_slice": looks_like == "ct_slice" or radiograph.provenance.modality == "CT",
        "lateral": looks_like == "lateral" or header_lateral,
        "photograph": photograph,
        "inverted": chest and radiograph.provenance.polarity_corrected,
        "child": chest and not photograph and model.child.probabilities(measures)["child"] >= at.child,
        "cut_off": chest and max(measures["cut_top"], measures["cut_sides"], measures["cut_bottom"]) >= at.cut_off,
        "too_small": min(radiograph.shape) < at.too_small,
        "burned_in_text": chest and measures["letters"] >= at.letters,
    }
    return tuple(code for code in SENTENCES if holds[code])


def refusal(
    verdict: Verdict, stages: Sequence[Stage], mask: NDArray[np.uint8], bundle: str, seconds: Mapping[str, float]
) -> Screening:
    """Build the screening of a radiograph that the gate refused: the lung mask, the reasons, and no probability.

    Parameters
    ----------
    verdict
        One that refuses.
    stages
        The system's decisions, none of them asked.
    mask
        uint8 (H, W) at the radiograph's own size.
    bundle, seconds
        As in :class:`~cxrscreen.systems.contract.Screening`.

    Raises
    ------
    ValueError
        If the verdict does not refuse, or a stage has a probability.
    """
    if not verdict.refused:
        raise ValueError("the verdict does not refuse the radiograph")
    return Screening(
        stages=tuple(stages),
        finding=None,
        triage_score=None,
        lung_mask=mask,
        lung_area_fraction=float((mask > 0).mean()),
        saliency=(),
        quality="limited",
        warnings=verdict.sentences,
        bundle=bundle,
        seconds=seconds,
        verdict=verdict,
    )


def _severity(code: Code, policy: Policy) -> Severity:
    return "refuse" if code in POLICIES[policy] else "warn"
