"""The trainings behind the tables: read where they are finished, made where that is allowed."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.recipe import ReproduceRecipe, stages_recipe
from cxrscreen.evaluate.reproduce.sets import Sets, make_sets
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.learned import images_digest

if TYPE_CHECKING:
    from cxrscreen.systems.cascade.experiments import Bench

Training = Literal["lungs", "whole", "every", "plain", "open", "before", "covid-net"]
"""All sources: stage 2 with and without stage 1, both stages, these without the measures against shortcuts; the open
set, with and without COVID-19; COVID-Net's."""
_BOTH_STAGES = ("every", "plain", "open", "covid-net")

OUTPUTS, ABOUT = "outputs.csv", "about.json"


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning of the training on the open set by the clinic's images.

    Parameters
    ----------
    name
        Its folder.
    base, seed
        Seeds of the training and of the fine-tuning.
    weight
        Lambda of Eq. 2; None: the new images alone.
    stage
        What is fine-tuned.
    cases
        Patients with COVID-19 to learn from; None: all.
    start
        The training it starts from: ``"open"``; or ``"before"``, the stage 2 that knows no COVID-19, and then the cases
        alone are new.
    """

    name: str
    base: int
    seed: int
    weight: float | None
    stage: Literal["2", "3", "both"] = "both"
    cases: int | None = None
    start: Literal["open", "before"] = "open"


@dataclass(frozen=True)
class About:
    """What a finished run was made from.

    Parameters
    ----------
    bundle
        Whose stage 1.
    recipe_sha256, images_sha256
        Digests of settings and images.
    cases
        Patients with COVID-19 that the clinic gives to learn from.
    """

    bundle: str
    recipe_sha256: str
    images_sha256: str
    cases: int


@dataclass(eq=False)
class Runs:
    """Outputs of trainings and fine-tunings, by name.

    Parameters
    ----------
    work
        Keeps them.
    recipe
        Settings.
    make
        Bundle and images with which missing runs are made; None: a missing run is an error.
    """

    work: Path
    recipe: ReproduceRecipe
    make: tuple[Bundle, Manifest] | None = None
    _read: set[About] = field(default_factory=set)

    def trained(self, training: Training, seed: int) -> pd.DataFrame:
        """Held-out images and their logits; see :func:`cxrscreen.systems.cascade.experiments.train_stages`."""
        folder = self._training_folder(training, seed)
        return self._outputs(folder, lambda: self._train(training, seed, folder))

    def left_out(self, sources: tuple[str, ...], seed: int, *, plain: bool = False) -> pd.DataFrame:
        """The same of a training of both stages without some sources, all of whose images are asked about.

        ``plain``: without the measures against shortcuts; see :class:`cxrscreen.evaluate.reproduce.recipe.PlainRecipe`.
        """
        folder = self.work / ("left-out-plain" if plain else "left-out") / f"{'+'.join(sources)}-seed{seed}"
        return self._outputs(folder, lambda: self._train_without(sources, seed, folder, plain))

    def tuned(self, tuning: Tuning) -> pd.DataFrame:
        """Held-out images before and after; see :func:`cxrscreen.systems.cascade.experiments.adapt_stages`."""
        folder = self.work / tuning.name
        return self._outputs(folder, lambda: self._tune(tuning, folder))

    def begin(self) -> None:
        """Begin another table: what was read before is not part of its origin."""
        self._read.clear()

    @property
    def about(self) -> About:
        """What the runs read so far were made from.

        Raises
        ------
        RecipeError
            If they differ in it.
        """
        if len(self._read) != 1:
            raise RecipeError(
                "The work folder holds trainings of different recipes, images or bundles: give another --work."
            )
        return next(iter(self._read))

    def cases(self) -> int:
        """Patients with COVID-19 that the clinic gives to learn from."""
        if self.make is not None:
            return self._sets.cases()
        self.trained("open", self.recipe.seeds[0])
        return self.about.cases

    def _outputs(self, folder: Path, make: Callable[[], object]) -> pd.DataFrame:
        file, about = folder / OUTPUTS, folder / ABOUT
        if self.make is not None:
            # Called where the run is finished too: it refuses a folder that holds another recipe's or other data's.
            make()
            about.write_text(json.dumps(asdict(self._about), indent=1) + "\n", encoding="utf-8")
        if not (file.is_file() and about.is_file()):
            raise CxrscreenError(
                f"The work folder has no finished training {folder.relative_to(self.work)}: run without --table-only."
            )
        self._read.add(About(**json.loads(about.read_text(encoding="utf-8"))))
        return pd.read_csv(file, dtype={"image_id": str, "group": str})

    def _training_folder(self, training: Training, seed: int) -> Path:
        return self.work / "trainings" / f"{training}-seed{seed}"

    @cached_property
    def _sets(self) -> Sets:
        bundle, manifest = self._given
        return make_sets(manifest, self.recipe, bundle.card.data.seed)

    @cached_property
    def _about(self) -> About:
        bundle, manifest = self._given
        return About(bundle.card.bundle_id, self.recipe.digest, images_digest(manifest), self._sets.cases())

    @property
    def _given(self) -> tuple[Bundle, Manifest]:
        if self.make is None:
            raise ValueError("these runs are read, not made")
        return self.make

    @cached_property
    def _bench(self) -> "Bench":
        return self._bench_of(self.recipe)

    @cached_property
    def _plain_bench(self) -> "Bench":
        return self._bench_of(self.recipe.without_measures)

    def _bench_of(self, recipe: ReproduceRecipe) -> "Bench":
        experiments, (bundle, _) = _experiments(), self._given
        bench: Bench = experiments.Bench(
            bundle, stages_recipe(bundle, recipe), self._sets.manifest, self._sets.images, self.work
        )
        return bench

    def _train(self, training: Training, seed: int, folder: Path) -> None:
        sets = self._sets
        learned = {"open": sets.open, "before": sets.before, "covid-net": sets.covid_net}.get(training, sets.every)
        _experiments().train_stages(
            self._plain_bench if training == "plain" else self._bench,
            learned,
            # The open set's training is asked about the clinic too.
            sets.both if training == "open" else learned,
            folder,
            seed=seed,
            both=training in _BOTH_STAGES,
            masked=training not in ("whole", "plain"),
            # Both are trained on all sources: stage 2 once for the two.
            stage2_in=self._training_folder("lungs", seed) if training == "every" else None,
        )

    def _train_without(self, sources: tuple[str, ...], seed: int, folder: Path, plain: bool) -> None:
        learned, held = self._sets.without(sources)
        bench = self._plain_bench if plain else self._bench
        _experiments().train_stages(bench, learned, held, folder, seed=seed, masked=not plain)

    def _tune(self, tuning: Tuning, folder: Path) -> None:
        base = self._training_folder(tuning.start, tuning.base)
        self.trained(tuning.start, tuning.base)
        settings = {
            "seed": tuning.seed,
            "distillation": tuning.weight or 0.0,
            "with_old": tuning.weight is not None,
            "stage": tuning.stage,
        }
        recipe = type(self.recipe.adapt).model_validate(self.recipe.adapt.model_dump() | settings)
        if tuning.start == "before":
            cohort = self._sets.first_cases(tuning.cases or self._sets.cases(), tuning.seed)
            _experiments().tune_stage2(self._bench, base, cohort, recipe, folder)
        else:
            cohort = self._sets.cohort(tuning.cases, tuning.seed)
            _experiments().adapt_stages(self._bench, base, cohort, recipe, folder)


def _experiments() -> Any:
    try:
        # Torch is needed here alone, and only by those who train.
        from cxrscreen.systems.cascade import experiments  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error
    return experiments
