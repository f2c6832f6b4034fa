"""Screen one radiograph with COMiT-Net: arrays and engines, no torch."""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cxrscreen.errors import BundleError
from cxrscreen.explain.heat_map import heat_map, upsample
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, engine_for
from cxrscreen.systems.bundle import Bundle, Card, preprocessing_of
from cxrscreen.systems.cascade.lungs import at_size, two_lungs
from cxrscreen.systems.cascade.pipeline import Lungs, find_lungs
from cxrscreen.systems.cascade.roi import SMALLEST_LUNGS
from cxrscreen.systems.cautions import LIMITING, NEAR_THRESHOLD, lung_cautions
from cxrscreen.systems.comit_net.decisions import NETWORK
from cxrscreen.systems.comit_net.labels import COVID19, OTHER, STAGES, UNHEALTHY
from cxrscreen.systems.comit_net.preprocessing import Preprocessing, grey_view, view_input
from cxrscreen.systems.comit_net.saliency import branch_grad_cam
from cxrscreen.systems.contract import Finding, Outline, Policy, SaliencyMap, Screening, Stage
from cxrscreen.systems.gate import judge, refusal
from cxrscreen.systems.mirrored import mirrored_outputs
from cxrscreen.systems.reading_order import triage_score

LUNGS_FILE = "lungs.onnx"
"""The bundle's own lung network, where the multi-task one has learned none."""
REGION = "disease"
"""Name of the map of the diseased region."""
REGION_THRESHOLD = 0.5
"""Score from which a place counts as diseased (the paper's section 4.1). It is no probability of disease where
``loss.region_weight`` weighs places within the region by w: 0.5 then stands for a probability of 1 / (1 + w); nor where
``region_recall`` has moved it: the card says what 0.5 then stands for."""
REGION_TITLE = "Diseased region: score at each place, from 0 to 1"
VIEWS = ("features", "pooled")
"""Outputs that a decision does not follow linearly: of an image and its mirror image they are not averaged."""
CONTRADICTION = (
    "The lungs were called healthy and a disease was called all the same: the decisions contradict each other."
)
NO_DISEASE_NAMED = (
    "The lungs were called unhealthy, but neither COVID-19 nor other pneumonia reached its operating point: the "
    "finding says other pneumonia for want of another word, and the disease may be none of the two."
)
REGION_OUTSIDE = "Most of the diseased region lies outside the lungs that were found: do not rely on it."

Outputs = Mapping[str, NDArray[np.float32]]


class ComitNet:
    """The loaded system; see :class:`cxrscreen.systems.contract.System`.

    Parameters
    ----------
    card, settings
        The bundle's card and the preprocessing in it.
    network
        Engine of the multi-task network.
    lungs
        Engine of a lung network, where the other has learned none; else None.
    """

    def __init__(self, card: Card, settings: Preprocessing, network: Engine, lungs: Engine | None = None) -> None:
        self.card, self.settings = card, settings
        self._network, self._lungs = network, lungs

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
        outputs = self.outputs(radiograph)
        seconds["network"] = time.perf_counter() - start
        lungs = self._find_lungs(radiograph, outputs)
        mask = at_size(lungs.mask, lungs.probability, radiograph.shape)
        seconds["lungs"] = time.perf_counter() - start - sum(seconds.values())
        verdict = judge(radiograph, lungs.probability, lungs.mask, policy=policy, force=force)
        seconds["gate"] = time.perf_counter() - start - sum(seconds.values())
        if verdict.refused:
            seconds["total"] = time.perf_counter() - start
            return refusal(verdict, self._stages(None), mask, self.bundle_id, seconds)
        stages = self._stages(outputs)
        finding = finding_of(stages)
        outlined = REGION in self.settings.masks and (self.settings.healthy_regions or finding != "normal")
        maps = self._maps(outputs, mask, outlined=outlined) if explain else ()
        seconds["maps"] = time.perf_counter() - start - sum(seconds.values())
        trusted = float((lungs.mask > 0).mean()) >= SMALLEST_LUNGS
        found = [*lung_cautions(lungs.mask, trusted=trusted), *decision_cautions(stages)]
        if outlined and _outside(outputs[REGION][0, 0], mask):
            found.append(REGION_OUTSIDE)
        warnings = tuple(dict.fromkeys((*verdict.sentences, *radiograph.warnings, *found)))
        doubtful = (*LIMITING, CONTRADICTION, NO_DISEASE_NAMED)
        limited = bool(radiograph.warnings or verdict.concerns) or any(text in doubtful for text in warnings)
        seconds["total"] = time.perf_counter() - start
        return Screening(
            stages=stages,
            finding=finding,
            triage_score=max(triage_score(stage, stage) for stage in stages),
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=maps,
            quality="limited" if limited else "good",
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=seconds,
            verdict=verdict,
        )

    def features(self, radiograph: Radiograph) -> dict[str, NDArray[np.float32]]:
        """The embedding; see :meth:`cxrscreen.systems.contract.System.features`."""
        return dict.fromkeys(self._names, self.outputs(radiograph)["pooled"].mean(axis=0))

    def outline(self, radiograph: Radiograph) -> Outline:
        """The diseased region and the lungs, whatever is decided; see :class:`cxrscreen.systems.contract.Outlines`."""
        if REGION not in self.settings.masks:
            raise BundleError(f"{self.bundle_id} shows no diseased region: take a bundle that has learned one.")
        outputs = self.outputs(radiograph)
        lungs = self._find_lungs(radiograph, outputs)
        mask = at_size(lungs.mask, lungs.probability, radiograph.shape)
        return Outline(np.clip(upsample(outputs[REGION][0, 0], radiograph.shape), 0.0, 1.0), mask > 0)

    def outputs(self, radiograph: Radiograph) -> Outputs:
        """All that the network gives for a radiograph, by output name; see :mod:`cxrscreen.runtime.export_comit`.

        Where the mirror image is asked too, all but ``features`` and ``pooled`` are means; these have a row for each.
        """
        view = grey_view(radiograph.pixels, self._network.image_shape[1], self.settings)
        image = view_input(view)[None]
        if not self.settings.mirrored:
            return self._network(image)
        return mirrored_outputs(self._network, image, apart=VIEWS)

    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """The network's tensors by state_dict name."""
        return self._network.weights

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in STAGES if name in self.card.stages)

    def _find_lungs(self, radiograph: Radiograph, outputs: Outputs) -> Lungs:
        if self._lungs is not None:
            return find_lungs(self._lungs, radiograph.pixels)
        probability = outputs["lungs"][0, 0]
        return Lungs(probability, two_lungs(probability))

    def _stages(self, outputs: Outputs | None) -> tuple[Stage, ...]:
        stages = []
        for name in self._names:
            card = self.card.stages[name]
            probability = None if outputs is None else _sigmoid(decision_logit(name, outputs) / card.temperature)
            stages.append(Stage(name, STAGES[name], probability, card.point().threshold, card.default))
        return tuple(stages)

    def _maps(self, outputs: Outputs, mask: NDArray[np.uint8], *, outlined: bool) -> tuple[SaliencyMap, ...]:
        """The diseased region if it is to be shown, then Grad-CAM of the decision on COVID-19 (else of unhealthy)."""
        shape = (mask.shape[0], mask.shape[1])
        maps = []
        if outlined:
            region = np.clip(upsample(outputs[REGION][0, 0], shape), 0.0, 1.0)
            maps.append(SaliencyMap(REGION, REGION_TITLE, region, lung_share(region, mask)))
        name = COVID19 if COVID19 in self._names else self._names[0]
        branch, row = ("health", (-1, 1)) if name == UNHEALTHY else ("diagnosis", _ROWS[name])
        weights = np.asarray(row, np.float32) @ self.weights[f"{branch}.last.weight"]
        heat = heat_map(branch_grad_cam(outputs, self.weights, branch, weights), shape)
        title = f"Grad-CAM: what spoke for “{STAGES[name]}”"
        maps.append(SaliencyMap("grad-cam", title, heat, lung_share(heat, mask)))
        return tuple(maps)


_ROWS: Mapping[str, tuple[int, int]] = {COVID19: (1, 0), OTHER: (0, 1)}
"""Which of the two logits of Eq. 6 a decision is."""


def load(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> ComitNet:
    """Load the network of a bundle.

    Raises
    ------
    BundleError
        If the card's preprocessing or decisions are not this system's, or a network is missing or cannot be loaded.
    """
    settings = preprocessing_of(bundle, Preprocessing)
    if not set(bundle.card.stages) & set(STAGES):
        raise BundleError(f"The card of {bundle.card.bundle_id} has no decision of this system: restore it.")
    network = engine_for(bundle.file(f"{NETWORK}.onnx"), engine, batch=2 if settings.mirrored else 1)
    needed = {"lungs", REGION} & set(settings.masks)
    if not needed <= set(network.outputs):
        raise BundleError(f"The network of {bundle.card.bundle_id} lacks a mask that its card names: restore it.")
    lungs = None if "lungs" in settings.masks else engine_for(bundle.file(LUNGS_FILE), engine)
    return ComitNet(bundle.card, settings, network, lungs)


def decision_logit(stage: str, outputs: Outputs) -> float:
    """Log odds of a decision: of unhealthy (Eq. 4), or one of the two logits of Eq. 6."""
    if stage == UNHEALTHY:
        return float(outputs["health"][0, 0])
    return float(outputs["diagnosis"][0] @ np.asarray(_ROWS[stage], np.float32))


def finding_of(stages: tuple[Stage, ...]) -> Finding:
    """The system's answer.

    A disease that is called is the finding, of two that which lies further above its threshold. Where none is called,
    unhealthy lungs get other pneumonia, with a warning, and never COVID-19; healthy ones are normal.
    """
    asked = {stage.name: stage for stage in stages}
    diseases: dict[str, Finding] = {COVID19: "covid19", OTHER: "other_pneumonia"}
    called = [asked[name] for name in diseases if name in asked and asked[name].positive]
    if called:
        return diseases[max(called, key=lambda stage: triage_score(stage, stage)).name]
    return "other_pneumonia" if UNHEALTHY in asked and asked[UNHEALTHY].positive else "normal"


def decision_cautions(stages: tuple[Stage, ...]) -> list[str]:
    """Say where decisions contradict each other or are close."""
    asked = {stage.name: stage for stage in stages}
    called = any(asked[name].positive for name in (COVID19, OTHER) if name in asked)
    found = []
    if UNHEALTHY in asked and called and not asked[UNHEALTHY].positive:
        found.append(CONTRADICTION)
    if UNHEALTHY in asked and asked[UNHEALTHY].positive and not called:
        found.append(NO_DISEASE_NAMED)
    return found + [
        f"The probability of the decision “{stage.title}” lies near its threshold: it could easily be the other one."
        for stage in stages
        if stage.probability is not None and abs(stage.probability - stage.threshold) < NEAR_THRESHOLD
    ]


def _outside(region: NDArray[np.float32], mask: NDArray[np.uint8]) -> bool:
    """Whether less than half of the region at its threshold lies in the lungs."""
    shape = (mask.shape[0], mask.shape[1])
    inside = upsample(region, shape) >= REGION_THRESHOLD
    return bool(inside.any()) and float((mask[inside] > 0).mean()) < 0.5


def _sigmoid(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))
