"""The trainings behind the tables, by the name of what they change; see :meth:`CxNetReproduceRecipe.variant`."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PARTS, make_split
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.burn_in import MARKS
from cxrscreen.evaluate.audit.interventions import Pixels, Region, erase_marks
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import CxNetReproduceRecipe
from cxrscreen.evaluate.reproduce.kept import About, Kept

if TYPE_CHECKING:
    from cxrscreen.systems.covid_cxnet.experiments import Bench

OUTPUTS = "outputs.csv"
TRAININGS = Path("trainings")


def burned(pixels: Pixels, lungs: Region) -> Pixels:
    """Burn the audit's two marks outside the lungs into an image: a letter and a word, as a film cassette leaves."""
    for mark in MARKS:
        if not mark.over_lungs:
            pixels = mark.draw(pixels, lungs)
    return pixels


EDITS = {"burned": burned, "concealed": erase_marks}
"""What is done to marks outside the lungs: some are added, or what looks like one is painted over (Fig. 20)."""


@dataclass(eq=False)
class CxNetRuns:
    """Answers of trainings about held-out images.

    Parameters
    ----------
    work
        Keeps them; a stopped run goes on there.
    recipe
        Settings.
    manifest
        Images with which missing trainings are made; None: a missing one is an error.
    """

    work: Path
    recipe: CxNetReproduceRecipe
    manifest: Manifest | None = None
    _kept: Kept = field(init=False)

    def __post_init__(self) -> None:
        self._kept = Kept(self.work, self.recipe.digest, self.manifest)

    @property
    def about(self) -> About:
        """What all trainings are made from."""
        return self._kept.about

    def outputs(self, name: str) -> pd.DataFrame:
        """Validation and test images with the answers of a training; see ``experiments.answers``.

        Raises
        ------
        CxrscreenError
            If it is not finished, and there are no images to make it with.
        RecipeError, ManifestError
            If the work folder holds trainings of other settings or images, or the images do not allow this one.
        """
        return self._kept.table(TRAININGS / name, OUTPUTS, partial(self._train, name))

    def edited(self, name: str, edit: str) -> pd.DataFrame:
        """Test images after one of :data:`EDITS`, with ``touched``; raises as :meth:`outputs`."""
        return self._kept.table(TRAININGS / name, f"{edit}.csv", partial(self._train_edited, name, edit))

    def curves(self, name: str) -> Path:
        """Folder of a finished training's phases with their ``metrics.csv``."""
        self.outputs(name)
        return self.work / TRAININGS / name / "classifier"

    def _train(self, name: str, manifest: Manifest) -> pd.DataFrame:
        recipe = self.recipe.variant(name)
        start = self._start(name, manifest)
        made: pd.DataFrame = _experiments().train(self._bench, recipe, self.work / TRAININGS / name, start)
        return made

    def _train_edited(self, name: str, edit: str, manifest: Manifest) -> pd.DataFrame:
        self.outputs(name)
        recipe, start = self.recipe.variant(name), self._start(name, manifest)
        made: pd.DataFrame = _experiments().train_edited(
            self._bench, recipe, self.work / TRAININGS / name, start, edit, EDITS[edit]
        )
        return made

    def _start(self, name: str, manifest: Manifest) -> Path | None:
        """The pre-training that a training begins from, made where it is missing; None for initial weights."""
        recipe = self.recipe.variant(name)
        if recipe.pretraining is None:
            return None
        unseen = self.recipe.seen_in_pretraining(recipe.data.left_out, manifest)
        folder = self.work / "pre-training" / (f"without-{'+'.join(unseen)}" if unseen else "all")
        start: Path = _experiments().pre_train(self._bench, self.recipe.pretrained(unseen), folder)
        return start

    @cached_property
    def _bench(self) -> "Bench":
        manifest = self.manifest
        if manifest is None:
            raise ValueError("these runs are read, not made")
        whole = make_split("stage2", manifest, self.recipe.own.splitting)
        table, wanted = manifest.table, set(self.recipe.sources)
        images = sorted(i for part in PARTS for i in whole.part(part) if table.at[i, "source"] in wanted)
        for source in sorted(wanted - set(table.loc[images, "source"])):
            raise ManifestError(f"The manifest has no image of the source {source}: name another one in the recipe.")
        images = [i for i in images if self._is_used(str(table.at[i, "source"]), str(table.at[i, "label"]))]
        bench: Bench = _experiments().Bench(manifest, tuple(images), self.work)
        return bench

    def _is_used(self, source: str, label: str) -> bool:
        """Of a source that gives nothing but normal images of children the others need not be cut out."""
        return source in self.recipe.whole_sources or label == "normal"


def _experiments() -> Any:
    try:
        # Torch is needed here alone, and only by those who train.
        from cxrscreen.systems.covid_cxnet import experiments  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error
    return experiments
