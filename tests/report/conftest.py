"""Constructed radiographs and screenings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import Concern, SaliencyMap, Screening, Stage, Verdict


@pytest.fixture
def radiograph() -> Radiograph:
    rows = np.linspace(0, 1, 300, dtype=np.float32)[:, None]
    return Radiograph(
        np.repeat(rows, 260, axis=1), Provenance(Path("in/a.png"), "PNG"), warnings=("Polarity was corrected.",)
    )


@pytest.fixture
def make_screening() -> Callable[..., Screening]:
    def make(
        shape: tuple[int, int] = (300, 260),
        *,
        covid: float | None = 0.8,
        maps: tuple[str, ...] = ("h2", "h3", "guided"),
    ) -> Screening:
        mask = np.zeros(shape, np.uint8)
        mask[60:240, 30:110], mask[60:240, 150:230] = 1, 2
        values = np.zeros(shape, np.float32)
        values[100:140, 40:80] = 1.0
        pneumonia = 0.9 if covid is not None else 0.1
        return Screening(
            stages=(
                Stage("pneumonia", "Pneumonia (any type) against normal", pneumonia, 0.4, "youden"),
                Stage("covid19", "COVID-19 against other pneumonia", covid, 0.5, "youden"),
            ),
            finding="normal" if covid is None else "covid19" if covid >= 0.5 else "other_pneumonia",
            triage_score=pneumonia,
            lung_mask=mask,
            lung_area_fraction=float((mask > 0).mean()),
            saliency=tuple(SaliencyMap(name, f"Map {name}", values, 1.0) for name in maps),
            quality="limited",
            warnings=("The lungs are small.", "Polarity was corrected."),
            bundle="cascade@1.0",
            seconds={"lungs": 0.1, "total": 0.3},
        )

    return make


@pytest.fixture
def refused_screening() -> Screening:
    concerns = (
        Concern("lateral", "This is a lateral view.", "refuse"),
        Concern("too_small", "The image is very small.", "warn"),
    )
    verdict = Verdict("standard", concerns)
    stages = (Stage("pneumonia", "Pneumonia", None, 0.4, "youden"), Stage("covid19", "COVID-19", None, 0.5, "youden"))
    mask = np.zeros((300, 260), np.uint8)
    mask[60:240, 30:110] = 1
    return Screening(
        stages, None, None, mask, 0.2, (), "limited", verdict.sentences, "cascade@1.0", {"total": 0.1}, verdict
    )


@pytest.fixture
def partly(make_screening: Callable[..., Screening]) -> Screening:
    """A screening whose system looked at the upper half alone, and says how often."""
    screening = make_screening()
    looked_at = np.zeros(screening.lung_mask.shape, np.bool_)
    looked_at[:150] = True
    coverage = np.where(looked_at, np.float32(0.8), np.float32(0))
    maps = [replace(saliency, looked_at=looked_at) for saliency in screening.saliency[:1]]
    seen = SaliencyMap("looked-at", "How often it looked", coverage, 0.3, "coverage", looked_at)
    return replace(screening, saliency=(*maps, seen))
