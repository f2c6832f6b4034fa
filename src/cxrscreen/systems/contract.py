"""What every system gives for one radiograph: the Screening."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cxrscreen.imaging.radiograph import Radiograph

Finding = Literal["normal", "covid19", "other_pneumonia"]
Quality = Literal["good", "limited"]
Status = Literal["screened", "failed"]


@dataclass(frozen=True)
class Stage:
    """One decision of a system.

    Parameters
    ----------
    name
        ``"pneumonia"`` or ``"covid19"``: the key in ``Screening.probabilities``.
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
    """

    name: str
    title: str
    values: NDArray[np.float32]
    lung_share: float | None


@dataclass(frozen=True)
class Screening:
    """The result for one radiograph (no file, no network: a value).

    Parameters
    ----------
    stages
        The decisions in order.
    finding
        The cascade's answer at its operating points.
    triage_score
        In [0, 1]; larger is read first.
    lung_mask
        uint8 (H, W) at the radiograph's own size: 0 background, 1 right lung (viewer's left), 2 left lung.
    lung_area_fraction
        Share of the image covered by lung, in [0, 1].
    saliency
        Maps by name, in the order to show them.
    quality
        ``"limited"`` where a warning touches the trust in the result.
    warnings
        Sentences for the reader.
    bundle
        ``name@version`` of the model bundle.
    seconds
        Time by step, plus ``"total"``.
    """

    stages: tuple[Stage, ...]
    finding: Finding
    triage_score: float
    lung_mask: NDArray[np.uint8]
    lung_area_fraction: float
    saliency: tuple[SaliencyMap, ...]
    quality: Quality
    warnings: tuple[str, ...]
    bundle: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def probabilities(self) -> dict[str, float | None]:
        """Probability by stage name; None where a stage was not asked."""
        return {stage.name: stage.probability for stage in self.stages}


class System(Protocol):
    """A loaded system, ready to screen."""

    @property
    def bundle_id(self) -> str:
        """``name@version`` of the bundle it was loaded from."""

    def screen(self, radiograph: Radiograph, *, force: bool = False, explain: bool = True) -> Screening:
        """Screen one radiograph.

        Parameters
        ----------
        radiograph
            The image.
        force
            Ask every stage even where an earlier one gates it.
        explain
            Make the saliency maps; without them only masks and probabilities are made, faster.
        """

    def features(self, radiograph: Radiograph) -> Mapping[str, NDArray[np.float32]]:
        """Give what each decision's last layer sees, for audits of what a network knows.

        Returns
        -------
        dict
            By stage name, float32 (K,).
        """
