"""Recipes of the networks and classifiers that COMiT-Net is compared with: same images, same parts, other methods."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cxrscreen.systems.comit_net.recipe import ComitPhase
from cxrscreen.train.embedding_classifier import EmbeddingSettings
from cxrscreen.train.recipe import AugmentSettings, Settings, load_recipe

ComparedNetwork = Literal["densenet121", "mobilenetv2", "resnet18", "vgg19"]
ComparedMask = Literal["unet", "segnet", "mask-rcnn"]


def _usual(augment: AugmentSettings) -> AugmentSettings:
    if augment.histogram or augment.blank:
        raise ValueError("augment.histogram and augment.blank are of the cascade alone: leave them out")
    return augment


ComparedAugment = Annotated[AugmentSettings, AfterValidator(_usual)]


class ClassifierComparator(Settings):
    """A network that learns task 4's question alone: COVID-19 or not.

    Attributes
    ----------
    kind
        ``classifier``.
    network
        One of the paper's four.
    weights
        Initial weights: ``none`` or a path (of DenseNet-121 also ``imagenet``, which downloads).
    width
        Of VGG19: factor of all channels; the others have a fixed width.
    dropout, smoothing
        Of the pooled features; of the labels.
    phases
        Runs one after the other, each from the best state of the one before.
    augment
        Variation of the training images.
    """

    kind: Literal["classifier"]
    network: ComparedNetwork
    weights: str = "none"
    width: float = Field(default=1.0, gt=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    phases: tuple[ComitPhase, ...] = Field(min_length=1)
    augment: ComparedAugment

    @property
    def name(self) -> str:
        """The network's."""
        return self.network


class MaskComparator(Settings):
    """A network that learns one mask; it is trained twice, for the lungs and for the disease.

    Attributes
    ----------
    kind
        ``masks``.
    network
        One of the paper's three; ``mask-rcnn`` needs torchvision.
    width
        Channels at full resolution, of U-Net and SegNet (the papers: 64).
    dice
        Whether soft Dice is a part of the loss of U-Net and SegNet; the COMiT-Net paper has cross-entropy alone.
    momentum
        Of stochastic gradient descent at the phases' learning rate, as the paper trains Mask R-CNN (0.9); None: as the
        phases say.
    phases, augment
        As in :class:`ClassifierComparator`.
    """

    kind: Literal["masks"]
    network: ComparedMask
    width: int = Field(default=64, ge=2)
    dice: bool = True
    momentum: float | None = Field(default=None, ge=0, lt=1)
    phases: tuple[ComitPhase, ...] = Field(min_length=1)
    augment: ComparedAugment

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.momentum is not None and any(phase.schedule != "cycle" for phase in self.phases):
            raise ValueError("momentum is of gradient descent at one learning rate: leave schedule out")
        return self

    @property
    def name(self) -> str:
        """The network's."""
        return self.network


class EmbeddingComparator(EmbeddingSettings):
    """A classifier on the embedding that COMiT-Net with all its tasks gives.

    Attributes
    ----------
    kind
        ``embedding``.
    """

    kind: Literal["embedding"]

    @property
    def name(self) -> str:
        """The classifier's."""
        return self.classifier


Comparator = ClassifierComparator | MaskComparator | EmbeddingComparator


class ComparatorRecipe(Settings):
    """One comparator.

    Attributes
    ----------
    system
        ``comit_net``: whose images and parts it takes.
    comparator
        What is compared.
    """

    system: Literal["comit_net"]
    comparator: Annotated[Comparator, Field(discriminator="kind")]


def load_comparator(path: Path) -> Comparator:
    """Read one comparator; raises a ``RecipeError`` as :func:`cxrscreen.train.recipe.load_recipe` does."""
    return load_recipe(path, ComparatorRecipe).comparator
