"""Tables X, XI, XIV, XVI and XVII and Fig. 12: what one change of the recipe does to the vote among four classes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, grouped_rate
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.patch_voting import compare_votes
from cxrscreen.evaluate.reproduce.patch_voting.paper import FIGURES, SENSITIVITIES, VOTES
from cxrscreen.evaluate.reproduce.patch_voting.runs import NORMAL_OR_NOT, PatchRuns
from cxrscreen.evaluate.reproduce.patch_voting.wording import (
    CONFOUNDED,
    INTERVALS,
    NOT_CONCLUDED,
    SYSTEM,
    VOTES_DIFFER,
)
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.evaluate.several_classes import PREFIX, evaluate_classes, left_out
from cxrscreen.systems.patch_voting.voting import CLASSES

HEAD = ("Figure", "Printed", "Ours", "Difference from the first")
WORDS = {
    "own": "local approach",
    "global": "global approach",
    "whole": "without mask",
    "mask": "the mask alone",
}
_COMPARED = ("accuracy", "macro f1", *(f"sensitivity {name}" for name in CLASSES))


def table10(runs: PatchRuns) -> Table:
    """Tables X and XI: the local approach and the global one."""
    return _table(runs, "table10", "Tables X and XI: patches against the whole image", ("own", "global"))


def table14(runs: PatchRuns) -> Table:
    """The vote on the lungs of each organ network."""
    networks = runs.variants.settings.networks
    return _table(runs, "table14", "Table XIV: the vote with other organ networks", networks)


def table16(runs: PatchRuns) -> Table:
    """With the mask, without it, and from nothing but the mask; and a network of its own that says normal or not."""
    made = _table(runs, "table16", "Table XVI: with and without the mask, and the mask alone", ("own", "whole", "mask"))
    found = diseased_called(runs.mask_alone())
    cells = (
        ("Sensitivity for any disease", "86.9", percent(found["sensitivity"])),
        ("Specificity", "-", percent(found["specificity"])),
    )
    part = Part(
        "A network that learned normal against any disease from whole masks", ("Figure", "Printed", "Ours"), cells
    )
    content = {"variant": "mask alone", "question": "any disease"} | {
        name: asdict(each) for name, each in found.items()
    }
    return replace(
        made,
        parts=(*made.parts, part),
        content=(*made.content, content),
    )


def table17(runs: PatchRuns) -> Table:
    """Patch sides, the recipe's own first."""
    own = runs.variants.own.patch
    sides = [own, *(side for side in runs.variants.settings.patches if side != own)]
    names = ["own" if side == own else f"patch-{side}" for side in sides]
    words = {name: f"{side} x {side}" for name, side in zip(names, sides, strict=True)}
    return _table(runs, "table17", "Table XVII: patch sizes", names, words)


@dataclass(frozen=True)
class SharePoint:
    """Accuracy after learning from a share of the images.

    Parameters
    ----------
    share
        In (0, 1].
    approach
        ``local`` or ``global``.
    accuracy, relative
        With intervals; the second as a share of the accuracy with all images, on the same resamples.
    """

    share: float
    approach: str
    accuracy: Estimate
    relative: Estimate


def figure12(runs: PatchRuns) -> tuple[SharePoint, ...]:
    """Accuracy by share of the training images, of both approaches."""
    points = []
    for approach, prefix in (("local", ""), ("global", "global-")):
        whole = runs.votes("own" if approach == "local" else "global")
        for share in runs.variants.settings.shares:
            table = whole if share == 1 else runs.votes(f"{prefix}share-{share:g}")
            points.append(SharePoint(share, approach, *accuracies(table, whole)))
    return tuple(points)


def figure12_table(points: Sequence[SharePoint]) -> Table:
    """Fig. 12 in figures."""
    rows = tuple(
        (point.approach, f"{point.share:.0%}", percent(point.accuracy), percent(point.relative)) for point in points
    )
    head = ("Approach", "Training images", "Accuracy", "Relative to all images")
    return Table(
        "figure12",
        "Fig. 12: accuracy by share of the training images",
        (Part("", head, rows),),
        [asdict(point) for point in points],
        differs=(*VOTES_DIFFER, "The paper prints no figures beside its curves."),
        not_to_conclude=(*CONFOUNDED, *NOT_CONCLUDED),
        figure="figure12",
        system=SYSTEM,
        intervals=INTERVALS,
    )


def accuracies(table: pd.DataFrame, whole: pd.DataFrame) -> tuple[Estimate, Estimate]:
    """Accuracy of a list of votes, and its ratio to that of another list of the same images."""
    own, other = (each.set_index("image_id").sort_index() for each in (table, whole))
    if not own.index.equals(other.index):
        raise ValueError("both lists must be of the same images")
    right, all_right = _right(own), _right(other)

    def ratio(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ right) / (weights @ all_right))

    groups = own["group"].astype(str)
    return grouped_rate(right > 0, groups.to_numpy()), bootstrap(ratio, groups.tolist())


def diseased_called(table: pd.DataFrame) -> dict[str, Estimate]:
    """Sensitivity and specificity of calls of :data:`NORMAL_OR_NOT`."""
    truth = (table["truth"] != NORMAL_OR_NOT[0]).to_numpy()
    called = table[[PREFIX + name for name in NORMAL_OR_NOT]].to_numpy(np.float64).argmax(axis=1) > 0
    groups = table["group"].astype(str).to_numpy()
    return {
        "sensitivity": grouped_rate(called[truth], groups[truth]),
        "specificity": grouped_rate(~called[~truth], groups[~truth]),
    }


def _table(
    runs: PatchRuns, name: str, title: str, variants: Sequence[str], words: dict[str, str] | None = None
) -> Table:
    lists = {variant: runs.votes(variant) for variant in variants}
    first = variants[0]
    cells: list[tuple[str, ...]] = []
    content = []
    lacking: list[str] = []
    for variant, votes in lists.items():
        result = evaluate_classes(votes, CLASSES)
        figures: dict[str, Estimate] = {"accuracy": result.accuracy}
        figures |= {f"macro {figure}": estimate for figure, estimate in result.macro.items()}
        figures |= {f"sensitivity {each}": result.by_class[each]["sensitivity"] for each in CLASSES}
        changes = {} if variant == first else compare_votes(lists[first], votes)
        said = _printed(variant)
        shown = [*FIGURES, *(f"sensitivity {each}" for each in CLASSES)]
        word = (words or {}).get(variant) or WORDS.get(variant, variant)
        lacking += [f"Of “{word}”: {sentence}" for sentence in left_out(result)]
        cells += [
            (
                word,
                figure,
                f"{100 * said[figure]:.1f}" if figure in said else "-",
                percent(figures[figure]),
                percent(changes.get(figure), signed=True),
            )
            for figure in shown
        ]
        content.append(
            {
                "variant": variant,
                "support": list(result.support),
                "confusion": [list(row) for row in result.confusion],
                "figures": {figure: asdict(figures[figure]) for figure in shown},
                "changes": {figure: asdict(changes[figure]) for figure in _COMPARED if figure in changes},
                "printed": said,
            }
        )
    return Table(
        name,
        title,
        (Part("", ("Variant", *HEAD), tuple(cells)),),
        content,
        differs=VOTES_DIFFER,
        not_to_conclude=(*CONFOUNDED, *NOT_CONCLUDED),
        system=SYSTEM,
        intervals=" ".join((INTERVALS, *lacking)),
    )


def _printed(variant: str) -> dict[str, float]:
    said = dict(zip(FIGURES, VOTES[variant], strict=True)) if variant in VOTES else {}
    if variant in SENSITIVITIES:
        said |= {f"sensitivity {name}": value for name, value in zip(CLASSES, SENSITIVITIES[variant], strict=True)}
    return said


def _right(table: pd.DataFrame) -> Floats:
    called = table[[PREFIX + name for name in CLASSES]].to_numpy(np.float64).argmax(axis=1)
    truth = pd.Index(CLASSES).get_indexer(pd.Index(table["truth"]))
    return np.asarray(called == truth, dtype=np.float64)
