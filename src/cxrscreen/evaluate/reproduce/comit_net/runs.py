"""The trainings behind the tables: read where they are finished, made where that is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS, TASK_NUMBERS, tasks_of
from cxrscreen.evaluate.reproduce.comit_net.recipe import Variants
from cxrscreen.evaluate.reproduce.kept import About, Kept
from cxrscreen.systems.comit_net.answers import ARRAYS, LEFT_OUT, Answers, Floats, load_answers
from cxrscreen.systems.comit_net.comparator_recipe import EmbeddingComparator
from cxrscreen.systems.comit_net.labels import COVID19, OTHER, UNHEALTHY, diagnosis_of, health_of
from cxrscreen.train.embedding_classifier import fit_on_embedding

IMAGES, COMPARATOR = "images.csv", "comparator.json"
FACTS = ("image_id", "source", "group", "label")
ANSWER_OF = {UNHEALTHY: "unhealthy", COVID19: "covid19", OTHER: "other"}
"""Which of the answers belongs to a decision."""
Key = tuple[str, int, tuple[str, ...]]
"""Variant, seed, and sources left out."""


@dataclass(eq=False)
class ComitRuns:
    """Answers of trainings, by variant, seed and sources left out.

    A variant is a combination of tasks such as ``"124"``, or the name of a comparator.

    Parameters
    ----------
    work
        Keeps them.
    variants
        The recipes.
    manifest
        Images with which missing trainings are made; None: a missing one is an error.
    """

    work: Path
    variants: Variants
    manifest: Manifest | None = None
    _fitted: dict[Key, Answers] = field(default_factory=dict, repr=False)
    _scored: dict[tuple[Key, str], pd.DataFrame] = field(default_factory=dict, repr=False)

    def answers(self, variant: str, seed: int, left_out: tuple[str, ...] = ()) -> Answers:
        """What one training says; that of a classifier on the embedding has probabilities alone."""
        key = (variant, seed, left_out)
        if not isinstance(self.variants.comparators.get(variant), EmbeddingComparator):
            return self._trained(*key)
        if key not in self._fitted:
            self._fitted[key] = self._on_embedding(*key)
        return self._fitted[key]

    def scores(
        self, variant: str, seed: int, part: str, left_out: tuple[str, ...] = (), decision: str = COVID19
    ) -> pd.DataFrame:
        """Scores of the images of a part that a decision is asked about, has been given for, and has a truth for.

        Returns
        -------
        DataFrame
            image_id, source, group, label, truth (1 for positive, COVID-19 by default) and score (in [0, 1]).
        """
        key = ((variant, seed, left_out), decision)
        if key not in self._scored:
            found = self.answers(*key[0])
            scores: Floats = getattr(found, ANSWER_OF[decision])
            rows = pd.DataFrame({"image_id": found.image_ids, "part": found.parts, "score": scores.astype(float)})
            rows = rows.merge(self.facts, on="image_id", how="left")
            rows["truth"] = [_truth(decision, str(label)) for label in rows["label"]]
            self._scored[key] = rows.dropna(subset=["truth", "score"]).astype({"truth": int})
        own = self._scored[key]
        return own[own["part"] == part].drop(columns="part").reset_index(drop=True)

    def trainings(self, variant: str, part: str, decision: str = COVID19) -> list[pd.DataFrame]:
        """Scores of a part by all trainings on all sources."""
        return [self.scores(variant, seed, part, (), decision) for seed in self.variants.seeds()]

    def left_out(
        self, variant: str, sets: Sequence[tuple[str, ...]] | None = None, decision: str = COVID19
    ) -> list[pd.DataFrame]:
        """Scores of sources that were not learned from, for each seed: every set's by the training without it.

        Parameters
        ----------
        variant
            See above.
        sets
            Which sets; None: all of the recipe.
        decision
            Whose scores.
        """
        asked = self.variants.settings.left_out if sets is None else sets
        if not asked:
            return []
        return [
            pd.concat(
                [self.scores(variant, seed, LEFT_OUT, together, decision) for together in asked], ignore_index=True
            )
            for seed in self.variants.seeds(left_out=True)
        ]

    def regions(self, variant: str, region: str) -> pd.DataFrame:
        """Pixels of a region, of images that trained nothing, by all trainings on all sources, a row for each."""
        found = [self.answers(variant, seed).regions for seed in self.variants.seeds()]
        own = [table[table["region"] == region].merge(self.facts, on="image_id", how="left") for table in found]
        return pd.concat(own, ignore_index=True)

    @cached_property
    def facts(self) -> pd.DataFrame:
        """Source, patient group and label of every image."""
        _ = self.about
        return pd.read_csv(self.work / IMAGES, dtype=str, keep_default_na=False)

    @cached_property
    def about(self) -> About:
        """What all runs are made from.

        Raises
        ------
        CxrscreenError
            If nothing has been made here.
        RecipeError
            If trainings of another recipe or of other images are here.
        """
        about = Kept(self.work, self.variants.digest, self.manifest).about
        if self.manifest is not None:
            self.manifest.table[list(FACTS)].to_csv(self.work / IMAGES, index=False, lineterminator="\n")
        return about

    def _trained(self, variant: str, seed: int, left_out: tuple[str, ...]) -> Answers:
        _ = self.about
        base = self.work / (f"without-{'-'.join(left_out)}" if left_out else "all-sources")
        folder = base / _folder_name(variant) / f"seed-{seed}"
        if not (folder / ARRAYS).is_file():
            if self.manifest is None:
                raise CxrscreenError(
                    f"The work folder has no finished {folder.relative_to(self.work)}: run without --table-only."
                )
            made = self._make(variant, seed, left_out, folder)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / COMPARATOR).write_text(self._settings(variant), encoding="utf-8")
            made.save(folder)
        if (folder / COMPARATOR).read_text(encoding="utf-8") != self._settings(variant):
            raise RecipeError(f"The work folder holds {variant} of another recipe: give another --work, or remove it.")
        return load_answers(folder)

    def _settings(self, variant: str) -> str:
        comparator = self.variants.comparators.get(variant)
        return "{}" if comparator is None else comparator.model_dump_json()

    def _make(self, variant: str, seed: int, left_out: tuple[str, ...], folder: Path) -> Answers:
        made: Answers
        own, comparator = self.variants.own, self.variants.comparators.get(variant)
        shared = {"seed": seed, "left_out": left_out, "folder": folder, "images_in": self.work / "images"}
        if comparator is None:
            # Classifiers are fitted on the embedding of all tasks alone.
            asked = {"ask_learned": variant == ALL_TASKS}
            made = _experiments().combination_answers(own, self.manifest, tasks_of(variant), **shared, **asked)
        else:
            made = _experiments().comparator_answers(own, self.manifest, comparator, **shared)
        return made

    def _on_embedding(self, variant: str, seed: int, left_out: tuple[str, ...]) -> Answers:
        comparator = self.variants.comparators[variant]
        assert isinstance(comparator, EmbeddingComparator)
        base = self.answers(ALL_TASKS, seed, left_out)
        learned = np.flatnonzero(np.asarray(base.parts) == "train")
        label = self.facts.set_index("image_id")["label"]
        truth = np.array([diagnosis_of(label[base.image_ids[row]])[0] for row in learned], np.int64)
        score = fit_on_embedding(comparator, base.pooled[learned], truth, seed=seed)
        count = len(base.image_ids)
        none = np.full(count, np.nan)
        flat, empty = np.zeros((count, 0), np.float32), np.zeros((count, 0, 0), np.float32)
        scores = score(base.pooled).astype(np.float64)
        return Answers(base.image_ids, base.parts, scores, none, none, flat, empty, empty, base.regions.iloc[:0])


def _truth(decision: str, label: str) -> float:
    covid19, other = diagnosis_of(label)
    return {UNHEALTHY: health_of(label), COVID19: covid19, OTHER: other}[decision]


def _folder_name(variant: str) -> str:
    return f"tasks-{variant}" if set(variant) <= set(TASK_NUMBERS) else variant


def _experiments() -> Any:
    try:
        # Torch is needed here alone, and only by those who train.
        from cxrscreen.systems.comit_net import experiments  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error
    return experiments
