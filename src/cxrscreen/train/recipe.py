"""Settings that recipes share, and how a recipe is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from cxrscreen.errors import RecipeError
from cxrscreen.train.crew import batch_share, crew_for


class Settings(BaseModel):
    """Base of all recipe parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HeadRecipe(Settings):
    """The linear layer fitted by itself, as a logistic regression on the features of the network as it is.

    Attributes
    ----------
    penalty
        Strength of the penalty on the squared weights of standardised features, against the mean loss.
    """

    penalty: float = Field(default=0.2, gt=0)


class AugmentSettings(Settings):
    """Ranges from which training images are varied; all anatomically possible, none used at inference.

    Attributes
    ----------
    rotation
        Largest rotation, degrees.
    scale, aspect, shift
        Largest relative change of size, of the sides' ratio, and shift as a share of the side.
    flip
        Probability of mirroring left and right.
    gamma, contrast, brightness
        Largest change: exponent in [1/(1+g), 1+g], factor in [1-c, 1+c], offset in [-b, b].
    blur
        Largest Gaussian sigma, as a share of the side (sharpness tells sources apart).
    noise
        Largest standard deviation of added noise, grey range 1.
    histogram
        Probability of giving an image the grey-value distribution of another training image.
    erase
        Probability of blanking a rectangle.
    blank
        Probability of filling the lungs with one grey value and asking for no decision, so that what is left (outline
        and place) speaks for neither class. Classifiers alone.
    """

    rotation: float = Field(default=10.0, ge=0, le=45)
    scale: float = Field(default=0.10, ge=0, lt=0.5)
    aspect: float = Field(default=0.08, ge=0, lt=0.5)
    shift: float = Field(default=0.05, ge=0, lt=0.5)
    flip: float = Field(default=0.5, ge=0, le=1)
    gamma: float = Field(default=0.3, ge=0, le=2)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    brightness: float = Field(default=0.1, ge=0, lt=1)
    blur: float = Field(default=0.006, ge=0, le=0.1)
    noise: float = Field(default=0.02, ge=0, le=0.5)
    histogram: float = Field(default=0.0, ge=0, le=1)
    erase: float = Field(default=0.0, ge=0, le=1)
    blank: float = Field(default=0.0, ge=0, lt=1)


class Phase(Settings):
    """One run of the loop: a resolution, a length and a learning rate.

    Attributes
    ----------
    epochs
        Most epochs; ``patience`` may end it sooner.
    batches
        Batches in an epoch; None: as many as the training set fills.
    batch
        Images in a batch, over all devices together.
    even_patients
        Within a group and a source each patient is drawn as often as any other, whatever the number of images; images
        that the manifest links as copies count as one patient's. False: each image is.
    learning_rate, weight_decay, warmup
        AdamW with one cosine cycle; ``warmup`` is the rising share of it.
    ema
        Decay of the averaged weights that are validated and kept; 0 turns averaging off.
    patience
        Epochs without a better validation score before the phase ends.
    """

    epochs: int = Field(ge=1)
    batches: int | None = Field(default=None, ge=1)
    batch: int = Field(default=32, ge=1)
    even_patients: bool = False
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.1, gt=0, lt=1)
    ema: float = Field(default=0.998, ge=0, lt=1)
    patience: int = Field(default=1000, ge=1)

    @model_serializer(mode="wrap")
    def _as_told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a card or a work folder says of a phase stays what it was before patients could be drawn evenly.
        content: dict[str, Any] = handler(self)
        if not self.even_patients:
            content.pop("even_patients", None)
        return content


class Compute(Settings):
    """Where and how numbers are computed.

    Attributes
    ----------
    precision
        As Lightning names it: ``"32-true"``, ``"bf16-mixed"``, ``"16-mixed"``.
    accelerator
        ``"auto"`` takes a GPU where there is one.
    threads
        Threads of one process; None leaves torch's choice.
    devices, nodes
        Devices of one node, and nodes: each device gets a process and its share of every batch, so that a recipe means
        the same on any number of them. More than one node needs torchrun; see docs/training-at-scale.md.
    strategy
        As Lightning names it; the second one is for networks of which a batch may leave parameters unused.
    """

    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    accelerator: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp"

    def alone(self) -> "Compute":
        """The same in one process: what a result depends on, which is not how many devices share the work."""
        return self.model_copy(update={"devices": 1, "nodes": 1, "strategy": "ddp"})

    @model_serializer(mode="wrap")
    def _as_told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a card or a work folder says of a training by one process stays what it was before there were several.
        content: dict[str, Any] = handler(self)
        if self.devices == self.nodes == 1:
            for name in ("devices", "nodes", "strategy"):
                content.pop(name, None)
        return content


S = TypeVar("S", bound=Settings)


def load_recipe(path: Path, kind: type[S]) -> S:
    """Read a YAML recipe.

    Raises
    ------
    RecipeError
        If the file is missing, is no YAML mapping, a setting is unknown, missing or out of range, or the batch of a
        phase cannot be shared out evenly over the processes.
    """
    if not path.is_file():
        raise RecipeError(f"No recipe at {path}: give a YAML file, for example recipes/cascade-cpu.yaml.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # PyYAML lets an impossible date through as a plain ValueError.
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"The recipe {path.name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"The recipe {path.name} is not a mapping of settings: see recipes/ for examples.")
    try:
        recipe = kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"The recipe {path.name} is wrong at {where}: {first['msg']}.") from error
    if isinstance(compute := getattr(recipe, "compute", None), Compute):
        size = crew_for(compute).size
        for phase in _phases(recipe):
            batch_share(phase.batch, size)
    return recipe


def _phases(settings: Settings) -> Iterator[Phase]:
    """The phases that a recipe names, at any depth."""
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Phase):
                yield each
            elif isinstance(each, Settings):
                yield from _phases(each)
