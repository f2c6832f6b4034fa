"""Finished runs in a work folder: read where they are there, made where that is allowed, never of two recipes."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.systems.learned import images_digest
from cxrscreen.train.steps import GENERATION

ABOUT = "about.json"


@dataclass(frozen=True)
class About:
    """What a finished run was made from.

    Parameters
    ----------
    recipe_sha256, images_sha256
        Digests of its settings and of the images.
    generation
        Of the code that trained it, see :data:`cxrscreen.train.steps.GENERATION`.
    """

    recipe_sha256: str
    images_sha256: str
    generation: int = GENERATION


@dataclass(eq=False)
class Kept:
    """A work folder.

    Parameters
    ----------
    work
        The folder.
    digest
        Of the settings.
    manifest
        Images with which missing runs are made; None: a missing run is an error.
    """

    work: Path
    digest: str
    manifest: Manifest | None = None

    def table(self, folder: Path, name: str, make: Callable[[Manifest], pd.DataFrame]) -> pd.DataFrame:
        """A run's table of images, ``name`` in its folder under the work folder; made at most once.

        Raises
        ------
        CxrscreenError
            If it is not there, and there is no manifest to make it with.
        RecipeError
            If the work folder holds runs of other settings, of other images or of an earlier generation.
        """
        _ = self.about
        file = self.work / folder / name
        if not file.is_file():
            if self.manifest is None:
                raise CxrscreenError(f"The work folder has no finished {folder / name}: run without --table-only.")
            made = make(self.manifest)
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f"part-{name}")
            made.to_csv(part, index=False, lineterminator="\n")
            part.replace(file)
        return pd.read_csv(file, dtype={"image_id": str, "group": str, "source": str})

    @cached_property
    def about(self) -> About:
        """What all runs are made from; raises as :meth:`table`."""
        file = self.work / ABOUT
        if self.manifest is not None:
            about = About(self.digest, images_digest(self.manifest))
            if file.is_file() and _read(file) != about:
                raise RecipeError(
                    "The work folder holds trainings of other recipes or images, or of an earlier version of the "
                    "training: give another --work, or remove it."
                )
            self.work.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(asdict(about), indent=1) + "\n", encoding="utf-8")
        if not file.is_file():
            raise CxrscreenError(f"{self.work.name} holds no finished training: run without --table-only.")
        found = _read(file)
        if found.recipe_sha256 != self.digest:
            raise RecipeError("The work folder holds trainings of another recipe: give the recipe that made them.")
        if found.generation != GENERATION:
            raise RecipeError(
                "The work folder holds trainings of an earlier version of the training, which learned otherwise: give "
                "another --work, or remove it."
            )
        return found


def _read(file: Path) -> About:
    # Runs of the first generation do not name it.
    return About(**({"generation": 1} | json.loads(file.read_text(encoding="utf-8"))))
