"""The recipe of patch voting: every number of its training, so that a small run and the paper's differ in YAML only."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from cxrscreen.systems.patch_voting.preprocessing import Approach, Pooling, Preprocessing, Shown
from cxrscreen.train.recipe import AugmentSettings, Compute, HeadRecipe, Settings
from cxrscreen.train.schedule import PlateauPhase

OrganNetwork = Literal["fc-densenet103", "fc-densenet67", "unet"]
PatchNetwork = Literal["resnet18", "resnet50", "densenet121", "efficientnet-lite0"]


class WeightedPhase(PlateauPhase):
    """A run of either network.

    Attributes
    ----------
    source_weights
        Relative weight of each source; see :class:`cxrscreen.train.batches.EvenBatches`.
    """

    source_weights: dict[str, PositiveFloat] = Field(default_factory=dict)


class OrganRecipe(Settings):
    """The organ network, trained on the images that have lung and heart masks.

    Attributes
    ----------
    network
        ``fc-densenet103``, as in the paper, ``fc-densenet67`` or ``unet``.
    width
        Channels of the U-Net at full resolution; the others have a fixed width.
    side
        Side of the input, pixels.
    class_weights
        Lambda of Eq. 2 for background, right lung, left lung and heart; the paper gives no numbers.
    share
        Share of the training images that is used, drawn by the seed (Table XV).
    phases
        Runs one after the other, each from the best state of the one before.
    augment
        Variation of the training images; ``flip`` must be 0.
    """

    network: OrganNetwork = "fc-densenet103"
    width: int = Field(default=64, ge=4)
    side: int = Field(default=256, ge=32, multiple_of=32)
    class_weights: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0, 1.0)
    share: float = Field(default=1.0, gt=0, le=1)
    phases: tuple[WeightedPhase, ...] = Field(min_length=1)
    augment: AugmentSettings

    @model_validator(mode="after")
    def _keeps_sides_apart(self) -> Self:
        if self.augment.flip:
            raise ValueError("augment.flip must be 0: left and right lung are classes")
        _check_augmentation(self.augment)
        return self


class PatchHeadRecipe(HeadRecipe):
    """The patch classifier's linear layer, fitted by itself after all phases.

    Attributes
    ----------
    penalty
        See :class:`cxrscreen.train.recipe.HeadRecipe`.
    patches
        Patches of each training image that it is fitted to, the first ones that screening would ask; of the global
        approach the one.
    """

    penalty: float = Field(default=0.01, gt=0)
    patches: int = Field(default=20, ge=1)


class ClassifierRecipe(Settings):
    """The patch classifier.

    Attributes
    ----------
    network
        ``resnet18``, as in the paper, or another classifier of this package.
    weights
        Initial weights: ``none``, ``imagenet`` (for the networks whose weights install or download), or a path.
    side
        Side of the input, pixels: a patch is brought to it.
    sources
        Sources of the manifest whose images are used.
    share
        Share of the training images that is used, drawn by the seed (Fig. 12).
    judged
        Patches of each validation image that vote after an epoch; fewer than at screening save time.
    phases, augment
        As in :class:`OrganRecipe`; here images may be mirrored.
    smoothing
        Label smoothing.
    dropout
        Dropout of the pooled features.
    head
        See :func:`cxrscreen.train.head.fit_head`; None: the linear layer is what the phases made it.
    """

    network: PatchNetwork = "resnet18"
    weights: str = "none"
    side: int = Field(default=224, ge=32, multiple_of=32)
    sources: tuple[str, ...] = Field(min_length=1)
    share: float = Field(default=1.0, gt=0, le=1)
    judged: int = Field(default=100, ge=1)
    phases: tuple[WeightedPhase, ...] = Field(min_length=1)
    augment: AugmentSettings
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    head: PatchHeadRecipe | None = None

    @model_validator(mode="after")
    def _varies_as_it_can(self) -> Self:
        _check_augmentation(self.augment)
        return self


class PatchVotingRecipe(Settings):
    """All of patch voting.

    Attributes
    ----------
    system
        ``patch_voting``.
    version
        Version that the bundle will carry.
    seed
        The one seed: splits, initial weights, batches, augmentation, places of the patches.
    gamma, working_side, image_side, approach, patch, patches, shown, pooling
        See :class:`cxrscreen.systems.patch_voting.preprocessing.Preprocessing`.
    organs, classifier
        The two networks.
    data_limits, licence
        What the card must say of the training data.
    """

    system: Literal["patch_voting"]
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    seed: int = Field(default=0, ge=0)
    compute: Compute = Compute()
    gamma: float = Field(default=0.5, gt=0, le=4)
    working_side: int | None = Field(default=None, ge=64)
    image_side: int = Field(default=1024, ge=32)
    approach: Approach = "local"
    patch: int = Field(default=224, ge=8)
    patches: int = Field(default=100, ge=1)
    shown: Shown = "masked"
    pooling: Pooling = "image"
    organs: OrganRecipe
    classifier: ClassifierRecipe
    data_limits: tuple[str, ...] = ()
    licence: str = "As the terms of the training images say. Code: Apache-2.0."

    @property
    def preprocessing(self) -> Preprocessing:
        """What screening must do as training did."""
        return Preprocessing(
            approach=self.approach,
            shown=self.shown,
            gamma=self.gamma,
            working_side=self.working_side,
            image_side=self.image_side,
            patch=self.patch,
            patches=self.patches,
            seed=self.seed,
            pooling=self.pooling,
        )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.patch > self.image_side:
            raise ValueError(f"a patch of {self.patch} pixels does not fit an image of {self.image_side}")
        if self.pooling == "lungs" and self.shown == "whole":
            raise ValueError("pooling over the lungs needs an image that is masked: shown must be masked or mask")
        return self


def _check_augmentation(augment: AugmentSettings) -> None:
    if augment.histogram or augment.blank:
        raise ValueError("augment.histogram and augment.blank are of the cascade alone: leave them out")
