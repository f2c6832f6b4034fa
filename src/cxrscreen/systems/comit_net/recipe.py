"""The recipe of COMiT-Net: every number of its training, so that the paper's and a small run differ in YAML only."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from cxrscreen.train.recipe import AugmentSettings, Compute, Settings
from cxrscreen.train.schedule import PlateauPhase

Task = Literal["lungs", "disease", "health", "diagnosis"]
TASKS: tuple[Task, ...] = ("lungs", "disease", "health", "diagnosis")
"""Tasks 1 to 4 of the paper."""
Encoder = Literal["vgg16", "vgg19", "efficientnet-lite0"]
Fact = Literal["class", "view", "region"]


class ComitPhase(PlateauPhase):
    """A run of the network.

    Attributes
    ----------
    source_weights
        Relative weight of each source; see :class:`cxrscreen.train.batches.EvenBatches`.
    """

    source_weights: dict[str, PositiveFloat] = Field(default_factory=dict)


class DataRules(Settings):
    """Which images are learned from, and by which of their labels.

    Attributes
    ----------
    sources
        Sources of the manifest.
    masks_alone
        Those of them whose labels are not learned, only their masks: for sources that hold one class or one age.
    left_out
        Sources from which nothing is learned and nothing chosen, to be asked about later.
    lung_masks
        Origins of lung masks that are learned from; what includes the heart is ignored where that is uncertain.
    healthy_regions
        Whether a healthy image teaches that it has no diseased region; those of ``masks_alone`` do not.
    even_over
        Facts over whose combinations batches are drawn evenly: ``class`` (normal, COVID-19, other), ``view`` (AP, PA,
        unknown; without ``class`` the sources of ``masks_alone`` are a group of their own, or they would fill a view
        with images whose labels are not learned); ``region``: images of which a mask or box says where the disease is
        are one group beside these. Empty: images as they come.
    copies
        Whether each COVID-19 image also enters the training turned by 10 degrees either way and moved by 10 pixels
        along X, Y and both (the paper's section 3.1).
    """

    sources: tuple[str, ...] = Field(min_length=1)
    masks_alone: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    lung_masks: tuple[Literal["human", "exact", "automatic"], ...] = ("human", "exact")
    healthy_regions: bool = False
    even_over: tuple[Fact, ...] = ("class", "view")
    copies: bool = True

    @property
    def learned(self) -> tuple[str, ...]:
        """Sources that are learned from."""
        return tuple(name for name in self.sources if name not in self.left_out)


class LossRules(Settings):
    """How the four terms of Eq. 8 are weighted and averaged.

    Attributes
    ----------
    lungs, disease, health, diagnosis
        Weight of each task; the paper's are equal.
    region_weight
        Weight of a pixel inside the diseased region; above 1 finds more of it and calls more that is none.
    over
        See :func:`cxrscreen.train.switched.switched_sum`.
    """

    lungs: NonNegativeFloat = 1.0
    disease: NonNegativeFloat = 1.0
    health: NonNegativeFloat = 1.0
    diagnosis: NonNegativeFloat = 1.0
    region_weight: PositiveFloat = 1.0
    over: Literal["images", "labelled"] = "images"

    def weights(self) -> dict[Task, float]:
        """By task."""
        return {"lungs": self.lungs, "disease": self.disease, "health": self.health, "diagnosis": self.diagnosis}


class NetworkRules(Settings):
    """The network.

    Attributes
    ----------
    encoder
        ``vgg16`` (the paper's), ``vgg19``, or ``efficientnet-lite0`` (small, its ImageNet weights install).
    width
        Factor of a VGG's channels.
    weights
        Initial weights of the encoder: ``none``, ``imagenet``, or the path of a published checkpoint.
    joins, decoder
        See ``joins`` and ``widths`` of :class:`cxrscreen.nets.comit.ComitNet`; ``decoder`` None: the encoder mirrored.
    nodes
        Of the first two dense layers of each branch.
    dropout
        Of the embedding.
    side
        Side of the input, pixels.
    """

    encoder: Encoder = "vgg16"
    width: float = Field(default=1.0, gt=0, le=2)
    weights: str = "none"
    joins: Literal["positions", "maps"] = "positions"
    decoder: tuple[PositiveInt, ...] | None = None
    nodes: tuple[PositiveInt, PositiveInt] = (256, 64)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    side: int = Field(default=224, ge=32, multiple_of=32)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        small = self.encoder == "efficientnet-lite0"
        if small and (self.joins != "maps" or self.width != 1):
            raise ValueError("efficientnet-lite0 pools nothing that could be put back: joins must be maps, width 1")
        if self.joins == "positions" and self.decoder is not None:
            raise ValueError("with joins positions a decoder has the encoder's own widths: leave decoder out")
        if self.decoder is not None and len(self.decoder) != (4 if small else 5):
            raise ValueError(f"decoder needs {4 if small else 5} widths, one for each resolution")
        return self


class ComitNetRecipe(Settings):
    """All of COMiT-Net.

    Attributes
    ----------
    system
        ``comit_net``.
    version
        Version that the bundle will carry.
    seed
        The one seed: splits, initial weights, batches, augmentation.
    split_seed
        Seed of the splits alone, for trainings that differ in chance and not in images; None: ``seed``.
    tasks
        Which of the four tasks the network has (the paper's Table 5); one of the two that classify among them.
    lungs
        Bundle whose lung network finds the lungs where this network has not learned them: the name of a shipped one, or
        a folder.
    low, high, mirrored
        See :class:`cxrscreen.systems.comit_net.preprocessing.Preprocessing`.
    data, network, loss, phases, augment
        What is learned from, by what, and how; runs one after the other, each from the best state of the one before.
    region_recall
        Share of the known diseased regions of validation images that a score of one half is to find, as the mean over
        images: the logit is moved so after the training (:mod:`cxrscreen.systems.comit_net.region_recall`); None, or
        where no validation image has one: it stays as trained.
    data_limits, licence
        What the card must say of the training data.
    """

    system: Literal["comit_net"]
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    seed: int = Field(default=0, ge=0)
    split_seed: int | None = Field(default=None, ge=0)
    compute: Compute = Compute()
    tasks: tuple[Task, ...] = TASKS
    lungs: str = "cascade"
    low: float = Field(default=1.0, ge=0, lt=50)
    high: float = Field(default=99.0, gt=50, le=100)
    mirrored: bool = False
    data: DataRules
    network: NetworkRules = NetworkRules()
    loss: LossRules = LossRules()
    phases: tuple[ComitPhase, ...] = Field(min_length=1)
    augment: AugmentSettings
    region_recall: float | None = Field(default=None, gt=0, lt=1)
    data_limits: tuple[str, ...] = ()
    licence: str = "As the terms of the training images say. Code: Apache-2.0."

    @property
    def splitting(self) -> int:
        """Seed of the splits."""
        return self.seed if self.split_seed is None else self.split_seed

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not {"health", "diagnosis"} & set(self.tasks) or len(set(self.tasks)) != len(self.tasks):
            raise ValueError("tasks must be different ones, with health or diagnosis among them")
        if self.region_recall is not None and "disease" not in self.tasks:
            raise ValueError("region_recall moves the diseased region's score: name disease in tasks, or leave it out")
        if self.augment.histogram or self.augment.blank:
            raise ValueError("augment.histogram and augment.blank are of the cascade alone: leave them out")
        if not self.data.learned:
            raise ValueError("data.left_out leaves no source to learn from")
        return self
