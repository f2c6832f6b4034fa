"""Small constructed images whose labels, sources and borders are known, and a trainer that takes no time."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrscreen.evaluate.audit.controls.bench import Bench, LabelledImages
from cxrscreen.systems.decisions import decision_for

SIDE = 32
PARTS = ("train", "train", "validation", "test", "test")


@pytest.fixture
def make_bench():
    return bench_of


def train_linear(images, classes, validation_images, validation_classes, *, seed):
    """A linear reader of coarse pixels in place of the network: the same contract, in a few milliseconds."""
    assert len(validation_images) == len(validation_classes) > 0
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300, class_weight="balanced"))
    model.fit(coarse(images), classes)
    return lambda pictures: model.predict_proba(coarse(pictures)).astype(np.float32)


def coarse(images):
    return images.reshape(len(images), 16, 2, 16, 2).mean(axis=(2, 4)).reshape(len(images), -1)


def bench_of(sources, *, lung_signal=0, border_signal=0, flipped=(), children=(), protocol="stage2", seed=0):
    """A bench with images in memory.

    ``sources`` maps a source to its (negatives, positives). Positives are brighter by ``lung_signal`` inside the lungs
    (darker in the ``flipped`` sources) and by ``border_signal`` in a stripe at the lower edge.
    """
    rng = np.random.default_rng(seed)
    rows, pixels = [], []
    lungs = np.zeros((SIDE, SIDE), np.bool_)
    lungs[8:24, 6:14], lungs[8:24, 18:26] = True, True
    for source, counts in sources.items():
        for truth, count in enumerate(counts):
            for i in range(count):
                image = rng.normal(110, 25, (SIDE, SIDE))
                image[lungs] += truth * lung_signal * (-1 if source in flipped else 1)
                image[-3:] += truth * border_signal
                pixels.append(np.clip(image, 0, 255).astype(np.uint8))
                rows.append(
                    {
                        "image_id": f"{source}/{truth}-{i}",
                        "source": source,
                        "group": f"{source}/{truth}-{i // 2}",
                        "label": ("normal", "pneumonia")[truth],
                        "pediatric": "true" if source in children else "false",
                        "truth": truth,
                        "part": PARTS[(i // 2) % len(PARTS)],
                    }
                )
    table = pd.DataFrame(rows)
    data = SimpleNamespace(
        splits={protocol: None},
        seed=seed,
        replicates=200,
        advance=lambda text: None,
        cache=None,
        decision=partial(decision_for, "cascade"),
    )
    bench = Bench(data, train_linear)
    # In place of the images of a manifest.
    bench.__dict__["sets"] = {
        protocol: LabelledImages(table, np.stack(pixels), np.repeat(lungs[None], len(rows), axis=0))
    }
    return bench
