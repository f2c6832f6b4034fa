"""Screen one radiograph with COVID-CXNet: arrays and engines, no torch."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.findings import FINDINGS, PNEUMONIA
from cxrscreen.errors import BundleError
from cxrscreen.explain.heat_map import normalise, upsample
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, engine_for
from cxrscreen.runtime.weights import Weights
from cxrscreen.systems.bundle import Bundle, Card, preprocessing_of
from cxrscreen.systems.cascade.lungs import at_size
from cxrscreen.systems.cascade.pipeline import Lungs, find_lungs
from cxrscreen.systems.cascade.roi import place_in_radiograph
from cxrscreen.systems.cautions import LIMITING, LOPSIDED, LOPSIDED_LUNGS, NEAR_THRESHOLD, NO_LUNGS, ONE_LUNG
from cxrscreen.systems.contract import Finding, Policy, SaliencyMap, Screening, Stage
from cxrscreen.systems.covid_cxnet.classes import BINARY_STAGE, CLASSES, STAGES, WORDS
from cxrscreen.systems.covid_cxnet.preprocessing import Preprocessing, View, in_region, region_of_interest, view_input
from cxrscreen.systems.covid_cxnet.saliency import class_grad_cam
from cxrscreen.systems.gate import judge, refusal
from cxrscreen.systems.reading_order import triage_score

FINDINGS_FILE = "findings.onnx"
"""The bundle's network of the 14 findings, if it has one."""
HEAD_FILE = "findings-head.safetensors"
"""Or a linear layer, ``weight`` (14, K) and ``bias``, on the classifier's last feature maps, averaged."""
NOT_APART = (
    "In the images that taught the findings none of them comes without pneumonia: all bars of their chart are versions "
    "of one contrast, pneumonia against normal."
)
"""A limit of a card, and what its chart must say; exports write it or :data:`APART`."""
APART = "Findings that the training images also have without pneumonia: "
"""Before their names, likewise."""
PUBLISHED = (
    "The chart of 14 findings is of a published checkpoint, from images of its own: how good it is on these was not "
    "measured."
)
"""Likewise, of findings that were not learned here; their network is shown what it learned from, whole radiographs."""
NOT_STATED = (
    "The card names no finding that was learned apart from pneumonia; where none was, as for the bundle that ships, "
    "all bars are versions of one contrast, pneumonia against normal."
)
NO_OTHER_PNEUMONIA = "This version knows COVID-19 and normal alone: what it calls COVID-19 may be another pneumonia."

WORK_SIDE = 224
WORK: Mapping[str, float] = {"efficientnet-lite0": 0.4, "base": 0.05, "chexnet": 2.9, "resnet50": 4.1}
"""Multiply-adds of the recipe's networks for one image of :data:`WORK_SIDE` pixels, in units of 10^9."""

Outputs = Mapping[str, NDArray[np.float32]]


class CovidCxNet:
    """The loaded system; see :class:`cxrscreen.systems.contract.System`.

    Parameters
    ----------
    card, settings
        The bundle's card and the preprocessing in it.
    lungs, classifier
        Engines of the two networks.
    findings
        Engine of the network of the 14 findings; or weight and bias of a layer on the classifier's features; or None.
    """

    def __init__(
        self,
        card: Card,
        settings: Preprocessing,
        lungs: Engine,
        classifier: Engine,
        findings: Engine | Weights | None = None,
    ) -> None:
        self.card, self.settings = card, settings
        self._lungs, self._classifier, self._findings = lungs, classifier, findings

    @property
    def bundle_id(self) -> str:
        """``name@version``."""
        return self.card.bundle_id

    @property
    def classes(self) -> tuple[Finding, ...]:
        """The classes that it tells apart."""
        return CLASSES[self.settings.classes]

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        """Screen one radiograph; see :meth:`cxrscreen.systems.contract.System.screen`."""
        seconds: dict[str, float] = {}
        start = time.perf_counter()
        lungs = find_lungs(self._lungs, radiograph.pixels)
        mask = at_size(lungs.mask, lungs.probability, radiograph.shape)
        seconds["lungs"] = time.perf_counter() - start
        verdict = judge(radiograph, lungs.probability, lungs.mask, policy=policy, force=force)
        seconds["gate"] = time.perf_counter() - start - sum(seconds.values())
        if verdict.refused:
            seconds["total"] = time.perf_counter() - start
            return refusal(verdict, self._stages(None), mask, self.bundle_id, seconds)
        view = self.view(radiograph, lungs)
        outputs = self._classifier(view_input(view, self.settings)[None])
        shares = class_shares(outputs["logits"])[0]
        stages = self._stages(shares)
        finding = self._finding(shares, stages)
        seconds["classifier"] = time.perf_counter() - start - sum(seconds.values())
        maps = self._maps(outputs, view, mask, finding) if explain else ()
        seconds["maps"] = time.perf_counter() - start - sum(seconds.values())
        found = _warnings(lungs.mask, view, stages)
        if self.settings.classes == "binary" and finding == "covid19":
            found.append(NO_OTHER_PNEUMONIA)
        contradiction = disagreement(finding, stages)
        found += contradiction
        warnings = tuple(dict.fromkeys((*verdict.sentences, *radiograph.warnings, *found)))
        limited = bool(radiograph.warnings or verdict.concerns or contradiction)
        limited = limited or any(text in LIMITING for text in warnings)
        seconds["total"] = time.perf_counter() - start
        return Screening(
            stages=stages,
            finding=finding,
            triage_score=triage_score(stages[0], stages[-1]),
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=maps,
            quality="limited" if limited else "good",
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=seconds,
            verdict=verdict,
            classes={} if self.settings.classes == "binary" else dict(zip(self.classes, shares.tolist(), strict=True)),
        )

    def features(self, radiograph: Radiograph) -> dict[str, NDArray[np.float32]]:
        """What the last layer sees; see :meth:`cxrscreen.systems.contract.System.features`."""
        view = self.view(radiograph, find_lungs(self._lungs, radiograph.pixels))
        pooled = self._classifier(view_input(view, self.settings)[None])["pooled"][0]
        return dict.fromkeys(STAGES[self.settings.classes], pooled)

    def view(self, radiograph: Radiograph, lungs: Lungs | None = None) -> View:
        """The region of interest of a radiograph."""
        lungs = lungs or find_lungs(self._lungs, radiograph.pixels)
        return region_of_interest(radiograph.pixels, lungs.mask, self.settings, self.side)

    @property
    def side(self) -> int:
        """Side of the classifier's input, pixels."""
        return self._classifier.image_shape[1]

    @property
    def work(self) -> float:
        """Multiply-adds of the classifier for one image, in units of 10^9, about; of an unknown network the most."""
        network = self.card.recipe.get("classifier", {}).get("network")
        return WORK.get(network, max(WORK.values())) * (self.side / WORK_SIDE) ** 2

    @property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """The classifier's tensors by state_dict name."""
        return self._classifier.weights

    @property
    def tells_findings(self) -> bool:
        """Whether :meth:`finding_probabilities` can be asked."""
        return self._findings is not None

    @property
    def chart_source(self) -> str:
        """By what the findings are told, in words."""
        if isinstance(self._findings, Weights):
            return "a linear layer on the classifier's features"
        return "the network that was pre-trained on findings"

    @property
    def chart_caution(self) -> str:
        """What the card says of how the findings were learned, for their chart; empty where here and apart."""
        for said in (NOT_APART, PUBLISHED):
            if said in self.card.limits:
                return said
        return "" if any(text.startswith(APART) for text in self.card.limits) else NOT_STATED

    def outputs_for(self, image: NDArray[np.float32]) -> Outputs:
        """What the classifier gives for one region, float32 (C, S, S), by output name."""
        return self._classifier(image[None])

    def shares_of(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the classes for regions float32 (N, C, S, S), float32 (N, K): for explanations.

        Of two classes the second column is the probability of COVID-19.
        """
        return class_shares(self._classifier(images)["logits"])

    def finding_probabilities(self, radiograph: Radiograph) -> dict[str, float]:
        """Probability of each of the 14 findings by the pre-trained network, or by the layer in its place (Fig. 17).

        Raises
        ------
        BundleError
            If the bundle does not hold that network.
        """
        if self._findings is None:
            raise BundleError(
                f"{self.bundle_id} has no {FINDINGS_FILE}: train it with pretraining.exported in the recipe."
            )
        if isinstance(self._findings, Weights):
            image = view_input(self.view(radiograph), self.settings)
            pooled = self._classifier(image[None])["features"][0].mean(axis=(1, 2))
            logits = self._findings["weight"] @ pooled + self._findings["bias"]
        elif self._published:
            logits = self._findings(self._whole(radiograph)[None])["logits"][0]
        else:
            logits = self._findings(view_input(self.view(radiograph), self.settings)[None])["logits"][0]
        return dict(zip(FINDINGS, _sigmoid(logits).tolist(), strict=True))

    def pneumonia_map(self, radiograph: Radiograph, view: View) -> NDArray[np.float32] | None:
        """Grad-CAM of pneumonia by the network of the findings, in the frame of a region; None without that network.

        What the pre-trained network saw, beside the classifier (paper, Fig. 19); float32 of any size, not negative,
        not normalised.
        """
        if self._findings is None or isinstance(self._findings, Weights):
            return None
        image = self._whole(radiograph) if self._published else view_input(view, self.settings)
        heat = class_grad_cam(self._findings(image[None]), self._findings.weights, FINDINGS.index(PNEUMONIA))
        return in_region(upsample(heat, view.grey.shape), view.box) if self._published else heat

    @property
    def _published(self) -> bool:
        return PUBLISHED in self.card.limits

    def _whole(self, radiograph: Radiograph) -> NDArray[np.float32]:
        """The whole radiograph in three equal channels, which published checkpoints learned from."""
        plain = replace(self.settings, roi="none", channels="original", reference=None)
        view = region_of_interest(radiograph.pixels, np.zeros((1, 1), np.uint8), plain, self.side)
        return np.repeat(view_input(view, plain), 3, axis=0)

    def _stages(self, shares: NDArray[np.float32] | None) -> tuple[Stage, ...]:
        stages = []
        for name, title in STAGES[self.settings.classes].items():
            card = self.card.stages[name]
            probability = None
            if shares is not None:
                probability = float(_sigmoid(decision_logit(name, shares) / np.float64(card.temperature)))
            stages.append(Stage(name, title, probability, card.point().threshold, card.default))
        return tuple(stages)

    def _finding(self, shares: NDArray[np.float32], stages: tuple[Stage, ...]) -> Finding:
        if self.settings.classes == "binary":
            return "covid19" if stages[0].positive else "normal"
        return self.classes[int(shares.argmax())]

    def _maps(self, outputs: Outputs, view: View, mask: NDArray[np.uint8], finding: Finding) -> tuple[SaliencyMap, ...]:
        """Grad-CAM of every class, that of the finding first."""
        size, shape = (view.grey.shape[0], view.grey.shape[1]), (mask.shape[0], mask.shape[1])
        maps = []
        for name in (finding, *(name for name in reversed(self.classes) if name != finding)):
            heat = upsample(class_grad_cam(outputs, self._classifier.weights, self.classes.index(name)), size)
            if self.settings.pooling == "lungs":
                heat = heat * view.kept
            placed = np.clip(place_in_radiograph(normalise(heat), view.box, shape), 0.0, 1.0)
            title = f"Grad-CAM: what spoke for {WORDS[name]}"
            maps.append(SaliencyMap(name.replace("_", "-"), title, placed, lung_share(placed, mask)))
        return tuple(maps)


def load(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> CovidCxNet:
    """Load the networks of a bundle.

    Raises
    ------
    BundleError
        If the card's preprocessing or decisions are not this system's, or a network cannot be loaded.
    """
    settings = preprocessing_of(bundle, Preprocessing)
    lacking = [name for name in STAGES[settings.classes] if name not in bundle.card.stages]
    if lacking:
        raise BundleError(
            f"The card of {bundle.card.bundle_id} lacks the decision {lacking[0]}: restore it or train it again."
        )

    def compiled(name: str) -> Engine:
        return engine_for(bundle.file(name), engine)

    with ThreadPoolExecutor(2, thread_name_prefix="compile") as pool:
        lungs, classifier = pool.map(compiled, ("lungs.onnx", "classifier.onnx"))
    findings: Engine | Weights | None = None
    if FINDINGS_FILE in bundle.card.files:
        findings = compiled(FINDINGS_FILE)
    elif HEAD_FILE in bundle.card.files:
        findings = Weights(bundle.file(HEAD_FILE))
    return CovidCxNet(bundle.card, settings, lungs, classifier, findings)


def class_shares(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the classes, float32 (N, K), of logits (N, 1) (sigmoid, K = 2) or (N, K) (softmax)."""
    if logits.shape[1] == 1:
        second = _sigmoid(logits[:, 0])
        return np.stack([1 - second, second], axis=1).astype(np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def disagreement(finding: Finding, stages: tuple[Stage, ...]) -> list[str]:
    """A sentence where the most probable of three classes is not the one that the decisions lead to, else nothing.

    Temperature and operating point move a decision away from the point at which two classes are as likely.
    """
    if len(stages) < 2:
        return []
    pneumonia, covid19 = stages
    decided: Finding = ("covid19" if covid19.positive else "other_pneumonia") if pneumonia.positive else "normal"
    if decided == finding:
        return []
    return [
        f"The most probable class is {WORDS[finding]}, but the decisions at their operating points say {WORDS[decided]}"
        ": the finding is in doubt."
    ]


def decision_logit(stage: str, shares: NDArray[np.float32]) -> float:
    """Log odds of a decision given the probabilities of the classes (K,)."""
    inside = np.clip(shares.astype(np.float64), 1e-7, 1.0)
    if stage == "pneumonia":
        return float(np.log(inside[1:].sum()) - np.log(inside[0]))
    if stage in {"covid19", BINARY_STAGE}:
        return float(np.log(inside[-1]) - np.log(inside[-2]))
    raise ValueError(f"this system makes no decision {stage}")


def _warnings(lungs: NDArray[np.uint8], view: View, stages: tuple[Stage, ...]) -> list[str]:
    smaller, larger = sorted(int((lungs == lung).sum()) for lung in (1, 2))
    found = []
    if not view.trusted or larger == 0:
        found.append(NO_LUNGS)
    elif smaller == 0:
        found.append(ONE_LUNG)
    elif smaller < LOPSIDED * larger:
        found.append(LOPSIDED_LUNGS)
    near = [
        f"The probability of the decision “{stage.title}” lies near its threshold: it could easily be the other one."
        for stage in stages
        if stage.probability is not None and abs(stage.probability - stage.threshold) < NEAR_THRESHOLD
    ]
    return found + near


def _sigmoid(logits: NDArray[np.float32] | float) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), dtype=np.float64)
