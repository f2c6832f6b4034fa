"""All trained controls, one after the other on the same small images."""

from collections.abc import Callable, Mapping

from cxrscreen.evaluate.audit.controls.bench import Bench, TrainProbe
from cxrscreen.evaluate.audit.controls.children import audit_children
from cxrscreen.evaluate.audit.controls.held_out import audit_held_out_sources, audit_swapped_sources
from cxrscreen.evaluate.audit.controls.labels import audit_permuted_labels, audit_planted_shortcut
from cxrscreen.evaluate.audit.controls.trained_sources import audit_trained_sources
from cxrscreen.evaluate.audit.controls.trained_views import audit_trained_views
from cxrscreen.evaluate.audit.part import AuditData, AuditPart

CONTROLS: Mapping[str, Callable[[Bench], AuditPart | None]] = {
    "trained-views": audit_trained_views,
    "trained-sources": audit_trained_sources,
    "trained-held-out": audit_held_out_sources,
    "trained-swap": audit_swapped_sources,
    "trained-children": audit_children,
    "trained-permuted": audit_permuted_labels,
    "trained-planted": audit_planted_shortcut,
}
"""By the name of the part, as given to ``--only``."""


def train_controls(data: AuditData, train: TrainProbe, only: tuple[str, ...] = ()) -> tuple[AuditPart, ...]:
    """Run the controls that train a probe; a minute or so for each of some fifty trainings on two cores.

    Parameters
    ----------
    data
        The audit's; its chosen images must hold training, validation and test parts with both classes.
    train
        `cxrscreen.train.probe.train_probe`, given rather than imported, since it needs torch.
    only
        Names of `CONTROLS`; empty: all.

    Returns
    -------
    tuple of AuditPart
        In the order of `CONTROLS`; source prediction is left out where there are no normal images.

    Raises
    ------
    ManifestError
        If a part lacks a class, or no image could be read.
    """
    bench = Bench(data, train)
    parts = (control(bench) for name, control in CONTROLS.items() if not only or name in only)
    return tuple(part for part in parts if part is not None)
