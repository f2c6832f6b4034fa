import numpy as np
import pytest
import torch
from torch import nn

from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.nets.efficientnet_lite import EfficientNetLite0
from cxrscreen.train.classifier import BinaryTask
from cxrscreen.train.distillation import binary_divergence
from cxrscreen.train.hints import Hints, OneDecision
from cxrscreen.train.recipe import Phase
from cxrscreen.train.tutor import several_losses


def test_losses_of_several_decisions_by_hand():
    logits = torch.tensor([[0.0, 2.0], [0.0, 50.0]])
    truth = torch.tensor([[1.0, 1.0], [0.0, float("nan")]])
    expected = np.log(2) + np.log1p(np.exp(-2))
    assert float(several_losses(logits, truth, 0.0)) == pytest.approx(expected, abs=1e-6)


def test_a_decision_that_is_not_asked_has_a_gradient_of_exactly_zero():
    logits = torch.randn(3, 2, requires_grad=True)
    truth = torch.tensor([[1.0, float("nan")], [0.0, float("nan")], [1.0, 0.0]])
    several_losses(logits, truth, 0.05).backward()
    assert torch.equal(logits.grad[:2, 1], torch.zeros(2))
    assert logits.grad[:, 0].abs().min() > 0


class Mean(nn.Module):
    """Logits are multiples of the image's mean."""

    def __init__(self, factors):
        super().__init__()
        self.factors = nn.Parameter(torch.tensor(factors))

    def maps_by_depth(self, image):
        return image, image

    def decide(self, features, image):
        return features.mean(dim=(1, 2, 3))[:, None] * self.factors

    def forward(self, image):
        return self.decide(image, image)


def task(**settings):
    network = Mean([1.0])
    whole = BinaryTask(network, Phase(epochs=1), 1, 0, sources=["a"], smoothing=0.0, **settings)
    whole.log = lambda *_, **__: None
    return whole


def test_imitation_is_the_divergence_from_the_tutor_on_the_plain_image():
    image = torch.stack([torch.full((4, 4), 0.5), torch.full((4, 4), 2.0)])[None]
    batch = (image, torch.tensor([[1.0]]), torch.tensor([0]))
    shown, own = torch.tensor([2.0 * 3.0]), torch.tensor([0.5])
    divergence = float(binary_divergence(shown, own))
    entropy = float(np.log1p(np.exp(-0.5)))
    tutor = OneDecision(Mean([1.0, 3.0]), 1)
    loss = task(tutor=tutor, imitation=0.8).training_step(batch, 0)
    assert float(loss) == pytest.approx(0.2 * entropy + 0.8 * divergence, abs=1e-5)
    loss.backward()
    assert all(values.grad is None for values in tutor.parameters())


def test_source_odds_are_added_to_the_logit_while_training():
    batch = (torch.full((1, 1, 4, 4), 0.5), torch.tensor([[1.0]]), torch.tensor([1]))
    loss = task(offsets=torch.tensor([9.0, 1.5])).training_step(batch, 0)
    assert float(loss) == pytest.approx(np.log1p(np.exp(-2.0)), abs=1e-5)


def test_the_tutor_is_no_part_of_the_task_that_is_kept():
    names = task(tutor=OneDecision(Mean([1.0, 3.0]), 0), imitation=0.5).state_dict()
    assert set(names) == {"network.factors"}


def test_hints_fall_to_nothing_when_the_maps_tell_the_tutors_and_ignore_the_background():
    torch.manual_seed(0)
    hints = Hints([(3, 2)])
    image = torch.full((4, 1, 64, 64), -1.0)
    image[:, :, :32] = 1.0
    shown = torch.randn(4, 2, 4, 4)
    own = torch.cat([shown, torch.randn(4, 1, 4, 4)], dim=1)
    assert float(hints([own], [shown], image)) > 0.1
    scale = shown.var(dim=(0, 2, 3), unbiased=False).sqrt()
    with torch.no_grad():
        hints.ways[0].weight.zero_()
        for channel in range(2):
            hints.ways[0].weight[channel, channel] = 1 / scale[channel]
        hints.ways[0].bias.copy_(-shown.mean(dim=(0, 2, 3)) / scale)
    assert float(hints([own], [shown], image)) < 1e-6
    own[:, :, 2:] = 50.0
    assert float(hints([own], [shown], image)) < 1e-6
    own[:, :, 0, 0] = 50.0
    assert float(hints([own], [shown], image)) > 0.1


def test_hints_fit_every_pair_of_networks():
    tutor = OneDecision(EfficientNetLite0(2), 1)
    for network, channels in ((DenseNet121(), (1024, 1024)), (EfficientNetLite0(1), (112, 1280))):
        whole = BinaryTask(network, Phase(epochs=1), 1, 0, sources=["a"], smoothing=0.0, tutor=tutor, hint=1.0)
        assert [way.in_channels for way in whole.hints.ways] == list(channels)
        assert [way.out_channels for way in whole.hints.ways] == [112, 1280]


def test_networks_give_the_same_answer_from_their_maps():
    for network in (DenseNet121(pooling="lungs").eval(), EfficientNetLite0(1, pooling="lungs").eval()):
        image = torch.rand(2, 1, 64, 96) * 2 - 1
        with torch.inference_mode():
            middle, last = network.maps_by_depth(image)
            torch.testing.assert_close(network.decide(last, image), network(image))
            torch.testing.assert_close(last, network.feature_maps(image))
        assert middle.shape[2:] == (4, 6)
