"""The systems there are: from a bundle to the system that runs it, and from a system's name to its shipped bundle."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from cxrscreen.errors import BundleError
from cxrscreen.runtime.engine import EngineSettings, has_int8_graph, with_precision
from cxrscreen.systems.bundle import open_bundle, shipped_bundles
from cxrscreen.systems.contract import System

SYSTEMS = ("cascade", "patch_voting", "covid_cxnet", "comit_net")
"""Folders of this room.

Each has ``pipeline.load(bundle, engine) -> System``, ``decisions.DECISIONS`` and, for training (with torch),
``export.train_bundle(recipe, manifest, work, out) -> Bundle``.
"""
GROUP: Final = "cxrscreen.systems"
"""Entry points of other distributions: a system's name, and the package that holds the same three modules."""


def load_system(bundle: str | Path, threads: int | None = None, *, engine: EngineSettings | None = None) -> System:
    """Load a bundle, ready to screen.

    Parameters
    ----------
    bundle
        A folder, or the name of a shipped bundle.
    threads
        Threads for the networks; None: all cores. Not used where ``engine`` is given.
    engine
        What runs the networks; None: OpenVINO in the precision that the card names.

    Raises
    ------
    BundleError
        If the bundle cannot be opened, or its system is not known to this version.
    """
    opened = open_bundle(bundle)
    if opened.card.system not in systems():
        raise BundleError(
            f"The bundle {opened.card.bundle_id} is for the system {opened.card.system!r}, which this version does not "
            f"have: use one of {', '.join(systems())}."
        )
    pipeline = part_of(opened.card.system, "pipeline")
    settings = with_precision(engine or EngineSettings(threads=threads), opened.card.results)
    if settings.precision == "int8" and settings.backend == "openvino" and not has_int8_graph(opened.folder):
        raise BundleError(f"The bundle {opened.card.bundle_id} has no 8-bit network: choose another precision.")
    return cast(System, pipeline.load(opened, settings))


def systems() -> dict[str, str]:
    """Packages by the names of their systems: those of this room first, then those that other distributions bring.

    A name of this room is never taken by another distribution.
    """
    own = {name: f"cxrscreen.systems.{name}" for name in SYSTEMS}
    brought = {point.name: point.module for point in entry_points(group=GROUP)}
    return {**own, **{name: brought[name] for name in sorted(brought) if name not in own}}


def part_of(system: str, part: str) -> ModuleType:
    """Import one of a system's modules.

    Parameters
    ----------
    system
        Its name.
    part
        ``"pipeline"``, ``"decisions"`` or ``"export"``.

    Raises
    ------
    BundleError
        If there is no such system.
    ModuleNotFoundError
        If the module, or something that it needs, is not installed.
    """
    return import_module(f"{systems()[known_system(system)]}.{part}")


def known_system(name: str) -> str:
    """Give the name back where there is such a system, else raise a :class:`BundleError`."""
    if name not in systems():
        raise BundleError(f"There is no system {name!r} in this version: use one of {', '.join(systems())}.")
    return name


def bundle_named(bundle: str | None, system: str | None) -> str:
    """Choose a bundle as a command line asks for it.

    Parameters
    ----------
    bundle
        A folder, or the name of a shipped bundle; None: the one that ships for the system.
    system
        A system's name, which the bundle must be for; None: any.

    Raises
    ------
    BundleError
        If neither is given, there is no such system, none ships for it, or the bundle is for another one.
    """
    if system is None:
        if bundle is None:
            raise BundleError("Name a bundle, or a system whose bundle ships with cxrscreen (--system).")
        return bundle
    known_system(system)
    if bundle is None:
        if system not in shipped_bundles():
            raise BundleError(
                f"No bundle of the system {system} ships with this version: train one with cxrscreen train and give "
                "its folder."
            )
        return system
    made_for = open_bundle(bundle).card.system
    if made_for != system:
        raise BundleError(f"The bundle {Path(bundle).name} is for the system {made_for}, not for {system}.")
    return bundle
