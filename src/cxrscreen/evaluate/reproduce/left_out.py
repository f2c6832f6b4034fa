"""Leave one source out of the cascade itself: stages 2 and 3 trained without a hospital, asked about its images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all, grouped_rate
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.goal import Goal
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.reproduce import wording as say
from cxrscreen.evaluate.reproduce.cascade import STAGES
from cxrscreen.evaluate.reproduce.measure import DECISIONS, asked, mean_auc, threshold_of
from cxrscreen.evaluate.reproduce.runs import Runs
from cxrscreen.evaluate.reproduce.table import Part, Table, percent

GOAL, LARGEST_GAP = Goal(0.80), Goal(0.10, at_least=False)
"""AUC on a hospital that was left out, and how far it may lie below the AUC of all sources pooled."""


_DIFFERENCES = (
    ("loss", "auc_known", "auc_test"),
    ("gap", "pooled", "auc"),
    ("gap_plain", "pooled_plain", "auc_plain"),
    ("gain", "auc", "auc_plain"),
    ("gap_closed", "gap_plain", "gap"),
)
"""Name, minuend, subtrahend."""


@dataclass(frozen=True)
class LeftOut:
    """One stage on one source that it has never seen.

    Parameters
    ----------
    stage
        ``"2"`` or ``"3"``.
    together
        All sources that were left out of the training.
    source
        The one that is measured.
    positives, negatives
        Its images of each class.
    figures
        With both classes: ``auc`` of all its images, ``auc_test`` of its test images, ``auc_known`` of these where the
        source was learned from, ``loss`` (known less left out, the same images), ``pooled`` (test images of all
        sources, all learned from) and ``gap`` (pooled less ``auc``), all on the same resamples. Where trainings without
        the measures against shortcuts were made: ``auc_plain``, ``pooled_plain`` and ``gap_plain`` of these, ``gain``
        (``auc`` less ``auc_plain``) and ``gap_closed`` (``gap_plain`` less ``gap``). ``sensitivity`` and
        ``specificity`` of all its images, with ``_test`` and ``_known`` as before; a figure that is not defined is
        missing.
    """

    stage: str
    together: tuple[str, ...]
    source: str
    positives: int
    negatives: int
    figures: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class Arm:
    """Trainings of one kind that differ in the seed alone.

    Parameters
    ----------
    without
        Their outputs, of trainings without a set of sources; all images of these are in the test part.
    known
        Outputs of trainings on all sources.
    """

    without: Sequence[pd.DataFrame]
    known: Sequence[pd.DataFrame]


def left_out(runs: Runs) -> list[LeftOut]:
    """Train without each set of sources of the recipe, and measure every source of the set."""
    recipe = runs.recipe
    known = Arm([], [runs.trained("every", seed) for seed in recipe.seeds])
    plain = Arm([], [runs.trained("plain", seed) for seed in recipe.seeds]) if recipe.plain else None
    found = []
    for together in recipe.left_out:
        own = replace(known, without=[runs.left_out(together, seed) for seed in recipe.seeds])
        other = plain and replace(plain, without=[runs.left_out(together, seed, plain=True) for seed in recipe.seeds])
        for stage in STAGES:
            found += [item for source in together for item in _measured(stage, together, source, own, other)]
    return sorted(found, key=lambda item: item.stage)


def measure_left_out(
    stage: str,
    source: str,
    arm: Arm,
    plain: Arm | None = None,
    *,
    replicates: int = REPLICATES,
) -> tuple[int, int, dict[str, Estimate]]:
    """Figures of a source that trainings have not seen, beside trainings that have.

    Parameters
    ----------
    stage
        ``"2"`` or ``"3"``.
    source
        Its name.
    arm
        Trainings without the source and with it; its test images in the latter count as its test images.
    plain
        The same without the measures against shortcuts, of the same images.
    replicates
        Of the bootstrap by patient group.

    Returns
    -------
    tuple
        Positive and negative images of the source, and the figures of :class:`LeftOut`.
    """
    outside, inside = _asked(arm, stage)
    own, tested = (
        tables[0][(tables[0]["part"] == "test") & (tables[0]["source"] == source if held else True)]
        for tables, held in ((outside, True), (inside, False))
    )
    rows = pd.concat([own, tested], ignore_index=True)
    truth, groups = rows["truth"].to_numpy(dtype=bool), rows["group"].to_numpy(dtype=np.str_)
    scores = _scores(outside, inside, own, tested)
    plain_scores = _scores(*_asked(plain, stage), own, tested) if plain else []
    thresholds = [
        [threshold_of(table[table["part"] == "validation"]) for table in tables] for tables in (outside, inside)
    ]
    # The rows of the source first, then the test images of all sources, asked of the trainings that know them.
    first, rest = np.arange(len(own)), np.arange(len(own), len(rows))
    among = rest[(tested["source"] == source).to_numpy()]
    same = first[own["image_id"].isin(tested["image_id"]).to_numpy()]
    sets: Mapping[str, NDArray[np.intp]] = {"auc": first, "auc_test": same, "auc_known": among, "pooled": rest}
    figures: dict[str, Estimate] = {}
    defined = {name: m for name, m in sets.items() if min(truth[m].sum(), (~truth[m]).sum()) >= MIN_PER_CLASS}

    def areas(weights: Floats) -> dict[str, Floats]:
        each = {name: mean_auc(truth[m], [s[m] for s in scores], weights[:, m]) for name, m in defined.items()}
        for name in ("auc", "pooled") if plain_scores else ():
            if name in defined:
                m = defined[name]
                each[f"{name}_plain"] = mean_auc(truth[m], [s[m] for s in plain_scores], weights[:, m])
        for name, high, low in _DIFFERENCES:
            if high in each and low in each:
                each[name] = each[high] - each[low]
        return each

    if "auc" in defined:
        figures |= bootstrap_all(areas, groups.tolist(), replicates=replicates)
    for suffix, members, limits in (("", first, 0), ("_test", same, 0), ("_known", among, 1)):
        figures |= {
            f"{name}{suffix}": rate for name, rate in _rates(truth, groups, scores, members, thresholds[limits]).items()
        }
    return int(truth[first].sum()), int((~truth[first]).sum()), figures


def left_out_table(found: Sequence[LeftOut]) -> Table:
    """The sources that were left out, those with both classes first."""
    return Table(
        "leave-one-out",
        "Leave one source out: stages 2 and 3 trained without a hospital",
        (_areas(found), *_plain_part(found), _rates_part(found)),
        [vars(item) for item in found],
        differs=(*say.LEFT_OUT_DIFFERS, *say.ALWAYS_DIFFERS),
        not_to_conclude=(*say.LEFT_OUT_CONCLUDE, *say.NEVER_CONCLUDE),
        figure="leave-one-out",
        answer=left_out_answer(found),
    )


def left_out_answer(found: Sequence[LeftOut]) -> tuple[str, ...]:
    """Say of each source with both classes whether it reaches the goals."""
    sentences = [
        f"Goals: an AUC of at least {100 * GOAL.limit:.0f} on a source that was left out, and at most "
        f"{100 * LARGEST_GAP.limit:.0f} points below that of all sources pooled."
    ]
    for item in (item for item in found if "auc" in item.figures):
        area, gap = item.figures["auc"], item.figures.get("gap")
        sentences.append(
            f"Stage {item.stage}, {item.source}: AUC {percent(area)}, {GOAL.verdict(area)}; gap "
            f"{percent(gap, signed=True)}, {LARGEST_GAP.verdict(gap)}."
        )
        if "gain" in item.figures:
            gain = percent(item.figures["gain"], signed=True)
            sentences[-1] += f" The measures against shortcuts change the AUC by {gain} points."
    return (*sentences, *_of_measures(found))


def _of_measures(found: Sequence[LeftOut]) -> Iterator[str]:
    """Say for how many sources the measures against shortcuts do what they are there for."""
    gains, closed = ([x.figures[name] for x in found if name in x.figures] for name in ("gain", "gap_closed"))
    if not gains:
        return
    clear = [_side(each) for each in gains]
    mean = 100 * float(np.mean([each.value or 0.0 for each in gains]))
    yield (
        f"With the measures against shortcuts the AUC on a source that was left out changes by {mean:+.1f} points on "
        f"average: it rises in {clear.count(1)} of {len(gains)} and falls in {clear.count(-1)} by more than the "
        f"interval allows for chance. The gap to the pooled AUC shrinks in {[_side(x) for x in closed].count(1)} of "
        f"{len(closed)}; part of that is a lower pooled AUC."
    )


def _side(change: Estimate) -> int:
    """1 or -1 where the whole interval lies above or below 0, else 0."""
    if change.ci_low is None or change.ci_high is None:
        return 0
    return int(change.ci_low > 0) - int(change.ci_high < 0)


def _measured(
    stage: str,
    together: tuple[str, ...],
    source: str,
    arm: Arm,
    plain: Arm | None,
) -> Iterator[LeftOut]:
    # Stage 3 is not asked about a source without pneumonia.
    if any((asked(arm.without[0], stage, DECISIONS[stage])["source"] == source).to_numpy()):
        yield LeftOut(stage, together, source, *measure_left_out(stage, source, arm, plain))


def _asked(arm: Arm, stage: str) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    column = DECISIONS[stage]
    return [asked(each, stage, column) for each in arm.without], [asked(each, stage, column) for each in arm.known]


def _scores(
    outside: Sequence[pd.DataFrame], inside: Sequence[pd.DataFrame], own: pd.DataFrame, tested: pd.DataFrame
) -> list[Floats]:
    """Scores of each seed: the images of a source by the trainings without it, then test images by those with it."""
    return [
        np.concatenate(
            [
                table.set_index("image_id").loc[rows["image_id"], "score"].to_numpy(np.float64)
                for table, rows in ((a, own), (b, tested))
            ]
        )
        for a, b in zip(outside, inside, strict=True)
    ]


def _rates(
    truth: NDArray[np.bool_],
    groups: NDArray[np.str_],
    scores: Sequence[Floats],
    members: NDArray[np.intp],
    thresholds: Sequence[float | None],
) -> dict[str, Estimate]:
    called = [s[members] >= limit for s, limit in zip(scores, thresholds, strict=True) if limit is not None]
    found = {}
    for name, kind in (("sensitivity", True), ("specificity", False)):
        rows = truth[members] == kind
        if called and rows.any():
            right = np.mean([each[rows] == kind for each in called], axis=0)
            found[name] = grouped_rate(right, groups[members][rows])
    return found


def _areas(found: Sequence[LeftOut]) -> Part:
    lines = []
    for item in (item for item in found if "auc" in item.figures):
        own = item.figures
        plain = (percent(own.get(name)) for name in ("auc", "auc_test", "auc_known"))
        lines.append(
            (
                STAGES[item.stage],
                " + ".join(item.together),
                item.source,
                *plain,
                percent(own.get("loss"), signed=True),
                percent(own.get("pooled")),
                percent(own.get("gap"), signed=True),
                f"{item.positives} / {item.negatives}",
            )
        )
    head = (
        "Stage",
        "Left out",
        "Source",
        "AUC, all its images",
        "AUC, its test images",
        "The same where learned from",
        "Loss on these",
        "All sources pooled, all learned from",
        "Gap to pooled",
        "n+ / n-",
    )
    return Part("Within sources that hold both classes", head, tuple(lines))


def _plain_part(found: Sequence[LeftOut]) -> Iterator[Part]:
    """What the measures against shortcuts do, where trainings without them were made."""
    lines = [
        (
            STAGES[item.stage],
            item.source,
            percent(item.figures.get("auc")),
            percent(item.figures["auc_plain"]),
            percent(item.figures["gain"], signed=True),
            percent(item.figures.get("gap"), signed=True),
            percent(item.figures.get("gap_plain"), signed=True),
            percent(item.figures.get("gap_closed"), signed=True),
        )
        for item in found
        if "gain" in item.figures
    ]
    head = ("Stage", "Left out", "AUC", "AUC, plain", "Change", "Gap", "Gap, plain", "Smaller by")
    if lines:
        yield Part("With and without the measures against shortcuts, all images of the source", head, tuple(lines))


def _rates_part(found: Sequence[LeftOut]) -> Part:
    lines = [
        (
            STAGES[item.stage],
            " + ".join(item.together),
            item.source,
            name.capitalize(),
            *(percent(item.figures.get(f"{name}{suffix}")) for suffix in ("", "_test", "_known")),
            str(item.positives if name == "sensitivity" else item.negatives),
        )
        for item in found
        for name in ("sensitivity", "specificity")
        if name in item.figures
    ]
    head = ("Stage", "Left out", "Source", "Figure", "All its images", "Its test images", "Where learned from", "n")
    return Part("At the threshold chosen on the validation images of the other sources", head, tuple(lines))
