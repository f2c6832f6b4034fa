import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cxrscreen.nets.base_cxr import BaseCxr
from cxrscreen.systems.covid_cxnet.pretraining import FindingTask, finding_aucs, finding_loss
from cxrscreen.systems.covid_cxnet.recipe import TransferPhase
from cxrscreen.systems.covid_cxnet.task import (
    answers_of,
    class_loss,
    logits_and_lung_shares,
    mean_auc,
    rarity_weights,
)


def test_one_logit_and_two_give_the_same_loss():
    logit = torch.randn(20, 1)
    two = torch.cat([torch.zeros(20, 1), logit], dim=1)
    truth = torch.randint(0, 2, (20,))
    weights = torch.tensor([0.6, 3.0])
    torch.testing.assert_close(class_loss(logit, truth, weights, 0.0), class_loss(two, truth, weights, 0.0))
    even = torch.ones(2)
    torch.testing.assert_close(class_loss(logit, truth, even, 0.2), class_loss(two, truth, even, 0.2))
    assert torch.equal(answers_of(logit), answers_of(two))


def test_a_smoothed_image_weighs_by_its_own_class():
    # Two classes of weights 1 and 4, smoothing 0.2, logits 0 and log 3: probabilities 0.25 and 0.75.
    logits = torch.log(torch.tensor([[1.0, 3.0], [1.0, 3.0]]))
    first, second = -np.log(0.25), -np.log(0.75)
    by_hand = (1 * (0.9 * first + 0.1 * second) + 4 * (0.9 * second + 0.1 * first)) / 5
    weights, truth = torch.tensor([1.0, 4.0]), torch.tensor([0, 1])
    assert class_loss(logits, truth, weights, 0.2).item() == pytest.approx(by_hand, abs=1e-6)
    one = (logits[:, 1] - logits[:, 0])[:, None]
    torch.testing.assert_close(class_loss(one, truth, weights, 0.2), class_loss(logits, truth, weights, 0.2))


def test_smoothing_punishes_certainty():
    truth = torch.ones(1, dtype=torch.long)
    sure, unsure = torch.tensor([[12.0]]), torch.tensor([[3.0]])
    even = torch.ones(2)
    assert class_loss(sure, truth, even, 0.0) < class_loss(unsure, truth, even, 0.0)
    assert class_loss(sure, truth, even, 0.1) > class_loss(unsure, truth, even, 0.1)


def test_rare_classes_weigh_more():
    assert rarity_weights([0, 0, 0, 1], 2) == pytest.approx([4 / 6, 2.0])


def test_what_is_not_known_has_no_gradient():
    logits = torch.zeros(1, 14, requires_grad=True)
    truth = torch.full((1, 14), float("nan"))
    truth[0, 3] = 1.0
    loss = finding_loss(logits, truth)
    loss.backward()
    assert loss.item() == pytest.approx(np.log(2))
    assert (logits.grad[0] != 0).nonzero().flatten().tolist() == [3]


def test_where_no_finding_has_enough_images_the_loss_chooses_the_epoch(monkeypatch):
    logged = {}
    task = FindingTask(nn.Flatten(), TransferPhase(epochs=1, batch=2, learning_rate=1e-3), 1, 0)
    monkeypatch.setattr(task, "log", lambda name, value, **_: logged.update({name: value}))
    truth = torch.full((6, 14), float("nan"))
    truth[:, 0] = torch.tensor([1.0, 1, 1, 0, 0, 0])
    scores = []
    for certainty in (0.5, 3.0):
        logits = torch.zeros(6, 14, 1, 1)
        logits[:, 0, 0, 0] = certainty * (2 * truth[:, 0] - 1)
        task.validation_step((logits, truth, None, None), 0)
        task.on_validation_epoch_end()
        scores.append(logged["validation_score"])
    assert scores[0] < scores[1] < 0
    assert not any(name.startswith("auc") for name in logged)


def test_findings_of_too_few_images_do_not_count():
    truth = np.full((20, 14), np.nan, np.float32)
    truth[:, 0] = np.arange(20) >= 10
    truth[:, 1] = np.arange(20) >= 18
    scores = np.tile(np.arange(20, dtype=np.float32)[:, None], (1, 14))
    assert finding_aucs(truth, scores) == {"Atelectasis": 1.0}


class Spot(nn.Module):
    """Evidence is brightness: Grad-CAM must lie where the image is bright."""

    def feature_maps(self, x):
        return F.avg_pool2d(x + 1, 8)

    def decide(self, features, x):
        return features.mean(dim=(2, 3))


def test_the_lung_share_is_where_the_evidence_lies():
    image = -torch.ones(2, 1, 32, 32)
    image[0, :, :8, :8] = 1.0
    image[1, :, 24:, 24:] = 1.0
    lungs = torch.zeros(2, 32, 32, dtype=torch.uint8)
    lungs[:, :16, :16] = 1
    truth = torch.ones(2, dtype=torch.long)
    with torch.inference_mode():
        logits, shares = logits_and_lung_shares(Spot(), image, truth, lungs)
    assert logits.shape == (2, 1)
    assert shares.tolist() == [1.0, 0.0]
    with torch.inference_mode():
        _, against = logits_and_lung_shares(Spot(), image, truth * 0, lungs)
    assert against.isnan().all()


def test_three_logits_have_the_shares_of_the_gradient():
    torch.manual_seed(3)
    network = BaseCxr(96, 3).eval()
    image, truth = torch.rand(4, 1, 96, 96), torch.arange(4) % 3
    lungs = torch.zeros(4, 96, 96, dtype=torch.uint8)
    lungs[:, :, :48] = 1
    with torch.inference_mode():
        logits, shares = logits_and_lung_shares(network, image, truth, lungs)
        torch.testing.assert_close(logits, network(image))
    maps = network.feature_maps(image).detach().requires_grad_()
    network.decide(maps, image)[torch.arange(4), truth].sum().backward()
    heat = F.relu((maps.grad.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1))
    inside = F.interpolate(lungs[:, None].float(), size=heat.shape[1:], mode="area")[:, 0]
    expected = (heat * inside).sum(dim=(1, 2)) / heat.sum(dim=(1, 2))
    assert (~shares.isnan()).sum() >= 2
    torch.testing.assert_close(shares, expected.detach(), atol=0.02, rtol=0, equal_nan=True)


def test_areas_are_meant_over_sources_and_classes():
    truth = np.array([0] * 10 + [1] * 10)
    logits = np.arange(20, dtype=np.float32)[:, None]
    sources = np.array(["a"] * 20)
    assert mean_auc(truth, logits, sources) == 1.0
    assert mean_auc(truth, np.hstack([-logits, logits]), sources) == 1.0
    assert mean_auc(truth, np.hstack([logits, logits]), sources) == 0.5
