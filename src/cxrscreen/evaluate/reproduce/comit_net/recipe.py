"""Settings with which the tables and figures of the COMiT-Net paper are made again."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt

from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS, COMBINATIONS, TASK_4_ALONE, tasks_of
from cxrscreen.systems.comit_net.comparator_recipe import Comparator, EmbeddingComparator, load_comparator
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe, ComitPhase
from cxrscreen.train.recipe import Settings, load_recipe


def _checked(combination: str) -> str:
    tasks_of(combination)
    return combination


Combination = Annotated[str, AfterValidator(_checked)]


class ComitReproduceRecipe(Settings):
    """What is trained.

    Attributes
    ----------
    system
        ``comit_net``.
    own
        Recipe of COMiT-Net: a file beside this one, as are the comparators'.
    comparators
        Recipes of the comparators, in the order of the rows.
    combinations
        Combinations of tasks by their numbers, Table 5; with ``1234`` and ``4`` among them.
    seeds
        Of the initial weights, batches and augmentation: one training for each. The parts are those of the own
        recipe's seed always. Fig. 8 needs at least two.
    left_out
        Sets of sources that a further training of each variant does without, and is then asked about.
    left_out_seeds
        Of these trainings; None: all seeds.
    phases
        Runs of COMiT-Net in place of those of its recipe; None: those.
    """

    system: Literal["comit_net"]
    own: str
    comparators: tuple[str, ...] = ()
    combinations: tuple[Combination, ...] = COMBINATIONS
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    left_out: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    left_out_seeds: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    phases: tuple[ComitPhase, ...] | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class Variants:
    """The recipes behind the tables.

    Parameters
    ----------
    settings
        What is trained.
    own
        COMiT-Net with all its tasks.
    comparators
        By name, in order.
    """

    settings: ComitReproduceRecipe
    own: ComitNetRecipe
    comparators: dict[str, Comparator]

    @property
    def digest(self) -> str:
        """SHA-256 of all that a finished training depends on: not which tables, seeds or sets are asked for.

        Nor what a card says, or the tasks, seed and computer: a training has its own of the first two.
        """
        learned = {"data", "low", "high", "network", "loss", "phases", "augment"}
        settings = {"splitting": self.own.splitting, **self.own.model_dump(mode="json", include=learned)}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @property
    def on_embedding(self) -> tuple[str, ...]:
        """Comparators that are fitted on the embedding of COMiT-Net."""
        return tuple(name for name, each in self.comparators.items() if isinstance(each, EmbeddingComparator))

    def seeds_never_trained_on(self) -> tuple[str, ...]:
        """A sentence where figures of sources that were left out are of fewer trainings than the others beside them."""
        fewer = self.seeds(left_out=True)
        if not self.settings.left_out or fewer == self.seeds():
            return ()
        word = "seed" if len(fewer) == 1 else "seeds"
        named = ", ".join(map(str, fewer))
        return (f"Never trained on: {word} {named} alone, of the seeds {', '.join(map(str, self.seeds()))}.",)

    @property
    def length(self) -> str:
        """How long COMiT-Net is trained, and on what size, in a sentence beside the paper's (section 4)."""
        runs = " and ".join(
            f"{phase.epochs} epochs of {f'{phase.batches} batches' if phase.batches else 'all images in batches'} "
            f"of {phase.batch}"
            for phase in self.own.phases
        )
        side = self.own.network.side
        return (
            f"COMiT-Net is trained for at most {runs}, at {side} x {side} pixels; the paper's for 30 epochs of all "
            "images in batches of 16, at 224 x 224."
        )

    def of_kind(self, kind: Literal["classifier", "masks", "embedding"]) -> tuple[str, ...]:
        """Names of the comparators of a kind, in order."""
        return tuple(name for name, each in self.comparators.items() if each.kind == kind)

    def seeds(self, *, left_out: bool = False) -> tuple[int, ...]:
        """Seeds of the trainings on all sources, or of those that do without some."""
        own = self.settings
        return own.left_out_seeds if left_out and own.left_out_seeds is not None else own.seeds


def load_variants(recipe: Path) -> Variants:
    """Read the settings and the recipes they name.

    Raises
    ------
    RecipeError
        If a file cannot be read, a name comes twice, or a combination that every table needs is missing.
    """
    settings = load_recipe(recipe, ComitReproduceRecipe)
    own = load_recipe(recipe.parent / settings.own, ComitNetRecipe)
    if settings.phases is not None:
        own = own.model_copy(update={"phases": settings.phases})
    found = [load_comparator(recipe.parent / name) for name in settings.comparators]
    comparators = {each.name: each for each in found}
    for name, values in (
        ("comparators", [each.name for each in found]),
        ("combinations", settings.combinations),
        ("seeds", settings.seeds),
        ("left_out", [source for together in settings.left_out for source in together]),
    ):
        if len(set(values)) != len(values):
            raise RecipeError(f"The recipe {recipe.name} is wrong at {name}: name each once.")
    if not {ALL_TASKS, TASK_4_ALONE} <= set(settings.combinations):
        raise RecipeError(f"The recipe {recipe.name} is wrong at combinations: {ALL_TASKS} and {TASK_4_ALONE} lack.")
    return Variants(settings, own, comparators)
