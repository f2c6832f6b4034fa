"""From a recipe to a trained bundle, whichever system the recipe names."""

from pathlib import Path
from typing import Protocol, cast

from pydantic import ConfigDict

from cxrscreen.data.manifest import Manifest
from cxrscreen.errors import CxrscreenError, RecipeError
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.registry import part_of, systems
from cxrscreen.train.recipe import Settings, load_recipe


class Trainer(Protocol):
    """What a system's ``export.train_bundle`` is."""

    def __call__(self, recipe_file: Path, manifest: Manifest, work: Path, out: Path) -> Bundle:
        """Train by a recipe and write the bundle; one that this recipe has made already is given as it is."""


class _Named(Settings):
    model_config = ConfigDict(extra="ignore", frozen=True)

    system: str


def trainer_for(recipe: Path, system: str | None = None) -> Trainer:
    """Find what trains by a recipe; torch is imported here.

    Parameters
    ----------
    recipe
        A YAML file that names its ``system``.
    system
        The system that the recipe must be for; None: any.

    Raises
    ------
    RecipeError
        If the recipe cannot be read, names no system that can be trained, or another one than ``system``.
    CxrscreenError
        If a library that training needs is not installed.
    """
    named = load_recipe(recipe, _Named).system
    if named not in systems():
        raise RecipeError(
            f"The recipe {recipe.name} is for the system {named!r}, which this version cannot train: use one of "
            f"{', '.join(systems())}."
        )
    if system is not None and named != system:
        raise RecipeError(f"The recipe {recipe.name} is for the system {named}, not for {system}: give another one.")
    try:
        module = part_of(named, "export")
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Training needs {error.name}, which is not installed: install cxrscreen[train]."
        ) from error
    return cast(Trainer, module.train_bundle)
