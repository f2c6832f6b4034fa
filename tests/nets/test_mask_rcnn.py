import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from cxrscreen.errors import RecipeError
from cxrscreen.nets.mask_rcnn import MaskRCNN, instances_of, union_logits


class Detector(nn.Module):
    """Answers as torchvision's does: losses while training, instances else; keeps what it was shown."""

    def __init__(self, **settings):
        super().__init__()
        self.settings, self.shown = settings, []
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images, targets=None):
        self.shown.append((images, targets))
        if self.training:
            return {"loss_mask": 2 * self.scale, "loss_box_reg": 3 * self.scale}
        return [{"scores": torch.tensor([0.9]), "masks": (image[:1] > 0.5).float()[None]} for image in images]


@pytest.fixture
def torchvision(monkeypatch):
    detection = ModuleType("torchvision.models.detection")
    detection.maskrcnn_resnet50_fpn = Detector
    for name, module in {
        "": ModuleType("torchvision"),
        ".models": ModuleType("models"),
        ".models.detection": detection,
    }.items():
        monkeypatch.setitem(sys.modules, f"torchvision{name}", module)


def test_without_torchvision_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RecipeError, match="needs torchvision, which is not installed") as caught:
        MaskRCNN(64)
    assert str(caught.value).count(". ") == 0


def test_regions_become_instances():
    target = torch.zeros(6, 8)
    target[1:3, 1:4] = 1
    target[4:6, 5:8] = 1
    target[0, 7] = 1
    target[3, 0] = 255
    found = instances_of(target)
    # The single pixel is no instance, and what is not known is outside.
    assert found["boxes"].tolist() == [[1, 1, 4, 3], [5, 4, 8, 6]]
    assert found["labels"].tolist() == [1, 1]
    kept = target == 1
    kept[0, 7] = False
    assert torch.equal(found["masks"].sum(dim=0).bool(), kept)
    assert {name: tuple(values.shape) for name, values in instances_of(torch.zeros(6, 8)).items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "masks": (0, 6, 8),
    }


def test_likely_instances_are_joined():
    masks = torch.zeros(3, 1, 2, 2)
    masks[0, 0, 0], masks[1, 0, :, 0], masks[2] = 0.8, 0.6, 0.99
    logits = union_logits({"scores": torch.tensor([0.9, 0.5, 0.1]), "masks": masks}, (2, 2))
    torch.testing.assert_close(torch.sigmoid(logits[0]), torch.tensor([[0.8, 0.8], [0.6, 1e-4]]))
    assert (union_logits({"scores": torch.zeros(0), "masks": masks[:0]}, (2, 2)) < 0).all()


def test_grey_images_and_masks_reach_the_detector(torchvision):
    network = MaskRCNN(8)
    assert network.detector.settings["num_classes"] == 2
    assert network.detector.settings["min_size"] == network.detector.settings["max_size"] == 8
    image = torch.full((2, 1, 8, 8), -1.0)
    image[1, 0, :4] = 1.0
    loss = network.losses(image, (image > 0).float())
    loss.backward()
    assert (loss.item(), network.detector.scale.grad.item()) == (5, 5)
    images, targets = network.detector.shown[0]
    assert images[1].shape == (3, 8, 8)
    assert (images[1].min().item(), images[1].max().item()) == (0, 1)
    assert [len(each["boxes"]) for each in targets] == [0, 1]
    assert torch.equal(network.eval()(image) >= 0, image > 0)
