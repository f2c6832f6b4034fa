"""The trainings behind the tables: read where they are finished, made where that is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import CxrscreenError, ManifestError, RecipeError
from cxrscreen.evaluate.patch_voting import Voter, class_scores, organ_overlaps
from cxrscreen.evaluate.reproduce.kept import About, Kept
from cxrscreen.evaluate.reproduce.patch_voting.covid_net_split import COVID_NET, three_classes
from cxrscreen.evaluate.reproduce.patch_voting.recipe import Variants
from cxrscreen.imaging.enhancement import WHITE, resize_to_square
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import Engine
from cxrscreen.systems.patch_voting.morphology import organ_mask, organ_probabilities
from cxrscreen.systems.patch_voting.pipeline import Organs, find_organs
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, reduced
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT, ORGAN_SPLIT
from cxrscreen.systems.registry import load_system

NORMAL_OR_NOT = ("normal", "diseased")
"""The classes of the network that sees the mask alone; diseased is any but the first of the system's."""
SETS = ("lungs", "heart", "elsewhere", "elsewhere, raw")
"""What an organ network is measured on: lungs and hearts of its own source's test images, and lungs of the source that
trained none, with and without the universal preprocessing."""


@dataclass(eq=False)
class PatchRuns:
    """Outputs of trainings, by the name of their variant; see :class:`Variants`.

    Parameters
    ----------
    work
        Keeps them.
    variants
        The recipes.
    manifest
        Images with which missing runs are made; None: a missing run is an error.
    """

    work: Path
    variants: Variants
    manifest: Manifest | None = None

    def organs(self, name: str) -> pd.DataFrame:
        """Overlaps of an organ network with the reference masks, an image a row, ``set`` being one of :data:`SETS`."""
        name = self.variants.same(name)
        folder = Path("organs", name)
        return self._kept.table(
            folder, "overlaps.csv", lambda given: self._measure_organs(name, self.work / folder, given)
        )

    def votes(self, name: str) -> pd.DataFrame:
        """Votes of a classifier on the test part; see :func:`cxrscreen.evaluate.patch_voting.class_scores`."""
        name = self.variants.same(name)
        folder = Path("votes", name)
        return self._kept.table(
            folder, "classes.csv", lambda given: self._measure_votes(name, self.work / folder, given)
        )

    def covid_net(self) -> pd.DataFrame:
        """Votes among COVID-Net's three classes on a test set of its counts; columns as of :meth:`votes`."""
        folder = Path("covid-net")
        return self._kept.table(folder, "classes.csv", lambda given: self._measure_covid_net(self.work / folder, given))

    def mask_alone(self) -> pd.DataFrame:
        """Calls of :data:`NORMAL_OR_NOT` by a network that sees the lungs' mask alone; columns as of :meth:`votes`."""
        folder = Path("mask-alone")
        return self._kept.table(
            folder, "classes.csv", lambda given: self._measure_mask_alone(self.work / folder, given)
        )

    @property
    def about(self) -> About:
        """What all runs are made from; raises as :class:`cxrscreen.evaluate.reproduce.kept.Kept`."""
        return self._kept.about

    @cached_property
    def _kept(self) -> Kept:
        return Kept(self.work, self.variants.digest, self.manifest)

    def _measure_organs(self, name: str, folder: Path, manifest: Manifest) -> pd.DataFrame:
        recipe = self.variants.organs(name)
        engine = _experiments().organ_engine(recipe, manifest, folder)
        prepared = _Segmenter(engine, recipe.preprocessing, prepared=True)
        raw = _Segmenter(engine, recipe.preprocessing, prepared=False)
        own = make_split(ORGAN_SPLIT, manifest, recipe.seed).test
        elsewhere = self._elsewhere(manifest)
        asked: tuple[tuple[str, _Segmenter, Sequence[str], str], ...] = (
            ("lungs", prepared, own, "lungs"),
            ("heart", prepared, own, "heart"),
            ("elsewhere", prepared, elsewhere, "lungs"),
            ("elsewhere, raw", raw, elsewhere, "lungs"),
        )
        tables = [
            organ_overlaps(cast(Voter, system), manifest, image_ids, organ, read, lambda: None).assign(set=what)
            for what, system, image_ids, organ in asked
        ]
        return pd.concat(tables, ignore_index=True)

    def _elsewhere(self, manifest: Manifest) -> list[str]:
        settings, table = self.variants.settings, manifest.table
        chosen = (table["source"] == settings.elsewhere) & (table["lung_mask"] != "")
        chosen &= table["lung_mask_origin"] != "automatic"
        chosen &= table["duplicate_of"] == ""
        if settings.normal_only:
            chosen &= table["label"] == "normal"
        parts = make_split(ORGAN_SPLIT, manifest, self.variants.own.seed)
        taught = set(table.loc[[*parts.train, *parts.validation], "source"])
        if settings.elsewhere in taught or settings.elsewhere in HEART_INCLUDED_SOURCES:
            raise RecipeError(
                f"Images of {settings.elsewhere} train the organ network, or its lungs were drawn with the heart: name "
                "another source in the recipe at elsewhere."
            )
        ids = [str(image_id) for image_id in table.index[chosen]]
        if not ids:
            raise ManifestError(f"The manifest has no lung mask of {settings.elsewhere}: name another source.")
        return sorted(ids)

    def _measure_votes(self, name: str, folder: Path, manifest: Manifest) -> pd.DataFrame:
        recipe = self.variants.votes(name)
        networks = self.variants.settings.networks
        organs = self.work / "organs" / (name if name in networks else "own")
        images = self.work / "images" / organs.name
        bundle = _experiments().voting_bundle(recipe, manifest, folder, organs, images)
        split = make_split(CLASS_SPLIT, manifest, recipe.seed, recipe.classifier.sources)
        system = cast(Voter, load_system(bundle.folder))
        return class_scores(system, manifest, split.test, split.truth, read, lambda: None)

    def _measure_covid_net(self, folder: Path, manifest: Manifest) -> pd.DataFrame:
        recipe = self.variants.own
        split = three_classes(manifest, self.variants.settings.covid_net, recipe.seed)
        system = _experiments().other_classes(recipe, manifest, split, folder, self.work / "organs" / "own")
        return class_scores(system, manifest, split.test, split.truth, read, lambda: None, COVID_NET)

    def _measure_mask_alone(self, folder: Path, manifest: Manifest) -> pd.DataFrame:
        recipe = self.variants.mask_alone
        parts = make_split(CLASS_SPLIT, manifest, recipe.seed, recipe.classifier.sources)
        split = replace(parts, name="mask-alone", truth={i: int(place > 0) for i, place in parts.truth.items()})
        organs, images = self.work / "organs" / "own", self.work / "images" / "own"
        system = _experiments().other_classes(recipe, manifest, split, folder, organs, images)
        return class_scores(system, manifest, split.test, split.truth, read, lambda: None, NORMAL_OR_NOT)


@dataclass(frozen=True, eq=False)
class _Segmenter:
    """An organ network alone, with or without the universal preprocessing of what it is shown."""

    engine: Engine
    settings: Preprocessing
    prepared: bool

    def segment(self, radiograph: Radiograph) -> Organs:
        """Lungs and heart."""
        if self.prepared:
            return find_organs(self.engine, radiograph.pixels, self.settings)
        grey = reduced(radiograph.pixels, self.settings.working_side) * np.float32(WHITE)
        view = resize_to_square(grey, self.engine.image_shape[1]) * np.float32(2 / WHITE) - np.float32(1)
        probabilities = organ_probabilities(self.engine(view.astype(np.float32)[None, None])["logits"][0])
        return Organs(probabilities, organ_mask(probabilities))


def _experiments() -> Any:
    try:
        # Torch is needed here alone, and only by those who train.
        from cxrscreen.systems.patch_voting import experiments  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error
    return experiments
