"""A system that answers at once, and a reader of made-up files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.systems.contract import Concern, Policy, SaliencyMap, Screening, Stage, Verdict


@dataclass
class PromptSystem:
    """Answers from the file name alone: ``n...`` is normal, ``crash...`` raises, ``lateral...`` is refused."""

    bundle_id: str = "cascade@test"
    calls: list[tuple[str, bool, bool]] = field(default_factory=list)

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        name = radiograph.provenance.path.name
        self.calls.append((name, force, explain))
        if name.startswith("crash"):
            raise ValueError("PATIENT^NAME inside")
        mask = np.zeros(radiograph.shape, np.uint8)
        mask[10:50, 5:25], mask[10:50, 35:55] = 1, 2
        verdict = Verdict(policy)
        if name.startswith("lateral"):
            severity = "warn" if policy == "off" else "refuse"
            verdict = Verdict(policy, (Concern("lateral", "This is a lateral view.", severity),), overridden=force)
        if verdict.refused:
            stages = (Stage("pneumonia", "Pneumonia", None, 0.5, "youden"),)
            return Screening(
                stages, None, None, mask, 0.3, (), "limited", verdict.sentences, self.bundle_id, {}, verdict
            )
        normal = name.startswith("n")
        pneumonia, covid = (0.2, None) if normal and not force else (0.9, 0.7)
        heat = np.full(radiograph.shape, 0.5, np.float32)
        return Screening(
            (
                Stage("pneumonia", "Pneumonia against normal", pneumonia, 0.5, "youden"),
                Stage("covid19", "COVID-19 against other pneumonia", covid, 0.5, "youden"),
            ),
            "normal" if normal else "covid19",
            pneumonia,
            mask,
            0.3,
            (SaliencyMap("h2", "H2", heat, 0.4),) if explain else (),
            "good",
            verdict.sentences,
            self.bundle_id,
            {"total": 0.01},
            verdict,
        )


@pytest.fixture
def system() -> PromptSystem:
    return PromptSystem()


@pytest.fixture
def read() -> Callable[[Path], Radiograph]:
    def made_up(path: Path) -> Radiograph:
        if path.name.startswith("bad"):
            raise UnreadableImageError(f"{path} is truncated; export it again.")
        if path.name.startswith("huge"):
            raise MemoryError
        return Radiograph(np.full((64, 60), 0.5, np.float32), Provenance(path, "PNG"))

    return made_up
