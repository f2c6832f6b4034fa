"""The cascade's recipe: every number of its training, so that a small run and the paper's differ in YAML only."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from cxrscreen.systems.cascade.pipeline import Pooling, Preprocessing
from cxrscreen.train.recipe import AugmentSettings, Compute, HeadRecipe, Phase, Settings


class LungPhase(Phase):
    """A run of stage 1.

    Attributes
    ----------
    source_weights
        Relative weight of each source; see :class:`cxrscreen.train.batches.EvenBatches`.
    augment
        Variation of the training images in this run; None: that of the recipe.
    """

    source_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    augment: AugmentSettings | None = None


class LungRecipe(Settings):
    """Stage 1.

    Attributes
    ----------
    protocol
        ``lungs`` (Shenzhen and Montgomery, as in the paper) or ``lungs-any`` (every human mask).
    width
        Channels of the U-Net at full resolution.
    side
        Side of the U-Net's input, pixels.
    phases
        Runs one after the other, each from the best weights of the one before.
    augment
        Variation of the training images.
    partial
        Training images drawn from each source whose masks run through the heart; they supervise only where both
        conventions agree. 0: the paper's data alone.
    """

    protocol: Literal["lungs", "lungs-any"] = "lungs"
    width: int = Field(default=64, ge=4)
    side: int = Field(ge=32, multiple_of=16)
    phases: tuple[LungPhase, ...] = Field(min_length=1)
    augment: AugmentSettings
    partial: int = Field(default=0, ge=0)


Network = Literal["densenet121", "efficientnet-lite0"]
"""As :data:`cxrscreen.nets.named.NetworkName`, which needs torch."""


class StagePhase(Phase):
    """A run of stage 2 or 3.

    Attributes
    ----------
    side
        Side of the input while it runs, pixels.
    without_covid19
        Pre-train on the old data D_o alone.
    distillation
        Lambda of Eq. 2: how much this phase holds to the outputs of the one before, on D_o. 0: not at all.
    imitation
        Share of the loss that is the divergence from the tutor's output. 0: the labels alone.
    hint
        Weight of the difference from the tutor's feature maps, which is added to the loss. 0: none.
    keep
        State that is kept: the ``best`` by the validation score, or the ``last``, where the validation images are too
        few or too easy to choose by.
    """

    side: int = Field(ge=32, multiple_of=32)
    without_covid19: bool = False
    distillation: float = Field(default=0.0, ge=0)
    imitation: float = Field(default=0.0, ge=0, le=1)
    hint: float = Field(default=0.0, ge=0)
    keep: Literal["best", "last"] = "best"


class StageRecipe(Settings):
    """Stage 2 or stage 3.

    Attributes
    ----------
    network
        ``densenet121``, as in the paper, or ``efficientnet-lite0``, whose ImageNet weights install as a package.
    weights
        Initial weights: ``none``, ``imagenet``, a path to a checkpoint, or for stage 3 ``stage2``.
    phases
        Runs one after the other, each from the kept weights of the one before.
    head
        Fitted after all phases, see :func:`cxrscreen.train.head.fit_head`; None: the head is what the phases made it.
        Without any phase the rest of the network stays as ``weights`` has it: where a class has a few dozen images of
        the hospitals that matter, a whole network only learns these by heart.
    augment
        Variation of the training images in the phases.
    source_weights
        Relative weight of a source in each drawn group; see :class:`cxrscreen.train.batches.EvenBatches`.
    smoothing
        Label smoothing.
    dropout
        Dropout of the pooled features.
    odds_limit
        Log odds up to which a source's share of the classes is taken out of the logits while training; see
        :meth:`cxrscreen.train.batches.EvenBatches.source_odds`. 0: not at all, as in the paper.
    """

    network: Network = "densenet121"
    weights: str = "none"
    phases: tuple[StagePhase, ...] = ()
    head: HeadRecipe | None = None
    augment: AugmentSettings = AugmentSettings()
    source_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    odds_limit: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if not self.phases and (self.head is None or self.weights == "none"):
            raise ValueError("nothing would be trained: give phases, or a head on weights that were trained before")
        return self


class CascadeRecipe(Settings):
    """All of the cascade.

    Attributes
    ----------
    system
        ``cascade``.
    version
        Version that the bundle will carry.
    seed
        The one seed: splits, initial weights, batches, augmentation.
    working_side, side
        Longest side to which radiographs are reduced, and side of the classifiers' input, pixels.
    margin, dilation
        Margin around the lungs' box and growth of the filtering mask, as shares; see
        :class:`cxrscreen.systems.cascade.roi.RoiSettings`.
    h2
        Reading of Eq. 1 that weights the input of stage 3: ``cam`` (class-weighted) or ``literal`` (pooled feature
        laid out as a rectangle).
    pooling
        What the classifiers pool their features over: the whole ``image``, as in the paper, or the ``lungs`` alone.
    mirrored
        Stage 3 sees every radiograph and its mirror image when it screens, and its answers are averaged.
    tutor
        An EfficientNet-Lite0 trained first on both decisions at once, which stages 2 and 3 imitate: small data need
        features learned elsewhere, and its ImageNet weights install with the package. Not part of the bundle; its
        ``network`` is always ``efficientnet-lite0``, and what is kept of it is fixed.
    data_limits, licence
        What the card must say of the training data.
    """

    system: Literal["cascade"]
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    seed: int = Field(default=0, ge=0)
    compute: Compute = Compute()
    working_side: int = Field(ge=64)
    margin: float = Field(default=0.04, ge=0, lt=1)
    dilation: float = Field(default=0.02, ge=0, lt=1)
    side: int = Field(ge=32, multiple_of=32)
    h2: Literal["cam", "literal"] = "cam"
    pooling: Pooling = "image"
    mirrored: bool = False
    lungs: LungRecipe
    tutor: StageRecipe | None = None
    stage2: StageRecipe
    stage3: StageRecipe
    data_limits: tuple[str, ...] = ()
    licence: str = "As the terms of the training images say. Code: Apache-2.0."

    @property
    def preprocessing(self) -> Preprocessing:
        """What screening must do as training did."""
        return Preprocessing(
            working_side=self.working_side,
            margin=self.margin,
            dilation=self.dilation,
            h2=self.h2,
            pooling=self.pooling,
            mirrored=self.mirrored,
        )

    @field_validator("tutor")
    @classmethod
    def _tutors_network(cls, tutor: StageRecipe | None) -> StageRecipe | None:
        return tutor.model_copy(update={"network": "efficientnet-lite0"}) if tutor else None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.stage2.weights == "stage2":
            raise ValueError("stage2.weights cannot be stage2: use none, imagenet or a path")
        if self.stage3.weights == "stage2" and self.stage3.network != self.stage2.network:
            raise ValueError(f"stage3 starts from stage2's weights: its network must be {self.stage2.network} too")
        if any(phase.without_covid19 for phase in self.stage3.phases):
            raise ValueError("stage3 cannot be trained without_covid19")
        for name, stage in (("stage2", self.stage2), ("stage3", self.stage3)):
            if self.tutor is None and any(phase.imitation or phase.hint for phase in stage.phases):
                raise ValueError(f"{name} imitates a tutor, but the recipe has none")
            if any((phase.imitation or phase.hint) and phase.distillation for phase in stage.phases):
                raise ValueError(f"a phase of {name} has both imitation and distillation: choose one")
            if stage.augment.blank and any(phase.distillation for phase in stage.phases):
                raise ValueError(f"{name} holds to outputs for whole images: augment.blank must be 0 with distillation")
            if stage.phases and stage.phases[0].distillation:
                raise ValueError(f"the first phase of {name} has no phase before it to distil")
            if stage.phases and stage.phases[-1].side != self.side:
                raise ValueError(f"the last phase of {name} must have the side {self.side} that screening uses")
        if self.lungs.partial and self.lungs.protocol != "lungs":
            raise ValueError("lungs.partial goes with the protocol lungs")
        return self

    @model_validator(mode="after")
    def _tutor_agrees(self) -> Self:
        if self.tutor and any(p.imitation or p.hint or p.distillation or p.without_covid19 for p in self.tutor.phases):
            raise ValueError("the tutor learns from labels: no imitation, distillation or without_covid19")
        if self.tutor and (self.tutor.head is not None or not self.tutor.phases):
            raise ValueError("the tutor learns in phases alone: its head must not be fitted by itself")
        if self.tutor and self.tutor.augment.blank:
            raise ValueError("the tutor learns two decisions from labels: its augment.blank must be 0")
        if self.tutor and any(phase.keep != "best" for phase in self.tutor.phases):
            raise ValueError("keep is no choice of the tutor: stage2 learns from its last state, stage3 from its best")
        return self
