"""Screen one radiograph by patch voting: arrays and engines, no torch."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import HEART
from cxrscreen.errors import BundleError
from cxrscreen.explain.heat_map import upsample
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.explain.probabilistic_grad_cam import patch_grad_cam, probabilistic_grad_cam
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import Engine, Precision, load_engine
from cxrscreen.systems.bundle import Bundle, Card, preprocessing_of
from cxrscreen.systems.cautions import LIMITING, lung_cautions
from cxrscreen.systems.contract import Finding, MapKind, Policy, SaliencyMap, Screening, Stage
from cxrscreen.systems.gate import judge, refusal
from cxrscreen.systems.patch_voting.morphology import (
    lung_probability,
    organ_mask,
    organ_mask_at_size,
    organ_probabilities,
)
from cxrscreen.systems.patch_voting.patches import corners_of, in_batches
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, organ_input, patch_image
from cxrscreen.systems.patch_voting.shared import ask_shared
from cxrscreen.systems.patch_voting.views import centres_of, lungs_of_patch_image, patch_views
from cxrscreen.systems.patch_voting.voting import CLASSES, Vote, class_probabilities, majority_vote, vote_scores
from cxrscreen.systems.reading_order import triage_score

SHARED = "classifier-shared.onnx"
"""The bundle's file for shared feature maps, if it has one."""
BATCH = 20
"""Patches in one call of the engine; the votes do not depend on it."""
CLOSE = 0.10
"""Lead in shares of the patches below which the other class could easily have won."""

Outputs = Mapping[str, NDArray[np.float32]]


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


@dataclass(frozen=True, eq=False)
class Ballot:
    """The patches of one image and what the classifier said of them.

    Parameters
    ----------
    corners
        int64 (K, 2): row and column of each patch's upper left pixel in the image that patches are cut from.
    probabilities
        float32 (K, L): softmax probabilities.
    features
        float32 (K, C, u, v): last feature maps.
    pooled
        float32 (K, C).
    """

    corners: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    pooled: NDArray[np.float32]


def find_organs(network: Engine, pixels: NDArray[np.float32], settings: Preprocessing) -> Organs:
    """Segment a radiograph, from its pixels, float32 (H, W) in [0, 1]."""
    view = organ_input(pixels, network.image_shape[1], settings)
    probabilities = organ_probabilities(network(view[None, None])["logits"][0])
    return Organs(probabilities, organ_mask(probabilities))


def ask_patches(
    network: Engine,
    image: NDArray[np.uint8],
    lungs: NDArray[np.bool_],
    settings: Preprocessing,
    batch: int = BATCH,
) -> Ballot:
    """Draw the patches of an image and ask the classifier about each.

    Parameters
    ----------
    network
        The classifier.
    image, lungs
        uint8 and bool (S, S); the mask is not empty.
    settings
        Where patches lie and what they show.
    batch
        Patches in one call.
    """
    corners = corners_of(centres_of(image, lungs, settings), settings.field)
    views = patch_views(image, lungs, corners, settings, network.image_shape[1])
    answers = [network(some) for some in in_batches(views, batch)]
    logits, features, pooled = (
        np.concatenate([answer[name] for answer in answers]) for name in ("logits", "features", "pooled")
    )
    return Ballot(corners, class_probabilities(logits), features, pooled)


class PatchVoting:
    """The loaded system; see :class:`cxrscreen.systems.contract.System`.

    Parameters
    ----------
    card, settings
        The bundle's card and the preprocessing in it.
    organs, classifier
        Engines of the two networks.
    shared
        Gives the classifier's engine for the whole image, see :mod:`cxrscreen.systems.patch_voting.shared`; None where
        the bundle has none. It only answers :meth:`vote_shared`: screening asks patch by patch.
    """

    def __init__(
        self,
        card: Card,
        settings: Preprocessing,
        organs: Engine,
        classifier: Engine,
        shared: Callable[[], Engine] | None = None,
    ) -> None:
        self.card, self.settings = card, settings
        self._organs, self._classifier, self._shared = organs, classifier, shared
        self._class_weights = classifier.weights["classifier.weight"]

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
        mask[mask == HEART] = 0
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
            triage_score=triage_score(stages[0], stages[-1]),
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=maps,
            quality="limited" if limited else "good",
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=seconds,
            verdict=verdict,
            classes={name: float(score) for name, score in zip(CLASSES, vote_scores(vote), strict=True)},
        )

    def features(self, radiograph: Radiograph) -> dict[str, NDArray[np.float32]]:
        """Mean pooled feature of the patches; see :meth:`cxrscreen.systems.contract.System.features`."""
        ballot, _ = self._ballot(radiograph, self.segment(radiograph))
        return dict.fromkeys(TITLES, ballot.pooled.mean(axis=0))

    def segment(self, radiograph: Radiograph) -> Organs:
        """Lungs and heart alone."""
        return find_organs(self._organs, radiograph.pixels, self.settings)

    def vote(self, radiograph: Radiograph) -> Vote:
        """The patches' vote alone, without the gate: for measuring."""
        return majority_vote(self._ballot(radiograph, self.segment(radiograph))[0].probabilities)

    @property
    def can_share(self) -> bool:
        """Whether :meth:`vote_shared` can be asked."""
        return self._shared is not None

    def vote_shared(self, radiograph: Radiograph) -> Vote:
        """The vote of the same patches from shared feature maps: faster, and close to :meth:`vote`, not equal.

        Raises
        ------
        BundleError
            If the bundle has no network for it.
        """
        if self._shared is None:
            raise BundleError(f"{self.bundle_id} has no classifier-shared.onnx: ask its patches one by one.")
        organs = self.segment(radiograph)
        lungs, _ = lungs_of_patch_image(organs.mask, organs.probabilities, self.settings.image_side)
        image = patch_image(radiograph.pixels, self.settings)
        return majority_vote(ask_shared(self._shared(), image, lungs, self.settings))

    def _ballot(self, radiograph: Radiograph, organs: Organs) -> tuple[Ballot, bool]:
        image = patch_image(radiograph.pixels, self.settings)
        lungs, trusted = lungs_of_patch_image(organs.mask, organs.probabilities, self.settings.image_side)
        return ask_patches(self._classifier, image, lungs, self.settings), trusted

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
            patch_grad_cam(ballot.features, self._class_weights),
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
LOOKED_AT = "How often each place was looked at (empty: never)"
FINDINGS: tuple[Finding, ...] = ("normal", "bacterial", "tuberculosis", "viral")
"""Finding by the index of the class that won: its own name, so that a viral pneumonia is never called COVID-19."""
NAMES = {
    "normal": "normal",
    "bacterial": "bacterial pneumonia",
    "tuberculosis": "tuberculosis",
    "viral": "viral pneumonia including COVID-19",
}
NOT_TOLD_APART = "COVID-19 and other viral pneumonia are one class of this system: which of them it is remains open."


def load(bundle: Bundle, threads: int | None = None) -> PatchVoting:
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

    def compiled(name: str, precision: Precision = "f32") -> Engine:
        return load_engine(bundle.file(f"{name}.onnx"), precision=precision, threads=threads)

    with ThreadPoolExecutor(2, thread_name_prefix="compile") as pool:
        organs, classifier = pool.map(compiled, ("organs", "classifier"))
    # What is close and not equal anyway may as well be computed at half the width.
    shared = cache(lambda: compiled("classifier-shared", "bf16")) if SHARED in bundle.card.files else None
    return PatchVoting(bundle.card, settings, organs, classifier, shared)


def vote_warnings(vote: Vote) -> list[str]:
    """Say how the patches voted where that was close, and what the viral class stands for."""
    order = np.lexsort((vote.probabilities, vote.counts))[::-1]
    total, second = int(vote.counts.sum()), int(order[1])
    lead = int(vote.counts[vote.label] - vote.counts[second])
    found = []
    if total > 1 and lead < CLOSE * total:
        found.append(
            f"The vote was close: {vote.counts[vote.label]} of {total} patches for {NAMES[CLASSES[vote.label]]} and "
            f"{vote.counts[second]} for {NAMES[CLASSES[second]]}; the finding could easily be the other one."
        )
    if CLASSES[vote.label] == "viral":
        found.append(NOT_TOLD_APART)
    return found


def _at_temperature(probability: float, temperature: float) -> float:
    """The probability whose logit is divided by the temperature."""
    inside = min(max(probability, 1e-7), 1 - 1e-7)
    return float(1 / (1 + np.exp(-np.log(inside / (1 - inside)) / temperature)))
