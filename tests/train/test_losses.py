import numpy as np
import pytest
import torch

from cxrscreen.train.classifier import RoiImages, source_aucs
from cxrscreen.train.recipe import AugmentSettings, Phase
from cxrscreen.train.schedule import PlateauPhase
from cxrscreen.train.segmenter import IGNORE, MaskImages, MaskTask, mask_loss


def test_mask_loss_by_hand():
    logits = torch.zeros(1, 1, 1, 2)
    target = torch.tensor([[[[1.0, 0.0]]]])
    # Cross-entropy ln 2; soft Dice (2 * 0.5 + 1) / (1 + 1 + 1).
    assert float(mask_loss(logits, target)) == pytest.approx(np.log(2) + 1 - 2 / 3, abs=1e-6)


def test_without_dice_the_cross_entropy_of_labelled_pixels_is_left():
    logits = torch.tensor([[[[0.0, 2.0, -1.0]]]])
    target = torch.tensor([[[[1.0, 0.0, IGNORE]]]])
    by_hand = (np.log(2) + np.log1p(np.exp(2.0))) / 2
    assert float(mask_loss(logits, target, dice=False)) == pytest.approx(by_hand, abs=1e-6)


def test_masks_learn_by_the_optimiser_that_is_asked_for():
    network = torch.nn.Conv2d(1, 1, 3)
    plain = MaskTask(network, Phase(epochs=1), 10, 0).configure_optimizers()
    assert type(plain["optimizer"]) is torch.optim.AdamW
    falling = MaskTask(network, PlateauPhase(epochs=1, schedule="plateau"), 10, 0).configure_optimizers()
    assert type(falling["optimizer"]) is torch.optim.Adam
    descent = MaskTask(network, PlateauPhase(epochs=1, learning_rate=0.001), 10, 0, momentum=0.9).configure_optimizers()
    assert type(descent) is torch.optim.SGD
    assert (descent.param_groups[0]["lr"], descent.param_groups[0]["momentum"]) == (0.001, 0.9)


def test_pixels_without_label_have_a_gradient_of_exactly_zero():
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    target = (torch.rand(2, 1, 8, 8) > 0.5).float()
    target[:, :, 4:] = IGNORE
    mask_loss(logits, target).backward()
    assert torch.equal(logits.grad[:, :, 4:], torch.zeros(2, 1, 4, 8))
    assert logits.grad[:, :, :4].abs().min() > 0


def test_a_perfect_mask_costs_next_to_nothing():
    target = (torch.rand(1, 1, 16, 16) > 0.5).float()
    assert float(mask_loss(40 * target - 20, target)) < 1e-3


def test_aucs_are_pooled_and_within_large_enough_sources():
    truth = np.array([0, 1] * 20 + [1] * 5, np.float32)
    scores = np.where(truth == 1, 0.9, 0.1).astype(np.float32)
    sources = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 5)
    scores[20:40] = 1 - scores[20:40]
    aucs = source_aucs(truth, scores, sources)
    assert set(aucs) == {"pooled", "a", "b"}
    assert (aucs["a"], aucs["b"]) == (1.0, 0.0)


def roi_images(augment=None, weighting=None, side=16):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (4, 16, 16), dtype=np.uint8)
    masks = np.zeros((4, 16, 16), np.uint8)
    masks[:, 4:12, 4:12] = 1
    quantiles = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (4, 1))
    return RoiImages(pixels, masks, np.array([0, 1, 0, 1]), quantiles, side, augment, weighting)


def test_validation_images_are_the_masked_pixels_as_the_pipeline_gives_them():
    images = roi_images()
    image, truth, index = images[1]
    expected = 4 * (images.pixels[1] / 255 * images.masks[1]) - 1
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-5)
    assert (float(truth), index) == (1.0, 1)


def test_the_weighting_of_equation_3_multiplies_the_masked_image():
    image, _, _ = roi_images(weighting=np.full((4, 2, 2), 0.5, np.float32))[2]
    plain, _, _ = roi_images()[2]
    np.testing.assert_allclose(image.numpy() + 1, 0.5 * (plain.numpy() + 1), atol=1e-5)


def test_augmentation_is_drawn_from_the_seed_and_never_fills_the_background():
    images = roi_images(AugmentSettings(rotation=0, scale=0, aspect=0, shift=0, flip=0, histogram=1, erase=0.5))
    assert torch.equal(images[(0, 7)][0], images[(0, 7)][0])
    assert not torch.equal(images[(0, 7)][0], images[(0, 8)][0])
    assert (images[(0, 7)][0][0, :4] == -1).all()


def test_mask_targets_follow_the_image():
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, 8:16, 4:12] = 255
    target = (image > 0).astype(np.uint8)
    augment = AugmentSettings(rotation=0, gamma=0, contrast=0, brightness=0, blur=0, noise=0)
    grey, mask = MaskImages(image, target, 32, augment)[(0, 5)]
    inside = grey[mask == 1]
    assert inside.mean() > 0.8
    assert grey[mask == 0].mean() < -0.8
