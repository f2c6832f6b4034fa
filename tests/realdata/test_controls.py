"""Trained controls on real radiographs: lungs are found in nearly all of them, and a probe can be trained on them."""

import numpy as np
import pytest

from cxrscreen.evaluate.audit.controls.bench import Bench
from cxrscreen.evaluate.audit.controls.views import BLACK, LUNGS, MASK, view_of
from cxrscreen.evaluate.audit.run import audit_data
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system
from cxrscreen.train.probe import ProbeRecipe, train_probe

pytestmark = pytest.mark.realdata


def train_briefly(images, classes, validation_images, validation_classes, *, seed):
    recipe = ProbeRecipe(steps=4, batch=8, checks=1)
    return train_probe(images, classes, validation_images, validation_classes, seed=seed, recipe=recipe)


def test_small_images_of_the_pack_can_be_trained_on(pack):
    bundle = open_bundle("cascade")
    system = load_system("cascade")
    data = audit_data(system, bundle, pack, read, ("stage2",), seed=0, replicates=100, limit=14)
    bench = Bench(data, train_briefly)
    own = bench.sets["stage2"]
    assert len(own.table) >= 38
    assert 0.1 < own.lungs.mean() < 0.5
    lungs, black, mask = (view_of(own, name).mean() for name in (LUNGS, BLACK, MASK))
    # Lungs are the dark part of a chest.
    assert lungs < black
    assert mask / 255 == pytest.approx(own.lungs.mean())
    scores = bench.whole("stage2")
    assert np.isnan(scores[own.part("train")]).all()
    assert ((scores[own.part("test")] > 0) & (scores[own.part("test")] < 1)).all()
