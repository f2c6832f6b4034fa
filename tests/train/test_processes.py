"""Two processes that train as one, for real: they are started, exchange gradients, are stopped, and go on."""

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.train import together
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.loop import fit, listening
from cxrscreen.train.recipe import AugmentSettings, Compute, Phase
from cxrscreen.train.segmenter import MaskImages, MaskTask

PHASE = Phase(epochs=3, batch=4, batches=3, learning_rate=3e-2, ema=0.5)
ONE = Compute(precision="32-true", accelerator="cpu", threads=1)
TWO = ONE.model_copy(update={"devices": 2})


def run(folder, compute, phase=PHASE):
    # Discs and no normalisation: the mean of two half batches' gradients is the whole batch's, but for rounding.
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    sizes = torch.arange(1, 12)[:, None, None]
    targets = ((rows - 8) ** 2 + (columns - 8) ** 2 < 4 * sizes).to(torch.uint8).numpy()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    # Begins by finding lungs everywhere, so that there is a score to lose.
    nn.init.ones_(network[2].bias)
    sampler = EvenBatches(["a"] * 4 + ["b"] * 7, ["s"] * 11, weights={}, batch=phase.batch, batches=3, seed=0)
    images = MaskImages(targets * 120 + 60, targets, 16, AugmentSettings())
    # Three validation batches of 4, 4 and 3: more for the first process than for the second.
    seen = DataLoader(MaskImages(targets * 100 + 50, targets, 16, None), batch_size=4)
    return fit(MaskTask(network, phase, 9, 0), DataLoader(images, batch_sampler=sampler), seen, phase, compute, folder)


def scores(folder):
    files = sorted(folder.glob("metrics*.csv"), reverse=True)
    return pd.concat(map(pd.read_csv, files)).groupby("epoch")["validation_score"].last().tolist()


@pytest.mark.services
def test_two_processes_stopped_and_resumed_learn_what_one_learns(tmp_path):
    alone = run(tmp_path / "one", ONE)

    def pull_the_plug(folder, epoch, logged):
        if epoch == 1:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled the plug"), listening(pull_the_plug):
        run(tmp_path / "two", TWO)
    told = {}
    with listening(lambda folder, epoch, logged: told.update({epoch: (folder.name, logged["validation_score"])})):
        both = run(tmp_path / "two", TWO)
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, atol=1e-5, rtol=1e-4)
    assert min(scores(tmp_path / "one")) > 0.1
    assert scores(tmp_path / "two") == pytest.approx(scores(tmp_path / "one"), abs=1e-5)
    # Epoch 1 had not been kept when it was stopped: it comes again, and the first process alone tells of it.
    assert told == {epoch: ("two", pytest.approx(scores(tmp_path / "one")[epoch], abs=1e-5)) for epoch in (1, 2)}
    files = {path.name for path in (tmp_path / "two").iterdir()}
    assert files == {"best.ckpt", "last.ckpt", "finished", "metrics.csv", "metrics-1.csv"}


def test_a_process_that_ends_is_told_of_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "FOLLOW", (*together.FOLLOW[:1], "-c", "raise SystemExit('no room for me')"))
    with pytest.raises(CxrscreenError, match=r"Process 1 of 2 of the training ended \(no room for me\)"):
        run(tmp_path, TWO)


def test_what_cannot_be_shared_out_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "FOLLOW", ("no such program",))
    with pytest.raises(RecipeError, match="batch of 5 images cannot be shared out evenly over 2"):
        run(tmp_path, TWO, Phase(epochs=1, batch=5))
    with pytest.raises(RecipeError, match="do not fit this machine"):
        run(tmp_path, TWO.model_copy(update={"accelerator": "abacus"}))
    with pytest.raises(RecipeError, match="2 nodes, which this command cannot start"):
        run(tmp_path, TWO.model_copy(update={"nodes": 2}))
