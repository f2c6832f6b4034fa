"""From a bundle to the system that runs it."""

from importlib import import_module
from pathlib import Path
from typing import cast

from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.contract import System

SYSTEMS = ("cascade", "patch_voting")
"""Folders of this room; each has ``pipeline.load(bundle, threads) -> System``."""


def load_system(bundle: str | Path, threads: int | None = None) -> System:
    """Load a bundle, ready to screen.

    Parameters
    ----------
    bundle
        A folder, or the name of a shipped bundle.
    threads
        Threads for the networks; None: all cores.

    Raises
    ------
    BundleError
        If the bundle cannot be opened, or its system is not known to this version.
    """
    opened = open_bundle(bundle)
    if opened.card.system not in SYSTEMS:
        raise BundleError(
            f"The bundle {opened.card.bundle_id} is for the system {opened.card.system!r}, which this version does not "
            f"have: use one of {', '.join(SYSTEMS)}."
        )
    pipeline = import_module(f"cxrscreen.systems.{opened.card.system}.pipeline")
    return cast(System, pipeline.load(opened, threads))
