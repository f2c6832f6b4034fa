"""What of a recipe and of results goes into a record: settings, and figures with their intervals; never a list."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 500
"""Characters of a setting; longer ones are cut."""
STOPPED = "Could not be run"
"""What the finding of an audit that stopped begins with; the reason behind it may name an image."""
ENDS = {"value": "", "ci_low": "/low", "ci_high": "/high"}
"""Keys of a figure, and what their names in a record end with."""


def settings_of(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten a recipe: ``{"stage2": {"phases": [{"epochs": 3}]}}`` becomes ``{"stage2.phases.0.epochs": "3"}``.

    Parameters
    ----------
    recipe
        As read from YAML.
    prefix
        Put before each name.

    Returns
    -------
    dict
        In the order of the recipe; lists of plain values stay one setting.
    """
    settings: dict[str, str] = {}
    for key, value in recipe.items():
        name = f"{prefix}{key}"
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = {place: item for place, item in enumerate(value)}  # noqa: PLW2901, C416
        if isinstance(value, Mapping):
            settings |= settings_of(value, f"{name}.")
        else:
            settings[fit_name(name)] = str(value)[:LONGEST]
    return settings


def figures_of(results: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Take the figures out of results: mappings with ``value``, ``ci_low`` and ``ci_high``.

    Nothing else is taken: counts, texts and lists, of which some name images, stay where they are.

    Parameters
    ----------
    results
        Of a card, or the content of ``metrics.json``.
    prefix
        Put before each name.

    Returns
    -------
    dict
        By name, such as ``stage2/pooled_auc``; the ends of its interval under the name with ``/low`` and ``/high``. A
        figure that is not defined is left out.
    """
    figures: dict[str, float] = {}
    for key, value in results.items():
        name = f"{prefix}{key}"
        if not isinstance(value, Mapping):
            continue
        if "value" in value and "ci_low" in value:
            for part, end in ENDS.items():
                if isinstance(value.get(part), int | float):
                    figures[fit_name(f"{name}{end}")] = float(value[part])
        else:
            figures |= figures_of(value, f"{name}/")
    return figures


def verdicts_of(audit: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Take the verdicts out of the content of ``audit.json``.

    Returns
    -------
    tuple of dict
        By audit: 1 passed, 0 failed, those without a verdict left out; and the finding in words, of an audit that
        stopped without the reason.
    """
    passed = {
        fit_name(f"audit/{part['name']}"): float(part["passed"])
        for part in audit["audits"]
        if part.get("passed") is not None
    }
    findings = {
        # Older files do not say by themselves that an audit stopped.
        fit_name(f"audit.{part['name']}"): f"{STOPPED}."
        if part.get("stopped") or str(part["finding"]).startswith(STOPPED)
        else str(part["finding"])[:LONGEST]
        for part in audit["audits"]
    }
    return passed, findings


def fit_name(name: str) -> str:
    """A name as record stores allow it: letters of ASCII, digits and ``_-. :/``, at most 200 characters."""
    # A name that begins or ends like a path, or climbs in it, is refused by the store.
    cleaned = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)
    return re.sub(r"/{2,}", "/", re.sub(r"\.{2,}", ".", cleaned)).strip("/.: ")[:200].strip("/.: ") or "_"


def bundle_tags(bundle: str, folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Name a bundle and where it lies, without taking it: its splits name images.

    Parameters
    ----------
    bundle
        ``name@version``.
    folder
        Of the bundle.
    files
        SHA-256 of each of its files but the card, which changes when it is measured.

    Returns
    -------
    dict
        ``bundle``, ``bundle.folder``, and ``bundle.sha256``, the digest of the files' digests.
    """
    joined = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    digest = hashlib.sha256(joined.encode()).hexdigest()
    return {"bundle": bundle, "bundle.folder": str(folder.absolute()), "bundle.sha256": digest}
