"""What every system gives for one radiograph: the Screening."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.radiograph import Radiograph

Finding = Literal["normal", "covid19", "other_pneumonia", "bacterial", "tuberculosis", "viral"]
"""What a system can answer; ``viral`` includes COVID-19 and other viruses, which the answer does not tell apart."""
Quality = Literal["good", "limited"]
Status = Literal["screened", "refused", "failed"]
Policy = Literal["strict", "standard", "off"]
Severity = Literal["refuse", "warn"]
Code = Literal[
    "not_a_chest", "lateral", "ct_slice", "photograph", "inverted", "child", "cut_off", "too_small", "burned_in_text"
]


@dataclass(frozen=True)
class Concern:
    """One reason why a radiograph may be outside what the systems were made for.

    Parameters
    ----------
    code
        For programs; see :mod:`cxrscreen.systems.gate`.
    sentence
        For people.
    severity
        What the policy in force makes of it.
    """

    code: Code
    sentence: str
    severity: Severity


@dataclass(frozen=True)
class Verdict:
    """The gate's judgement of one radiograph.

    Parameters
    ----------
    policy
        Which codes refuse and which warn; under ``"off"`` none refuses.
    concerns
        In the order of their weight; empty for a radiograph without objection.
    overridden
        True where the radiograph was screened although the policy refused it.
    """

    policy: Policy
    concerns: tuple[Concern, ...] = ()
    overridden: bool = False

    @property
    def refused(self) -> bool:
        """Whether the radiograph was not screened: a concern refuses it and nobody overrode that."""
        return not self.overridden and any(concern.severity == "refuse" for concern in self.concerns)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The concerns in words and, where somebody overrode them, that this was done."""
        said = tuple(concern.sentence for concern in self.concerns)
        return (*said, OVERRIDDEN) if self.overridden else said


OVERRIDDEN = "The gate refused this image; it was screened all the same because that was asked for: do not rely on it."
NOT_JUDGED = Verdict("off")
"""For a system that asked no gate."""


@dataclass(frozen=True)
class Stage:
    """One decision of a system.

    Parameters
    ----------
    name
        Short, for example ``"pneumonia"``: the key in ``Screening.probabilities``.
    title
        What is decided, in plain words, for example "Pneumonia (any type) against normal".
    probability
        In [0, 1], or None where the stage was not asked (gated by the one before).
    threshold
        The operating point's threshold in [0, 1].
    operating_point
        Its name in the card, for example ``"youden"``.
    """

    name: str
    title: str
    probability: float | None
    threshold: float
    operating_point: str

    @property
    def positive(self) -> bool | None:
        """Whether the probability reaches the threshold; None where the stage was not asked."""
        return None if self.probability is None else self.probability >= self.threshold


MapKind = Literal["saliency", "coverage"]
"""``saliency``: what spoke for a decision. ``coverage``: where the system looked, whatever it saw there."""


@dataclass(frozen=True)
class SaliencyMap:
    """A named map at the radiograph's size.

    Parameters
    ----------
    name
        File-safe short name: ``"h2"``, ``"h3"``, ``"guided"``.
    title
        What it shows, in plain words.
    values
        float32 (H, W) at the radiograph's own size, range [0, 1], 1 = most important.
    lung_share
        Share of the map's sum inside the lung mask, in [0, 1]; None for an all-zero map.
    kind
        What it shows; a map of coverage is to be looked at, and is no explanation to be judged.
    looked_at
        bool (H, W), where the map knows anything: elsewhere its values are 0 for display and mean nothing. None:
        everywhere.
    """

    name: str
    title: str
    values: NDArray[np.float32]
    lung_share: float | None
    kind: MapKind = "saliency"
    looked_at: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Screening:
    """The result for one radiograph (no file, no network: a value).

    Parameters
    ----------
    stages
        The decisions in order.
    finding
        The system's answer at its operating points; None where the gate refused the radiograph.
    triage_score
        In [0, 1]; larger is read first. None where the gate refused the radiograph.
    lung_mask
        uint8 (H, W) at the radiograph's own size: 0 background, 1 right lung (viewer's left), 2 left lung.
    lung_area_fraction
        Share of the image covered by lung, in [0, 1].
    saliency
        Maps by name, in the order to show them.
    quality
        ``"limited"`` where a warning touches the trust in the result.
    warnings
        Sentences for the reader, those of the verdict among them.
    bundle
        ``name@version`` of the model bundle.
    seconds
        Time by step, plus ``"total"``.
    verdict
        The gate's judgement.
    classes
        Scores in [0, 1] of classes that exclude each other, sum 1, the greatest that of the finding; empty for a system
        that decides step by step, and where the gate refused the radiograph.
    heart_mask
        bool (H, W), the heart where no lung is; None from a system that does not segment it.

    Raises
    ------
    ValueError
        If a refused radiograph has a probability, a finding or a score, or one that was not refused lacks them.
    """

    stages: tuple[Stage, ...]
    finding: Finding | None
    triage_score: float | None
    lung_mask: NDArray[np.uint8]
    lung_area_fraction: float
    saliency: tuple[SaliencyMap, ...]
    quality: Quality
    warnings: tuple[str, ...]
    bundle: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = NOT_JUDGED
    classes: Mapping[str, float] = field(default_factory=dict)
    heart_mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.verdict.refused:
            results = (self.finding, self.triage_score, *self.probabilities.values())
            if any(result is not None for result in results) or self.saliency or self.classes:
                raise ValueError("a refused radiograph has no result")
        elif self.finding is None or self.triage_score is None:
            raise ValueError("a radiograph that was not refused has a finding and a score")

    @property
    def status(self) -> Status:
        """``"refused"`` where the gate stopped it, else ``"screened"``."""
        return "refused" if self.verdict.refused else "screened"

    @property
    def explanations(self) -> tuple[SaliencyMap, ...]:
        """The maps that explain a decision: those of ``saliency`` without maps of coverage."""
        return tuple(item for item in self.saliency if item.kind == "saliency")

    @property
    def probabilities(self) -> dict[str, float | None]:
        """Probability by stage name; None where a stage was not asked."""
        return {stage.name: stage.probability for stage in self.stages}


class System(Protocol):
    """A loaded system, ready to screen."""

    @property
    def bundle_id(self) -> str:
        """``name@version`` of the bundle it was loaded from."""

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        """Screen one radiograph, unless the gate refuses it.

        Parameters
        ----------
        radiograph
            The image.
        force
            Ask every stage even where an earlier one, or the gate, would stop it; the result says so.
        explain
            Make the saliency maps; without them only masks and probabilities are made, faster.
        policy
            Which of the gate's codes refuse.
        """

    def features(self, radiograph: Radiograph) -> Mapping[str, NDArray[np.float32]]:
        """Give what each decision's last layer sees, for audits of what a network knows.

        Returns
        -------
        dict
            By stage name, float32 (K,).
        """


@dataclass(frozen=True)
class Outline:
    """Where a system sees disease, and where lungs.

    Parameters
    ----------
    disease
        float32 (H, W) in [0, 1] at the radiograph's own size: a score of disease at each place; no
        probability where the loss of the places was weighted.
    lungs
        bool (H, W).
    """

    disease: NDArray[np.float32]
    lungs: NDArray[np.bool_]


@runtime_checkable
class Outlines(Protocol):
    """A system that outlines the diseased region."""

    @property
    def bundle_id(self) -> str:
        """``name@version`` of the bundle it was loaded from."""

    def outline(self, radiograph: Radiograph) -> Outline:
        """Outline the diseased region whatever is decided, which a screening may leave out.

        Raises
        ------
        CxrscreenError
            If this bundle has learned none.
        """
