"""The bundle that ships, on the synthetic examples: it must find lungs there and explain itself."""

from pathlib import Path

import numpy as np
import pytest

from cxrscreen.data.phantoms import make_phantom, write_png
from cxrscreen.imaging.find import find_images
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cascade():
    return load_system("cascade")


def test_it_is_small_and_measured():
    bundle = open_bundle("cascade")
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 60e6
    assert {"lungs", "lungs-jsrt", "stage2", "stage3", "audit"} == set(bundle.card.results)
    assert {"black_lungs", "leakage", "saliency"} <= set(bundle.card.results["audit"])
    assert "validation part" in bundle.card.stages["covid19"].point().site


def test_every_example_is_screened_with_two_lungs(cascade):
    files = [path for path in find_images([ROOT / "examples"]) if path.suffix in {".png", ".dcm"}]
    assert len(files) == 6
    for file in files:
        screening = cascade.screen(read(file), force=True)
        assert {1, 2} <= set(np.unique(screening.lung_mask))
        assert screening.quality == "good" or screening.warnings
        assert len(screening.saliency) == 3


def test_phantom_lungs_are_found_where_they_are(cascade, tmp_path):
    dice = []
    for seed in range(4):
        phantom = make_phantom(seed, "normal", shape=(384, 384))
        write_png(phantom, tmp_path / f"{seed}.png")
        found = cascade.screen(read(tmp_path / f"{seed}.png"), explain=False).lung_mask > 0
        truth = phantom.lungs > 0
        dice.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert np.mean(dice) > 0.9


@pytest.mark.parametrize(("name", "maps"), [("covid_cxnet", 3), ("comit_net", 2)])
def test_the_small_bundles_find_lungs_and_show_where_they_looked(name, maps):
    bundle = open_bundle(name)
    assert sum(file.stat().st_size for file in bundle.folder.iterdir()) < 20e6
    assert bundle.card.results
    system = load_system(name)
    for file in ("normal.png", "covid19-portable.dcm"):
        screening = system.screen(read(ROOT / "examples" / file), force=True)
        assert {1, 2} <= set(np.unique(screening.lung_mask))
        # COMiT-Net shows its region where no disease is called as well, since healthy lungs have taught it.
        assert len(screening.saliency) == maps
        assert all(stage.probability is not None for stage in screening.stages)
