"""Settings with which the tables of the cascade paper are made again."""

import hashlib
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from cxrscreen.errors import BundleError, RecipeError
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.recipe import CascadeRecipe, StageRecipe
from cxrscreen.train.recipe import AugmentSettings, Compute, Settings


class CovidNetRecipe(Settings):
    """The split of Table 7.

    Attributes
    ----------
    sources
        Whose images it is drawn from.
    normal, pneumonia, covid19
        Test images; 100, 100 and 31 in the paper.
    """

    sources: tuple[str, ...] = ("cohen", "nih", "radiography-normal")
    normal: PositiveInt = 100
    pneumonia: PositiveInt = 100
    covid19: PositiveInt = 31


class PlainRecipe(Settings):
    """The same trainings without what was done against shortcuts, for the sources that are left out.

    The whole radiograph without stage 1, drawn without regard to sources; a source's share of the classes stays in the
    logits.

    Attributes
    ----------
    augment
        Variation of the training images: shapes alone, no grey values, sharpness or noise.
    """

    augment: AugmentSettings = AugmentSettings(gamma=0, contrast=0, brightness=0, blur=0, noise=0)


class ReproduceRecipe(Settings):
    """Lengths, sizes and seeds; stage 1 and all sizes of the images are those of a bundle.

    Attributes
    ----------
    system
        ``cascade``.
    seeds
        Trainings that tables 3 to 7 average over: initial weights, batches and augmentation; the split stays.
    repeats
        Fine-tunings of the lambda sweep and the learning curve, all from a training with the first seed.
    compute
        Where the stages are trained.
    clinic
        The source that plays the clinic of tables 5 and 6: no image of it, nor a copy of one, nor another image of
        its patients, is in the first training.
    covid_net
        The split of table 7.
    left_out
        Sources that are left out of a training, one set after the other; sources of one hospital go together.
    plain
        Of the same trainings without the measures against shortcuts; None: these are not made.
    stage2, stage3
        As in a cascade's recipe, without a tutor.
    adapt
        The fine-tuning by Eq. 2; its ``distillation`` is the lambda of table 5 and of the learning curve, its seed,
        stage and ``with_old`` are set by the tables.
    lambdas
        Of the sweep; the new images alone are always compared.
    new_cases
        Patients with the new disease of the sweep: the clinic's first.
    cases
        Patients with the new disease of the learning curve; all of them always follow.
    """

    system: Literal["cascade"] = "cascade"
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    repeats: tuple[int, ...] = Field(default=(0, 1, 2), min_length=1)
    compute: Compute = Compute()
    clinic: str = "cohen"
    covid_net: CovidNetRecipe = CovidNetRecipe()
    left_out: tuple[tuple[str, ...], ...] = (
        ("nih", "radiography-normal"),
        ("shenzhen",),
        ("montgomery",),
        ("kermany",),
        ("cohen",),
    )
    plain: PlainRecipe | None = None
    stage2: StageRecipe
    stage3: StageRecipe
    adapt: AdaptRecipe = AdaptRecipe()
    lambdas: tuple[float, ...] = (0.0, 0.1, 1.0, 10.0)
    new_cases: PositiveInt = 50
    cases: tuple[PositiveInt, ...] = (10, 25, 50, 100)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        for name in ("seeds", "repeats", "lambdas", "cases"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or any(value < 0 for value in values):
                raise ValueError(f"{name} must be different numbers from 0 up")
        if any(not names or len(set(names)) < len(names) for names in self.left_out):
            raise ValueError("left_out must be lists of different sources, none of them empty")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all settings but the seeds, which every table names beside it."""
        return hashlib.sha256(self.model_dump_json(exclude={"seeds", "repeats"}).encode()).hexdigest()

    @property
    def without_measures(self) -> "ReproduceRecipe":
        """The recipe of the plain trainings."""
        if self.plain is None:
            raise ValueError("the recipe has no plain trainings")
        changes = {"augment": self.plain.augment, "source_weights": {}, "odds_limit": 0.0}
        return self.model_copy(
            update={name: getattr(self, name).model_copy(update=changes) for name in ("stage2", "stage3")}
        )

    def seeded(self, seeds: tuple[int, ...] | None) -> "ReproduceRecipe":
        """The same with other seeds for every table; None: as they are."""
        if seeds is None:
            return self
        try:
            return ReproduceRecipe.model_validate(self.model_dump() | {"seeds": seeds, "repeats": seeds})
        except ValidationError as error:
            raise RecipeError("The seeds must be different numbers from 0 up, for example --seeds 0,1,2.") from error


def stages_recipe(bundle: Bundle, recipe: ReproduceRecipe) -> CascadeRecipe:
    """The bundle's own recipe with the stages of this one: same lungs, same sizes, same preprocessing.

    Raises
    ------
    BundleError
        If the bundle's card holds no cascade's recipe.
    RecipeError
        If the stages do not fit the bundle, for example its input side.
    """
    own: dict[str, Any] = dict(bundle.card.recipe)
    try:
        base = CascadeRecipe.model_validate(own)
    except ValidationError as error:
        raise BundleError(
            f"{bundle.card.bundle_id} does not carry the recipe of a cascade: give one that was trained, not adapted."
        ) from error
    settings = recipe.model_dump(include={"compute", "stage2", "stage3"}) | {"tutor": None}
    try:
        return CascadeRecipe.model_validate(base.model_dump() | settings)
    except ValidationError as error:
        raise RecipeError(f"The recipe does not fit the bundle: {error.errors()[0]['msg']}.") from error
