"""Screen one radiograph with the cascade: arrays and engines, no torch."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from cxrscreen.explain.cam import cam, cam_literal
from cxrscreen.explain.grad_cam import grad_cam_of_linear_head, guided_grad_cam
from cxrscreen.explain.heat_map import heat_map, normalise, upsample
from cxrscreen.explain.lung_share import lung_share
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, engine_for
from cxrscreen.systems.bundle import Bundle, Card, preprocessing_of
from cxrscreen.systems.cascade.lungs import at_size, segmenter_input, two_lungs
from cxrscreen.systems.cascade.roi import Roi, RoiSettings, cut_lungs, network_input, place_in_radiograph
from cxrscreen.systems.cautions import LIMITING, NEAR_THRESHOLD, lung_cautions
from cxrscreen.systems.contract import Finding, Policy, Quality, SaliencyMap, Screening, Stage
from cxrscreen.systems.gate import judge, refusal
from cxrscreen.systems.mirrored import mirrored_outputs
from cxrscreen.systems.reading_order import triage_score

H2Reading = Literal["cam", "literal"]
Pooling = Literal["image", "lungs"]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Preprocessing:
    """The card's ``preprocessing``: what training and screening share beside the networks' own input sizes.

    With ``pooling`` over the lungs nothing outside them counts, so the maps are cut to them. Where ``mirrored``, stage
    3 sees the radiograph and its mirror image, see :mod:`cxrscreen.systems.mirrored`.
    """

    h2: H2Reading
    working_side: int = Field(ge=64)
    margin: float = Field(ge=0, lt=1)
    dilation: float = Field(ge=0, lt=1)
    pooling: Pooling = "image"
    mirrored: bool = False

    def roi(self, side: int) -> RoiSettings:
        """Say how to cut out the lungs for classifiers with this input side."""
        return RoiSettings(side, self.working_side, self.margin, self.dilation)


@dataclass(frozen=True, eq=False)
class Lungs:
    """Stage 1's answer at the network's size.

    Parameters
    ----------
    probability
        float32 (S, S) in [0, 1].
    mask
        uint8 (S, S): 0 background, 1 right lung (viewer's left), 2 left lung.
    """

    probability: NDArray[np.float32]
    mask: NDArray[np.uint8]


def find_lungs(segmenter: Engine, pixels: NDArray[np.float32]) -> Lungs:
    """Stage 1: the lung mask of a radiograph, from its pixels, float32 (H, W) in [0, 1]."""
    view = segmenter_input(pixels, segmenter.image_shape[1])
    probability = _sigmoid(segmenter(view[None, None])["logits"][0, 0])
    return Lungs(probability, two_lungs(probability))


def pneumonia_map(
    outputs: Mapping[str, NDArray[np.float32]], class_weights: NDArray[np.float32], reading: H2Reading
) -> NDArray[np.float32]:
    """H2, the heat map of stage 2, in one of the two readings of Eq. 1.

    Parameters
    ----------
    outputs
        Of the stage 2 engine, for one image.
    class_weights
        float32 (1, K), the weights of its linear layer.
    reading
        ``cam``: class-weighted CAM (reference [4] of the paper), (S/32, S/32). ``literal``: the pooled feature laid
        out as a rectangle, 32 x 32 for 1024 features.

    Returns
    -------
    ndarray
        float32 (h, w) in [0, 1], over the cut-out lungs.
    """
    raw = cam_literal(outputs["pooled"][0]) if reading == "literal" else cam(outputs["features"][0], class_weights[0])
    return normalise(raw, "min_max")


def weighted_input(roi: Roi, h2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eq. 3: the masked region multiplied by H2, enlarged to its size; float32 (S, S) in [0, 1]."""
    return roi.masked * upsample(h2, (roi.pixels.shape[0], roi.pixels.shape[1]))


class Cascade:
    """The loaded cascade; see :class:`cxrscreen.systems.contract.System`.

    Parameters
    ----------
    card, settings
        The bundle's card and the preprocessing in it.
    lungs, pneumonia
        Engines of stages 1 and 2.
    covid19
        Gives the engine of stage 3, without or with its guided gradient; may take a second when first asked.
    """

    def __init__(
        self,
        card: Card,
        settings: Preprocessing,
        lungs: Engine,
        pneumonia: Engine,
        covid19: Callable[[bool], Engine],
    ) -> None:
        self.card, self.settings = card, settings
        self._lungs, self._pneumonia, self._covid19 = lungs, pneumonia, covid19
        self._pneumonia_weights = pneumonia.weights["classifier.weight"]

    @property
    def bundle_id(self) -> str:
        """``name@version``."""
        return self.card.bundle_id

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        """Screen one radiograph; see :meth:`cxrscreen.systems.contract.System.screen`."""
        clock = _Clock()
        shape = radiograph.shape
        lungs = find_lungs(self._lungs, radiograph.pixels)
        mask = at_size(lungs.mask, lungs.probability, shape)
        clock.lap("lungs")
        verdict = judge(radiograph, lungs.probability, lungs.mask, policy=policy, force=force)
        clock.lap("gate")
        covid19 = Stage("covid19", COVID19_TITLE, None, *self._point("covid19"))
        if verdict.refused:
            stages = (Stage("pneumonia", PNEUMONIA_TITLE, None, *self._point("pneumonia")), covid19)
            return refusal(verdict, stages, mask, self.bundle_id, clock.laps())
        roi = cut_lungs(radiograph.pixels, lungs.mask, self.settings.roi(self._pneumonia.image_shape[1]))
        stage2 = self._pneumonia(network_input(roi.masked)[None, None])
        pneumonia = self._stage("pneumonia", PNEUMONIA_TITLE, stage2)
        h2 = pneumonia_map(stage2, self._pneumonia_weights, self.settings.h2)
        clock.lap("pneumonia")
        maps = [self._saliency("h2", "H2: where stage 2 saw pneumonia", h2, roi, mask)] if explain else []
        if force or pneumonia.positive:
            engine = self._covid19(explain)
            stage3 = self._see(engine, network_input(weighted_input(roi, h2))[None, None])
            covid19 = self._stage("covid19", COVID19_TITLE, stage3)
            if explain:
                h3 = grad_cam_of_linear_head(stage3["features"][0], engine.weights["classifier.weight"][0])
                size = (roi.pixels.shape[0], roi.pixels.shape[1])
                detail = normalise(guided_grad_cam(stage3["guided"][0, 0], upsample(h3, size)), "magnitude")
                title = "H3: what spoke for COVID-19 in stage 3 (Grad-CAM)"
                maps.append(self._saliency("h3", title, heat_map(h3, size), roi, mask))
                title = "Guided Grad-CAM: the details that spoke for COVID-19"
                maps.append(self._saliency("guided", title, detail, roi, mask))
            clock.lap("covid19")
        found = _warnings(lungs.mask, roi, (pneumonia, covid19))
        warnings = tuple(dict.fromkeys((*verdict.sentences, *radiograph.warnings, *found)))
        limited = bool(radiograph.warnings or verdict.concerns) or any(text in LIMITING for text in warnings)
        return Screening(
            stages=(pneumonia, covid19),
            finding=finding_of(pneumonia, covid19),
            triage_score=triage_score(pneumonia, covid19),
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=tuple(maps),
            quality=_quality(limited=limited),
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=clock.laps(),
            verdict=verdict,
        )

    def features(self, radiograph: Radiograph) -> dict[str, NDArray[np.float32]]:
        """Pooled features of both decisions; see :meth:`cxrscreen.systems.contract.System.features`."""
        lungs = find_lungs(self._lungs, radiograph.pixels)
        roi = cut_lungs(radiograph.pixels, lungs.mask, self.settings.roi(self._pneumonia.image_shape[1]))
        stage2 = self._pneumonia(network_input(roi.masked)[None, None])
        h2 = pneumonia_map(stage2, self._pneumonia_weights, self.settings.h2)
        stage3 = self._see(self._covid19(False), network_input(weighted_input(roi, h2))[None, None])
        return {"pneumonia": stage2["pooled"][0], "covid19": stage3["pooled"][0]}

    def _see(self, covid19: Engine, image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return mirrored_outputs(covid19, image) if self.settings.mirrored else covid19(image)

    def _stage(self, name: str, title: str, outputs: Mapping[str, NDArray[np.float32]]) -> Stage:
        probability = float(_sigmoid(outputs["logits"][0, 0] / np.float32(self.card.stages[name].temperature)))
        return Stage(name, title, probability, *self._point(name))

    def _saliency(
        self, name: str, title: str, values: NDArray[np.float32], roi: Roi, mask: NDArray[np.uint8]
    ) -> SaliencyMap:
        if self.settings.pooling == "lungs":
            values = upsample(values, (roi.mask.shape[0], roi.mask.shape[1])) * roi.mask
        placed = np.clip(place_in_radiograph(values, roi.box, (mask.shape[0], mask.shape[1])), 0.0, 1.0)
        return SaliencyMap(name, title, placed, lung_share(placed, mask))

    def _point(self, name: str) -> tuple[float, str]:
        stage = self.card.stages[name]
        return stage.point().threshold, stage.default


PNEUMONIA_TITLE = "Pneumonia of any type, against normal"
COVID19_TITLE = "COVID-19, against other pneumonia"


def load(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> Cascade:
    """Load the cascade of a bundle; stage 3 compiles in the background while the first image is read and segmented.

    Raises
    ------
    BundleError
        If the card's preprocessing is not this system's, or a network cannot be loaded.
    """
    settings = preprocessing_of(bundle, Preprocessing)

    # The classifiers stay exact: they take less of the time, and bf16 would move decisions near a threshold.
    exact = replace(engine, precision="f32")

    def compiled(name: str) -> Engine:
        batch = 2 if settings.mirrored and name.startswith("covid19") else 1
        return engine_for(bundle.file(f"{name}.onnx"), engine if name == "lungs" else exact, batch=batch)

    with ThreadPoolExecutor(2, thread_name_prefix="compile") as pool:
        lungs, pneumonia = pool.map(compiled, ("lungs", "pneumonia"))
    background = ThreadPoolExecutor(1, thread_name_prefix="compile")
    explained = background.submit(compiled, "covid19-guided")
    background.shutdown(wait=False)
    plain = cache(lambda: compiled("covid19"))
    return Cascade(bundle.card, settings, lungs, pneumonia, lambda explain: explained.result() if explain else plain())


def finding_of(pneumonia: Stage, covid19: Stage) -> Finding:
    """The cascade's answer: stage 3 speaks only where stage 2 found pneumonia."""
    if not pneumonia.positive:
        return "normal"
    return "covid19" if covid19.positive else "other_pneumonia"


def _warnings(mask: NDArray[np.uint8], roi: Roi, stages: tuple[Stage, ...]) -> list[str]:
    near = [
        f"The probability of {NAMES[stage.name]} lies near its threshold: the decision could easily be the other one."
        for stage in stages
        if stage.probability is not None and abs(stage.probability - stage.threshold) < NEAR_THRESHOLD
    ]
    return lung_cautions(mask, trusted=roi.trusted) + near


NAMES = {"pneumonia": "pneumonia", "covid19": "COVID-19"}


def _quality(*, limited: bool) -> Quality:
    return "limited" if limited else "good"


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), dtype=np.float32)


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name], self._last = now - self._last, now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": time.perf_counter() - self._start}
