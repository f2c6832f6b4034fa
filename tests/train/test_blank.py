import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.train.classifier import STILL, UNDECIDED, BinaryTask, RoiImages
from cxrscreen.train.recipe import Phase


def images(blank):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32), dtype=np.uint8)
    masks = np.zeros((4, 32, 32), np.uint8)
    masks[:, 8:24, 4:28] = 1
    quantiles = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (4, 1))
    return RoiImages(
        pixels, masks, np.array([0, 1, 0, 1]), quantiles, 32, STILL.model_copy(update={"blank": blank, "noise": 0.0})
    )


def test_a_blanked_image_has_one_grey_value_in_the_lungs_and_no_truth():
    drawn = [images(0.5)[(1, seed)] for seed in range(60)]
    blanked = [image for image, truth, _ in drawn if float(truth) == UNDECIDED]
    assert 15 <= len(blanked) <= 45
    for image in blanked:
        assert torch.all(image[0, :8] == -1.0)
        assert float(image[0, 10:22, 6:26].std()) == pytest.approx(0.0, abs=1e-5)
    assert all(float(image[0, 10:22, 6:26].std()) > 0.1 for image, truth, _ in drawn if float(truth) == 1.0)
    assert len({round(float(image[0, 12, 12]), 4) for image in blanked}) > 5


def test_no_image_is_blanked_unless_asked():
    assert all(float(images(0.0)[(0, seed)][1]) == 0.0 for seed in range(20))


def test_the_source_has_no_say_in_a_blanked_image():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.logit = nn.Parameter(torch.tensor(0.3))

        def forward(self, image):
            return self.logit.expand(len(image), 1)

    network = Constant()
    task = BinaryTask(network, Phase(epochs=1), 1, 0, sources=["a"], smoothing=0.0, offsets=torch.tensor([2.0]))
    task.log = lambda *_, **__: None
    batch = (torch.zeros(1, 1, 4, 4), torch.tensor([[UNDECIDED]]), torch.tensor([0]))
    task.training_step(batch, 0).backward()
    # The gradient of the cross-entropy is the probability less the truth, here of the network's own logit.
    assert float(network.logit.grad) == pytest.approx(1 / (1 + np.exp(-0.3)) - 0.5, abs=1e-6)


def test_an_adaptation_refuses_blanked_images():
    with pytest.raises(ValidationError, match="blank must be 0"):
        AdaptRecipe.model_validate({"augment": {"blank": 0.1}})
