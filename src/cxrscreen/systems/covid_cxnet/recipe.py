"""The recipe of COVID-CXNet: every number of its training, so that the paper's experiments differ in YAML only."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from cxrscreen.data.manifest import VIEWS
from cxrscreen.imaging.enhancement.beasf import GREATEST_GAMMA, LEAST_GAMMA
from cxrscreen.systems.covid_cxnet.classes import Version
from cxrscreen.systems.covid_cxnet.preprocessing import Channels, Pooling, Preprocessing, RoiKind
from cxrscreen.train.recipe import AugmentSettings, Compute, Settings
from cxrscreen.train.schedule import PlateauPhase

Network = Literal["chexnet", "resnet50", "efficientnet-lite0", "base"]
Backbone = Literal["chexnet", "efficientnet-lite0"]
Paediatric = Literal["left out", "kept", "normals"]


class TransferPhase(PlateauPhase):
    """A run of the classifier.

    Attributes
    ----------
    source_weights
        Relative weight of each source; see :class:`cxrscreen.train.batches.EvenBatches`.
    frozen
        Only the head learns, the backbone stays as it is (the paper's section 5.2); else all of it does.
    """

    source_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    frozen: bool = False


class DataRules(Settings):
    """Which images are learned from and chosen by (the paper's section 3.1).

    The test part is always that of the protocol: every frontal image of an adult of these sources.

    Attributes
    ----------
    sources
        Sources of the manifest, the mix.
    views
        View positions that are kept; laterals and copies never are.
    paediatric
        Paediatric images are ``left out``, are ``kept``, or are all the ``normals`` there are: tested on adults, this
        is the paper's Table 1 against its Table 2.
    share
        Share of the training images that is used, drawn by the seed, the same of each class (Figs. 11 and 12).
    left_out
        Some of the sources, of which nothing is learned: no image of theirs, nor another of one of their patients,
        trains, pre-trains or chooses the network, and all of their images are in the classifier's test part. Operating
        points and temperatures are set on images of the other sources.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    views: tuple[str, ...] = tuple(view for view in VIEWS if view != "L")
    paediatric: Paediatric = "left out"
    share: float = Field(default=1.0, gt=0, le=1)
    left_out: tuple[str, ...] = ()

    @property
    def learned(self) -> tuple[str, ...]:
        """The sources that are not left out."""
        return tuple(source for source in self.sources if source not in self.left_out)

    @model_validator(mode="after")
    def _knows_views(self) -> Self:
        strange = [source for source in self.left_out if source not in self.sources]
        if strange:
            raise ValueError(f"left_out names {strange[0]}, which is not one of the sources")
        wrong = [view for view in self.views if view not in VIEWS or view == "L"]
        if wrong or not self.views:
            raise ValueError(f"views must be some of {', '.join(v for v in VIEWS if v != 'L')}")
        return self


class PretrainingRecipe(Settings):
    """Pre-training on the 14 findings of CheXNet, where the data at hand have them.

    Attributes
    ----------
    sources
        Sources whose images are learned from; see :func:`cxrscreen.data.findings.finding_targets`.
    weights
        Initial weights of the backbone: ``none``, ``imagenet`` or a path.
    phases, augment
        As in :class:`ClassifierRecipe`.
    exported
        Whether the bundle tells of the findings, for the chart of their probabilities (Fig. 17).
    chart
        By what: ``network``, the pre-trained network whole, which doubles the bundle; or ``head``, a linear layer on
        the features of the finished classifier, fitted to the same images, which adds next to nothing. The card then
        says how far the two agree.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    weights: str = "none"
    phases: tuple[TransferPhase, ...] = Field(min_length=1)
    augment: AugmentSettings
    exported: bool = False
    chart: Literal["network", "head"] = "network"


class ClassifierRecipe(Settings):
    """The classifier.

    Attributes
    ----------
    network
        ``chexnet`` (DenseNet-121), ``resnet50``, ``efficientnet-lite0`` (small), or ``base``, the paper's base model.
    weights
        Initial weights of the backbone where nothing is pre-trained here: ``none``, ``imagenet``, or a path, for
        example of a published CheXNet checkpoint.
    chart
        Whether the bundle also carries the 14 outputs of the published CheXNet checkpoint at ``weights``, for the chart
        of findings and their map (Figs. 17 and 19); they add the size of the network.
    nodes, dropout
        Of the head; 0 nodes: a plain replaced linear layer, as in the paper's section 4.2.
    side
        Side of the input, pixels.
    balance
        ``weights``: classes are weighted in the loss by their rarity, as in the paper. ``batches``: each batch has the
        same number of every class. ``none``: neither.
    smoothing
        Label smoothing.
    saliency
        Weight, in choosing the epoch that is kept, of the share of Grad-CAM inside the lungs beside the AUC.
    phases, augment
        Runs one after the other, each from the best state of the one before, and variation of the images.
    """

    network: Network = "chexnet"
    weights: str = "none"
    chart: bool = False
    nodes: int = Field(default=10, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    side: int = Field(default=320, ge=32, multiple_of=32)
    balance: Literal["weights", "batches", "none"] = "weights"
    smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    saliency: float = Field(default=0.0, ge=0, lt=1)
    phases: tuple[TransferPhase, ...] = Field(min_length=1)
    augment: AugmentSettings

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.augment.histogram or self.augment.blank:
            raise ValueError("augment.histogram and augment.blank are of the cascade alone: leave them out")
        if self.network == "base" and (self.side < 96 or self.weights != "none" or any(p.frozen for p in self.phases)):
            raise ValueError("the base model takes a side of at least 96, no weights and no frozen phase")
        if self.chart and (self.network != "chexnet" or self.weights in {"none", "imagenet"}):
            raise ValueError("chart needs the network chexnet and the path of a published checkpoint as weights")
        return self


class CovidCxNetRecipe(Settings):
    """All of COVID-CXNet.

    Attributes
    ----------
    system
        ``covid_cxnet``.
    version
        Version that the bundle will carry.
    seed
        The one seed: splits, initial weights, batches, augmentation.
    split_seed
        Seed of the splits alone, for trainings that differ in chance and not in images; None: ``seed``.
    lungs
        Bundle whose lung network finds the lungs: the name of a shipped one, or a folder.
    match
        Image id whose histogram all images take, or None.
    classes, roi, working_side, margin, dilation, channels, clip_limit, tiles, gamma, pooling
        See :class:`cxrscreen.systems.covid_cxnet.preprocessing.Preprocessing`.
    data, pretraining, classifier
        What is learned from and by what.
    data_limits, licence
        What the card must say of the training data.
    """

    system: Literal["covid_cxnet"]
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    seed: int = Field(default=0, ge=0)
    split_seed: int | None = Field(default=None, ge=0)
    compute: Compute = Compute()
    lungs: str = "cascade"
    classes: Version = "binary"
    roi: RoiKind = "mask"
    working_side: int | None = Field(default=None, ge=64)
    margin: float = Field(default=0.05, ge=0, lt=1)
    dilation: float = Field(default=0.02, ge=0, lt=1)
    channels: Channels = "stack"
    clip_limit: float = Field(default=2.0, gt=0)
    tiles: int = Field(default=8, ge=1)
    gamma: float = Field(default=1.5, ge=LEAST_GAMMA, le=GREATEST_GAMMA)
    match: str | None = None
    pooling: Pooling = "image"
    data: DataRules
    pretraining: PretrainingRecipe | None = None
    classifier: ClassifierRecipe
    data_limits: tuple[str, ...] = ()
    licence: str = "As the terms of the training images say. Code: Apache-2.0."

    @property
    def splitting(self) -> int:
        """Seed of the splits."""
        return self.seed if self.split_seed is None else self.split_seed

    def preprocessing(self, reference: tuple[float, ...] | None = None) -> Preprocessing:
        """What screening must do as training did, with the grey quantiles of the image that ``match`` names."""
        return Preprocessing(
            classes=self.classes,
            roi=self.roi,
            working_side=self.working_side,
            margin=self.margin,
            dilation=self.dilation,
            channels=self.channels,
            clip_limit=self.clip_limit,
            tiles=self.tiles,
            gamma=self.gamma,
            reference=reference,
            pooling=self.pooling,
        )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        network = self.classifier.network
        if network == "chexnet" and self.channels != "stack":
            raise ValueError("chexnet takes three channels: channels must be stack")
        if self.pooling == "lungs" and (self.roi != "mask" or network == "base"):
            raise ValueError("pooling over the lungs needs roi mask and a network that pools")
        if self.pretraining is not None and self.pretraining.chart == "head" and self.pooling != "image":
            raise ValueError("a chart by head needs pooling over the image")
        if self.pretraining is not None and network not in {"chexnet", "efficientnet-lite0"}:
            raise ValueError("pretraining is for chexnet or efficientnet-lite0")
        if self.pretraining is not None and self.classifier.weights != "none":
            raise ValueError("with pretraining the classifier starts from its network: classifier.weights must be none")
        return self
