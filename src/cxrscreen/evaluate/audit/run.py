"""All audits of one bundle: which there are, what they are given, and a part for each, also where one fails."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import PARTS, Part, make_split
from cxrscreen.errors import BundleError, CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.controls import bench
from cxrscreen.evaluate.audit.part import AuditData, AuditPart
from cxrscreen.evaluate.run import chosen_images
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.contract import System
from cxrscreen.systems.decisions import decision_for, decisions_of
from cxrscreen.systems.learned import own_sources

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Audit:
    """One audit; its module is imported when it runs.

    Parameters
    ----------
    name
        As given to ``--only``; also the name of the part it gives.
    module
        File of this folder.
    function
        From `AuditData` to `AuditPart`, or from a `Bench` where it trains.
    trains
        Whether it trains networks of its own, which takes minutes and needs torch: run only when asked for.
    """

    name: str
    module: str
    function: str
    trains: bool = False

    def run(self, data: AuditData) -> AuditPart:
        """Import it and run it."""
        module = import_module(f"cxrscreen.evaluate.audit.{self.module}")
        function = getattr(module, self.function)
        if self.trains:
            return cast(Callable[[bench.Bench], AuditPart], function)(bench.bench_of(data))
        return cast(Callable[[AuditData], AuditPart], function)(data)


AUDITS = (
    Audit("black-lungs", "regions", "audit_black_lungs"),
    Audit("lungs-only", "regions", "audit_lungs_only"),
    Audit("borders", "regions", "audit_borders"),
    Audit("burn-in", "burn_in", "audit_burn_in"),
    Audit("mark-erasure", "erasure", "audit_mark_erasure"),
    Audit("occlusion", "occlusion", "audit_occlusion"),
    Audit("sources", "sources", "audit_sources"),
    Audit("subgroups", "subgroups", "audit_subgroups"),
    Audit("saliency", "saliency", "audit_saliency"),
    Audit("sanity", "sanity", "audit_sanity"),
    Audit("leakage", "leakage", "audit_leakage"),
    Audit("trained-views", "controls.trained_views", "audit_trained_views", trains=True),
    Audit("trained-sources", "controls.trained_sources", "audit_trained_sources", trains=True),
    Audit("trained-held-out", "controls.held_out", "audit_held_out_sources", trains=True),
    Audit("trained-swap", "controls.held_out", "audit_swapped_sources", trains=True),
    Audit("trained-children", "controls.children", "audit_children", trains=True),
    Audit("trained-permuted", "controls.labels", "audit_permuted_labels", trains=True),
    Audit("trained-planted", "controls.labels", "audit_planted_shortcut", trains=True),
)
"""The audits in the order of the page."""


def audit_data(
    system: System,
    bundle: Bundle,
    manifest: Manifest,
    read: Callable[[Path], Radiograph],
    protocols: Sequence[str],
    *,
    seed: int,
    replicates: int,
    sources: Sequence[str] = (),
    limit: int | None = None,
    advance: Callable[[str], None] = lambda _: None,
    cache: Path | None = None,
) -> AuditData:
    """Split the manifest and draw the images that every audit uses.

    Parameters
    ----------
    system, bundle, manifest, read, seed, replicates, advance, cache
        As in `AuditData`.
    protocols
        Names of protocols that measure a decision, each another one; see :func:`protocols_of`.
    sources
        Only images of these; none given: all, or of the images that taught the bundle the sources of its own splits.
    limit
        Images of each part of each split, drawn by the seed; None: all.

    Raises
    ------
    BundleError
        Where the bundle does not make a protocol's decision.
    ManifestError
        For an unknown protocol, or where a protocol leaves no image or no test image.
    """
    decided = {name: decision_for(bundle.card.system, name).stage for name in protocols}
    among = {name: sources or own_sources(bundle.card, name, manifest) for name in decided}
    splits = {name: make_split(name, manifest, seed, among[name]) for name in decided}
    chosen: dict[tuple[str, Part], tuple[str, ...]] = {
        (name, part): chosen_images(split.part(part), limit, seed) for name, split in splits.items() for part in PARTS
    }
    for number, (name, stage) in enumerate(decided.items()):
        if stage not in bundle.card.stages:
            raise BundleError(f"The bundle {bundle.card.bundle_id} does not decide {stage}: leave out {name}.")
        if stage in list(decided.values())[:number]:
            raise BundleError(f"Two of the protocols ask for {stage}: audit {name} by itself.")
    empty = [name for name in splits if not chosen[name, "test"]]
    if empty:
        raise ManifestError(f"The test part of {empty[0]} has no image of this manifest: give more images.")
    return AuditData(system, bundle, manifest, splits, chosen, read, seed, replicates, advance, cache)


def protocols_of(bundle: Bundle, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The protocols to audit: those asked for, each once, or else the first of each decision that the bundle makes."""
    if asked:
        return tuple(dict.fromkeys(asked))
    made = bundle.card.stages
    return tuple(decision.protocols[0] for decision in decisions_of(bundle.card.system) if decision.stage in made)


def named_audits(only: Sequence[str], *, controls: bool = False) -> tuple[Audit, ...]:
    """The audits of these names, in the order of the page; for none all, those that train only with ``controls``.

    Raises
    ------
    CxrscreenError
        For a name that is no audit's.
    """
    known = [audit.name for audit in AUDITS]
    for name in only:
        if name not in known:
            raise CxrscreenError(f"There is no audit {name!r}: use {', '.join(known)}.")
    return tuple(audit for audit in AUDITS if (audit.name in only if only else controls or not audit.trains))


def run_audits(data: AuditData, audits: Sequence[Audit]) -> tuple[tuple[AuditPart, ...], tuple[str, ...]]:
    """Run audits one after the other.

    Parameters
    ----------
    data
        What each is given.
    audits
        From `named_audits`.

    Returns
    -------
    tuple
        A part for each audit, and the names of those that stopped; the part of such a one says why and has no verdict.
    """
    parts: list[AuditPart] = []
    stopped: list[str] = []
    for audit in audits:
        try:
            parts.append(audit.run(data))
        except CxrscreenError as error:
            stopped.append(audit.name)
            parts.append(_stopped(audit, str(error)))
        # What the other audits found in hours must not be lost to a fault in one of them.
        except Exception as error:
            _log.exception("The audit %s stopped", audit.name)
            stopped.append(audit.name)
            parts.append(_stopped(audit, f"a fault of the program ({type(error).__name__}); run it with --debug."))
    return tuple(parts), tuple(stopped)


def _stopped(audit: Audit, reason: str) -> AuditPart:
    return AuditPart(
        name=audit.name,
        title=audit.name.replace("-", " ").capitalize(),
        question="This audit could not be run.",
        design="It stopped before it had an answer.",
        passed=None,
        finding=f"Could not be run: {reason}",
        tables=(),
        figures=(),
        not_to_conclude="Nothing is known about what this audit asks; a question that was not answered is no pass.",
        stopped=True,
    )
