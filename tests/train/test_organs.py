import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from cxrscreen.data.masks import IGNORE
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.loop import fit
from cxrscreen.train.organs import OrganImages, OrganTask, jaccard_indices, organ_loss
from cxrscreen.train.recipe import AugmentSettings, Compute
from cxrscreen.train.schedule import PlateauPhase

NAMES = ("background", "right_lung", "left_lung", "heart")


def test_the_loss_by_hand():
    # Two pixels: probability 1/4 of a class of weight 1, 3/4 of one of weight 3.
    logits = torch.log(torch.tensor([[[[0.25, 0.25]], [[0.75, 0.75]]]]))
    target = torch.tensor([[[0, 1]]])
    expected = (1 * -math.log(0.25) + 3 * -math.log(0.75)) / 4
    assert float(organ_loss(logits, target, torch.tensor([1.0, 3.0]))) == pytest.approx(expected)


def test_pixels_that_are_not_labelled_have_no_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    target = torch.tensor([[[0, IGNORE], [2, IGNORE]]])
    organ_loss(logits, target, torch.ones(3)).backward()
    assert not logits.grad[..., 1].any()
    assert logits.grad[..., 0].all()
    assert organ_loss(logits, torch.full((1, 2, 2), IGNORE), torch.ones(3)).item() == 0


def test_the_loss_asks_for_nothing_that_a_gpu_cannot_do_deterministically(monkeypatch):
    entropy, asked = nn.functional.cross_entropy, []

    def watched(*given, reduction="mean", **settings):
        asked.append(reduction)
        return entropy(*given, reduction=reduction, **settings)

    monkeypatch.setattr(nn.functional, "cross_entropy", watched)
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5, 4, requires_grad=True), torch.randint(0, 3, (2, 5, 4))
    target[0, :2] = IGNORE
    weights = torch.tensor([0.5, 1.0, 2.0])
    loss = organ_loss(logits, target, weights)
    loss.backward()
    # The sum over an image's pixels has no deterministic form on a GPU.
    assert asked == ["none"]
    same = logits.detach().clone().requires_grad_()
    # A mean over weights is what the loss is.
    expected = entropy(same, target, weights, ignore_index=IGNORE)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits.grad, same.grad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_loss_is_deterministic_on_a_gpu():
    logits = torch.randn(2, 3, 32, 32, device="cuda", requires_grad=True)
    target = torch.randint(0, 3, (2, 32, 32), device="cuda")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        organ_loss(logits, target, torch.ones(3)).backward()
    finally:
        torch.use_deterministic_algorithms(before)
    assert logits.grad.abs().sum() > 0


def test_jaccard_indices_by_hand():
    found = torch.tensor([[[1, 1, 2, 0]]])
    logits = nn.functional.one_hot(found, 4).permute(0, 3, 1, 2).float()
    truth = torch.tensor([[[1, 0, 2, 2]]])
    np.testing.assert_allclose(jaccard_indices(logits, truth), [[0.5, 0.5, np.nan]])
    truth[0, 0, 1] = truth[0, 0, 3] = IGNORE
    np.testing.assert_allclose(jaccard_indices(logits, truth), [[1, 1, np.nan]])


def test_image_and_target_move_together():
    target = np.zeros((1, 32, 32), np.uint8)
    target[0, 4:20, 6:18] = 3
    images = OrganImages((target > 0).astype(np.uint8) * 255, target, AugmentSettings(flip=0, blur=0, noise=0, gamma=0))
    for seed in range(5):
        image, classes = images[0, seed]
        assert image.shape == (1, 32, 32)
        assert classes.dtype == torch.int64
        assert set(classes.unique().tolist()) <= {0, 3}
        inside, outside = image[0][classes == 3], image[0][classes == 0]
        assert inside.mean() > outside.mean() + 1


def test_a_mirror_would_swap_the_lungs():
    with pytest.raises(ValueError, match="flip must be 0"):
        OrganImages(np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8), np.uint8), AugmentSettings(flip=0.5))


def test_a_short_training_learns_a_simple_organ(tmp_path):
    rng = np.random.default_rng(0)
    target = np.zeros((8, 16, 16), np.uint8)
    target[:, 4:12, 1:5], target[:, 4:12, 11:15], target[:, 8:13, 6:10] = 1, 2, 3
    image = (60 * target + rng.integers(0, 20, target.shape)).astype(np.uint8)
    phase = PlateauPhase(schedule="plateau", epochs=3, batch=4, batches=12, learning_rate=0.05, ema=0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 1))
    sampler = EvenBatches(["all"] * 8, ["s"] * 8, weights={}, batch=4, batches=12, seed=0)
    still = AugmentSettings(rotation=0, scale=0, aspect=0, shift=0, flip=0, blur=0, noise=0)
    task = OrganTask(network, phase, 36, 0, names=NAMES, weights=[1, 1, 1, 1])
    state = fit(
        task,
        DataLoader(OrganImages(image, target, still), batch_sampler=sampler),
        DataLoader(OrganImages(image, target, None), batch_size=8),
        phase,
        Compute(precision="32-true", accelerator="cpu", threads=1),
        tmp_path,
    )
    network.load_state_dict(state)
    given = torch.from_numpy(image / np.float32(127.5) - 1)[:, None].float()
    with torch.inference_mode():
        assert jaccard_indices(network(given), torch.from_numpy(target).long()).mean() > 0.6
    assert "jaccard_heart" in (tmp_path / "metrics.csv").read_text()
