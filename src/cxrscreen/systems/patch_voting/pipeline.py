"""Screen one radiograph by patch voting: arrays and engines, no torch."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import HEART
from cxrscreen.errors import BundleError
from cxrscreen.explain.heat_map import upsample
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.explain.probabilistic_grad_cam import patch_grad_cam, probabilistic_grad_cam
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, engine_for
from cxrscreen.systems.bundle import Bundle, Card, preprocessing_of
from cxrscreen.systems.cautions import LIMITING, lung_cautions
from cxrscreen.systems.contract import Finding, MapKind, Policy, SaliencyMap, Screening, Stage
from cxrscreen.systems.gate import judge, refusal
from cxrscreen.systems.patch_voting.ballots import Ballot
from cxrscreen.systems.patch_voting.modes import Ask, load_modes
from cxrscreen.systems.patch_voting.morphology import (
    lung_probability,
    organ_mask,
    organ_mask_at_size,
    organ_probabilities,
)
from cxrscreen.systems.patch_voting.preprocessing import Mode, Preprocessing, organ_input, patch_image
from cxrscreen.systems.patch_voting.shared_head import has_foreign_head
from cxrscreen.systems.patch_voting.views import lungs_of_patch_image
from cxrscreen.systems.patch_voting.voting import CLASSES, CLOSE, Vote, majority_vote, vote_scores
from cxrscreen.systems.reading_order import triage_score


@dataclass(frozen=True, eq=False)
class Organs:
    """The organ network's answer, at its own size.

    Parameters
    ----------
    probabilities
        float32 (4, S, S) in [0, 1]: background, right lung, left lung, heart.
    mask
        uint8 (S, S): 0 background, 1 right lung (viewer's left), 2 left lung, 3 heart.
    """

    probabilities: NDArray[np.float32]
    mask: NDArray[np.uint8]

    @property
    def lungs(self) -> NDArray[np.uint8]:
        """The mask without the heart, uint8 (S, S)."""
        return np.where(self.mask == HEART, 0, self.mask).astype(np.uint8)

    def at_size(self, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """The mask at another size, uint8 of ``shape``: 0 to 3."""
        return organ_mask_at_size(self.mask, self.probabilities, shape)


def find_organs(network: Engine, pixels: NDArray[np.float32], settings: Preprocessing) -> Organs:
    """Segment a radiograph, from its pixels, float32 (H, W) in [0, 1]."""
    view = organ_input(pixels, network.image_shape[1], settings)
    probabilities = organ_probabilities(network(view[None, None])["logits"][0])
    return Organs(probabilities, organ_mask(probabilities))


class PatchVoting:
    """The loaded system; see :class:`cxrscreen.systems.contract.System`.

    Parameters
    ----------
    card, settings
        The bundle's card and the preprocessing in it.
    organs
        Engine of the organ network.
    modes
        Ways to ask the classifier; may take a second when first asked. Screening takes the one of the settings.
    """

    def __init__(
        self,
        card: Card,
        settings: Preprocessing,
        organs: Engine,
        modes: Mapping[Mode, Callable[[], Ask]],
    ) -> None:
        self.card, self.settings = card, settings
        self._organs, self._modes = organs, modes

    @property
    def bundle_id(self) -> str:
        """``name@version``."""
        return self.card.bundle_id

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        """Screen one radiograph; see :meth:`cxrscreen.systems.contract.System.screen`."""
        seconds: dict[str, float] = {}
        start = time.perf_counter()
        organs = self.segment(radiograph)
        mask = organs.at_size(radiograph.shape)
        heart = mask == HEART
        mask[heart] = 0
        seconds["organs"] = time.perf_counter() - start
        verdict = judge(radiograph, lung_probability(organs.probabilities), organs.lungs, policy=policy, force=force)
        seconds["gate"] = time.perf_counter() - start - sum(seconds.values())
        if verdict.refused:
            seconds["total"] = time.perf_counter() - start
            return refusal(verdict, self._stages(None), mask, self.bundle_id, seconds)
        ballot, trusted = self._ballot(radiograph, organs)
        vote = majority_vote(ballot.probabilities)
        seconds["patches"] = time.perf_counter() - start - sum(seconds.values())
        maps = self._maps(ballot, vote, mask) if explain else ()
        seconds["maps"] = time.perf_counter() - start - sum(seconds.values())
        stages = self._stages(vote)
        found = (*lung_cautions(organs.lungs, trusted=trusted), *vote_warnings(vote))
        warnings = tuple(dict.fromkeys((*verdict.sentences, *radiograph.warnings, *found)))
        limited = bool(radiograph.warnings or verdict.concerns) or any(text in LIMITING for text in warnings)
        seconds["total"] = time.perf_counter() - start
        return Screening(
            stages=stages,
            finding=FINDINGS[vote.label],
            # The vote makes the finding, and the decisions' operating points may say something else.
            triage_score=triage_score(stages[0], stages[-1], diseased=vote.label != 0),
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=maps,
            quality="limited" if limited else "good",
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=seconds,
            verdict=verdict,
            classes={name: float(score) for name, score in zip(CLASSES, vote_scores(vote), strict=True)},
            heart_mask=heart,
        )

    def features(self, radiograph: Radiograph) -> dict[str, NDArray[np.float32]]:
        """Mean pooled feature of the patches; see :meth:`cxrscreen.systems.contract.System.features`.

        All of one mode, whatever the votes: features of two modes would differ by how close a vote is.
        """
        ballot, _ = self._ballot(radiograph, self.segment(radiograph), ask_again=0.0)
        return dict.fromkeys(TITLES, ballot.pooled.mean(axis=0))

    def segment(self, radiograph: Radiograph) -> Organs:
        """Lungs and heart alone."""
        return find_organs(self._organs, radiograph.pixels, self.settings)

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways in which :meth:`vote` can be asked, the reference first."""
        return tuple(self._modes)

    def vote(self, radiograph: Radiograph, mode: Mode | None = None) -> Vote:
        """The patches' vote alone, without the gate: for measuring.

        Parameters
        ----------
        radiograph
            The image.
        mode
            One of :attr:`modes`; None: that of screening.

        Raises
        ------
        BundleError
            If the bundle has no network for the mode.
        """
        return majority_vote(self._ballot(radiograph, self.segment(radiograph), mode)[0].probabilities)

    def _ballot(
        self, radiograph: Radiograph, organs: Organs, mode: Mode | None = None, ask_again: float | None = None
    ) -> tuple[Ballot, bool]:
        asked = mode or self.settings.mode
        if asked not in self._modes:
            raise BundleError(f"{self.bundle_id} has no networks for the mode {asked}: ask in the mode exact.")
        image = patch_image(radiograph.pixels, self.settings)
        lungs, trusted = lungs_of_patch_image(organs.mask, organs.probabilities, self.settings.image_side)
        settings = self.settings if ask_again is None else replace(self.settings, ask_again=ask_again)
        return self._modes[asked]()(image, lungs, settings), trusted

    def _stages(self, vote: Vote | None) -> tuple[Stage, ...]:
        """Any disease against normal, then each disease against the rest, by mean probability over the patches."""
        stages = []
        for name, title in TITLES.items():
            probability = None
            if vote is not None:
                share = 1 - vote.probabilities[0] if name == "pneumonia" else vote.probabilities[CLASSES.index(name)]
                probability = _at_temperature(float(share), self.card.stages[name].temperature)
            card = self.card.stages[name]
            stages.append(Stage(name, title, probability, card.point().threshold, card.default))
        return tuple(stages)

    def _maps(self, ballot: Ballot, vote: Vote, mask: NDArray[np.uint8]) -> tuple[SaliencyMap, ...]:
        side = self.settings.image_side
        found = probabilistic_grad_cam(
            patch_grad_cam(ballot.last_maps(), ballot.weights),
            ballot.probabilities,
            ballot.corners,
            (side, side),
            self.settings.field,
        )
        first = [vote.label, *(label for label in range(len(CLASSES)) if label != vote.label)]
        shape = (mask.shape[0], mask.shape[1])

        # What is enlarged reaches a little over the patches' border, and means nothing there.
        looked_at = upsample(found.looked_at.astype(np.float32), shape) >= 0.5

        def placed(name: str, title: str, values: NDArray[np.float32], kind: MapKind = "saliency") -> SaliencyMap:
            at_size = np.where(looked_at, np.clip(upsample(values, shape), 0.0, 1.0), np.float32(0))
            return SaliencyMap(name, title, at_size, lung_share(at_size, mask), kind, looked_at)

        maps = [placed(CLASSES[label], MAP_TITLES[CLASSES[label]], found.shown(label)) for label in first]
        looks = (found.counts / max(int(found.counts.max()), 1)).astype(np.float32)
        return (*maps, placed("looked-at", LOOKED_AT, looks, "coverage"))


TITLES = {
    "pneumonia": "Pneumonia or tuberculosis, against normal",
    "bacterial": "Bacterial pneumonia, against the rest",
    "tuberculosis": "Tuberculosis, against the rest",
    "viral": "Viral pneumonia, COVID-19 included, against the rest",
}
"""Decisions by name, in the order of the screening; the last one orders the reading list."""
MAP_TITLES = {
    "normal": "Probabilistic Grad-CAM: what spoke for normal",
    "bacterial": "Probabilistic Grad-CAM: what spoke for bacterial pneumonia",
    "tuberculosis": "Probabilistic Grad-CAM: what spoke for tuberculosis",
    "viral": "Probabilistic Grad-CAM: what spoke for viral pneumonia, COVID-19 included",
}
LOOKED_AT = "How often each place was looked at"
FINDINGS: tuple[Finding, ...] = ("normal", "bacterial", "tuberculosis", "viral")
"""Finding by the index of the class that won: its own name, so that a viral pneumonia is never called COVID-19."""
NAMES = {
    "normal": "normal",
    "bacterial": "bacterial pneumonia",
    "tuberculosis": "tuberculosis",
    "viral": "viral pneumonia including COVID-19",
}
NOT_TOLD_APART = "COVID-19 and other viral pneumonia are one class of this system: which of them it is remains open."


def load(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> PatchVoting:
    """Load the networks of a bundle.

    Raises
    ------
    BundleError
        If the card's preprocessing or decisions are not this system's, or a network cannot be loaded.
    """
    settings = preprocessing_of(bundle, Preprocessing)
    lacking = [name for name in TITLES if name not in bundle.card.stages]
    if lacking:
        raise BundleError(
            f"The card of {bundle.card.bundle_id} lacks the decision {lacking[0]}: restore it or train it again."
        )
    if settings.mode == "shared" and has_foreign_head(bundle):
        # The classifier was changed after the mode was measured.
        settings = replace(settings, mode="exact")
    modes = load_modes(bundle, engine)
    if settings.mode not in modes:
        raise BundleError(
            f"The card of {bundle.card.bundle_id} asks in the mode {settings.mode}, for which a network is missing: "
            "copy the model bundle again, or set the card's mode to exact."
        )
    with ThreadPoolExecutor(1, thread_name_prefix="compile") as pool:
        own = pool.submit(modes[settings.mode])
        organs = engine_for(bundle.file("organs.onnx"), engine)
        own.result()
    return PatchVoting(bundle.card, settings, organs, modes)


def vote_warnings(vote: Vote) -> list[str]:
    """Say how the patches voted where that was close, and what the viral class stands for."""
    found = []
    if vote.lead < CLOSE:
        counts, chances = vote.counts, vote.probabilities
        first, second = NAMES[CLASSES[vote.label]], NAMES[CLASSES[vote.second]]
        if counts.sum() == 1:
            said = f"{chances[vote.label]:.2f} for {first} and {chances[vote.second]:.2f}"
        else:
            said = f"{counts[vote.label]} of {counts.sum()} patches for {first} and {counts[vote.second]}"
        found.append(f"The vote was close: {said} for {second}; the finding could easily be the other one.")
    if CLASSES[vote.label] == "viral":
        found.append(NOT_TOLD_APART)
    return found


def _at_temperature(probability: float, temperature: float) -> float:
    """The probability whose logit is divided by the temperature."""
    inside = min(max(probability, 1e-7), 1 - 1e-7)
    return float(1 / (1 + np.exp(-np.log(inside / (1 - inside)) / temperature)))
