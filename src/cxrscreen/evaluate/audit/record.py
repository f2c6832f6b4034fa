"""What an audit found, kept in the bundle's card, so that the card and the audit cannot disagree."""

import json
from pathlib import Path
from typing import Any

from cxrscreen.errors import BundleError, CxrscreenError
from cxrscreen.systems.bundle import Bundle, write_card

RESULT = "audit"
"""Key of the card's results under which audits stand."""
COMMAND = "cxrscreen audit BUNDLE --manifest DATA --out DIR"
_NAMES = {"sources": "source_prediction", "trained-held-out": "leave_one_source_out_of_a_small_network"}


def record_audit(bundle: Bundle, folder: Path) -> Bundle:
    """Write the verdicts and findings of an audit into the card of the bundle that was audited.

    Parameters
    ----------
    bundle
        The bundle; findings of audits that this folder does not hold stay in its card.
    folder
        What ``cxrscreen audit`` wrote.

    Returns
    -------
    Bundle
        With the new card.

    Raises
    ------
    CxrscreenError
        If there is no audit in the folder, or it is of another bundle, of other images, or a trial with ``--limit``.
    BundleError
        If the card cannot be written.
    """
    content = _read(folder / "audit.json")
    card = bundle.card
    if content.get("bundle") != card.bundle_id:
        raise CxrscreenError(
            f"The audit in {folder.name} is of {content.get('bundle')}, not of {card.bundle_id}: audit this bundle."
        )
    if any(card.data.splits.get(name, digest) != digest for name, digest in content["protocols"].items()):
        raise CxrscreenError(
            f"The audit in {folder.name} is of other images than {card.bundle_id} was measured on: give the manifest "
            "of its training."
        )
    if content.get("limited", True):
        raise CxrscreenError(f"The audit in {folder.name} is a trial on some of the images: run it without --limit.")
    found = {
        _NAMES.get(part["name"], part["name"].replace("-", "_")): {
            "passed": part["passed"],
            "finding": part["finding"],
            "not_to_conclude": part["not_to_conclude"],
        }
        for part in content["audits"]
    }
    earlier = {name: entry for name, entry in card.results.get(RESULT, {}).items() if name != "command"}
    results = card.results | {RESULT: {"command": COMMAND} | earlier | found}
    try:
        return write_card(bundle.folder, card.model_copy(update={"results": results}))
    except OSError as error:
        raise BundleError(
            f"The card of {card.bundle_id} cannot be written: copy the bundle to a folder of your own."
        ) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CxrscreenError(
            f"There is no audit in {file.parent.name}: give the folder that cxrscreen audit wrote."
        ) from error
    if not isinstance(content, dict) or not {"bundle", "protocols", "audits"} <= set(content):
        raise CxrscreenError(
            f"{file.name} in {file.parent.name} is no audit: give the folder that cxrscreen audit wrote."
        )
    return content
