"""Screen one radiograph: lungs by the shipped cascade's network, then how bright they are; arrays alone, no torch."""

import time
from dataclasses import dataclass

import numpy as np

from cxrscreen.runtime.engine import DEFAULT_ENGINE, Engine, EngineSettings, engine_for
from cxrscreen.systems.bundle import Bundle, Card, open_bundle
from cxrscreen.systems.cascade.lungs import at_size
from cxrscreen.systems.cascade.pipeline import find_lungs
from cxrscreen.systems.contract import Screening, Stage
from cxrscreen.systems.gate import judge, refusal


def haze(pixels, lungs):
    """Mean grey value of the lungs less that of the whole radiograph, in [-1, 1]; bright is dense."""
    return float(pixels[lungs > 0].mean() - pixels.mean()) if (lungs > 0).any() else 0.0


@dataclass(frozen=True)
class LungHaze:
    """The loaded system; see :class:`cxrscreen.systems.contract.System`."""

    bundle_id: str
    card: Card
    lungs: Engine

    def screen(self, radiograph, *, force=False, explain=True, policy="standard"):
        begun, point = time.perf_counter(), self.card.stages["pneumonia"]
        found, mask, value = self.look(radiograph)
        verdict = judge(radiograph, found.probability, found.mask, policy=policy, force=force)
        line = self.card.preprocessing
        odds = (line["slope"] * value + line["intercept"]) / point.temperature
        probability = None if verdict.refused else float(1 / (1 + np.exp(-odds)))
        stage = Stage("pneumonia", "Pneumonia, by haze", probability, point.point().threshold, point.default)
        seconds = {"total": time.perf_counter() - begun}
        if verdict.refused:
            return refusal(verdict, (stage,), mask, self.bundle_id, seconds)
        warnings = tuple(dict.fromkeys((*verdict.sentences, *radiograph.warnings)))
        return Screening(
            stages=(stage,),
            finding="other_pneumonia" if stage.positive else "normal",
            triage_score=probability,
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=(),
            quality="limited" if warnings else "good",
            warnings=warnings,
            bundle=self.bundle_id,
            seconds=seconds,
            verdict=verdict,
        )

    def features(self, radiograph):
        return {"pneumonia": np.array([self.look(radiograph)[2]], np.float32)}

    def look(self, radiograph):
        """What the lung network found, the lung mask at the radiograph's size, and its haze."""
        found = find_lungs(self.lungs, radiograph.pixels)
        mask = at_size(found.mask, found.probability, radiograph.shape)
        return found, mask, haze(radiograph.pixels, mask)


def load(bundle: Bundle, engine: EngineSettings = DEFAULT_ENGINE) -> LungHaze:
    """Load the system of a bundle."""
    lungs = engine_for(open_bundle("cascade").file("lungs.onnx"), engine)
    return LungHaze(bundle.card.bundle_id, bundle.card, lungs)
