"""Settings of an adaptation to a new disease; all have a default."""

from typing import Literal

from pydantic import Field, field_validator

from cxrscreen.train.recipe import AugmentSettings, Compute, Phase, Settings


class AdaptRecipe(Settings):
    """How a bundle is adapted.

    Attributes
    ----------
    system
        ``cascade``.
    seed
        The one seed: splits of images that the bundle does not know, drawn cases, batches, augmentation.
    distillation
        Lambda of Eq. 2: how much the adapted networks hold to the outputs of the bundle on the old images. 0: plain
        training on old and new images.
    stage
        ``both``: stage 2, then stage 3. ``3`` alone suits a single source without normal images.
    with_old
        Learn from the old images too. False: plain fine-tuning on the new ones, to show what is forgotten.
    new_share
        Chance that an image drawn from a group (normal, other pneumonia, the new disease) is a new one, where the
        group holds both. None: all images of a group have the same chance, as in the paper.
    smoothing
        Label smoothing; 0 as in Eq. 2.
    stage2, stage3
        Lengths and learning rates.
    augment
        Variation of the training images.
    """

    system: Literal["cascade"] = "cascade"
    seed: int = Field(default=0, ge=0)
    distillation: float = Field(default=1.0, ge=0)
    stage: Literal["2", "3", "both"] = "both"
    with_old: bool = True
    new_share: float | None = Field(default=None, gt=0, lt=1)
    smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    compute: Compute = Compute()
    stage2: Phase = Phase(epochs=5, batches=40, batch=36, learning_rate=1e-4, ema=0.98)
    stage3: Phase = Phase(epochs=5, batches=40, batch=36, learning_rate=1e-4, ema=0.98)
    augment: AugmentSettings = AugmentSettings()

    @field_validator("augment")
    @classmethod
    def _whole_images(cls, augment: AugmentSettings) -> AugmentSettings:
        if augment.blank:
            raise ValueError("adapting holds to outputs for whole images: blank must be 0")
        return augment
