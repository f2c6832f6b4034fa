import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, TensorDataset

import cxrscreen
from cxrscreen.train.batches import EvenBatches, patients_of
from cxrscreen.train.recipe import Phase

GROUPS = ["normal"] * 80 + ["covid19"] * 10 + ["other pneumonia"] * 30
SOURCES = ["a"] * 60 + ["b"] * 20 + ["c"] * 10 + ["a"] * 15 + ["b"] * 15


def batches(seed=0, epoch=0, weights=None):
    sampler = EvenBatches(GROUPS, SOURCES, weights=weights or {}, batch=12, batches=50, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_batch_draws_evenly_from_the_groups():
    for batch in batches():
        assert Counter(GROUPS[index] for index, _ in batch) == {"normal": 4, "covid19": 4, "other pneumonia": 4}


def test_named_weights_make_sources_equal_in_every_group():
    drawn = [index for batch in batches(weights={"a": 1.0, "b": 1.0}) for index, _ in batch]
    normal = Counter(SOURCES[i] for i in drawn if GROUPS[i] == "normal")
    assert 0.4 < normal["a"] / normal.total() < 0.6


def test_unnamed_sources_weigh_as_many_images_as_they_have():
    drawn = [index for batch in batches() for index, _ in batch]
    normal = Counter(SOURCES[i] for i in drawn if GROUPS[i] == "normal")
    assert 0.65 < normal["a"] / normal.total() < 0.85


def test_same_seed_same_batches_and_another_epoch_others():
    assert batches(seed=3) == batches(seed=3)
    assert batches(seed=3, epoch=1) != batches(seed=3, epoch=0)
    assert batches(seed=4) != batches(seed=3)


def test_lightning_moves_it_on_from_epoch_to_epoch(tmp_path):
    import lightning

    seen: list[list[int]] = []

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, batch_idx):
            seen[-1] += batch[0].int().flatten().tolist()
            return self.layer(batch[0]).sum()

        def on_train_epoch_start(self):
            seen.append([])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    class Images(TensorDataset):
        def __getitem__(self, draw):
            return super().__getitem__(draw[0])

    sampler = EvenBatches(GROUPS, SOURCES, weights={}, batch=12, batches=3, seed=0)
    loader = DataLoader(Images(torch.arange(120.0)[:, None]), batch_sampler=sampler)
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        use_distributed_sampler=False,
    )
    trainer.fit(Module(), loader)
    assert len(seen) == 3
    assert seen[0] != seen[1] != seen[2]


def test_augmentation_seeds_differ_within_and_between_batches():
    seeds = [seed for batch in batches() for _, seed in batch]
    assert len(np.unique(seeds)) > 0.99 * len(seeds)


def test_source_odds_by_hand():
    sampler = EvenBatches(
        ["n", "n", "p", "p", "p"],
        ["a", "b", "a", "b", "c"],
        weights={"a": 3, "b": 1, "c": 4},
        batch=4,
        batches=1,
        seed=0,
    )
    # Drawn of class n: a 3/4, b 1/4; of class p: a 3/8, b 1/8, c 4/8; overall the two classes are even.
    odds = sampler.source_odds([0, 0, 1, 1, 1], limit=1.5)
    np.testing.assert_allclose(odds, [np.log(0.5), np.log(0.5), np.log(0.5), np.log(0.5), 1.5], rtol=1e-5)
    assert not sampler.source_odds([0, 0, 1, 1, 1], limit=0).any()


def test_images_that_are_not_asked_count_for_no_class():
    sampler = EvenBatches(["n", "p", "q", "q"], ["a", "a", "a", "b"], weights={}, batch=3, batches=1, seed=0)
    odds = sampler.source_odds([float("nan"), 0, 1, 1], limit=5)
    # Of source a, p is drawn with 1 and q with 1/2; overall p and q are even.
    np.testing.assert_allclose(odds, [np.log(0.5)] * 3 + [5], rtol=1e-5)


def test_patients_are_drawn_alike_whatever_their_number_of_images():
    # Source s: one patient with three images, one with one; source t: one patient.
    sampler = EvenBatches(
        ["x"] * 5,
        ["s", "s", "s", "s", "t"],
        weights={"s": 3.0, "t": 1.0},
        batch=50,
        batches=100,
        seed=0,
        patients=["p", "p", "p", "q", "r"],
    )
    drawn = Counter(index for batch in sampler for index, _ in batch)
    shares = [drawn[index] / drawn.total() for index in range(5)]
    np.testing.assert_allclose(shares, [0.125, 0.125, 0.125, 0.375, 0.25], atol=0.02)


def test_patients_are_told_apart_where_the_phase_says_so():
    images = pd.DataFrame({"group": ["g1", "g1", "g2"]})
    assert patients_of(images, Phase(epochs=1)) is None
    assert patients_of(images, Phase(epochs=1, even_patients=True)) == ["g1", "g1", "g2"]


def test_every_training_takes_its_patients_from_the_phase():
    calls = [
        node
        for file in Path(cxrscreen.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "EvenBatches"
    ]
    assert len(calls) >= 8
    for call in calls:
        (given,) = (word.value for word in call.keywords if word.arg == "patients")
        assert ast.unparse(given).startswith("patients_of(")
