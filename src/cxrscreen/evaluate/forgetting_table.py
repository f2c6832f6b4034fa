"""Ways to learn a new disease, side by side: distilling with several lambdas, retraining, and the new images alone."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrscreen import RESEARCH_USE
from cxrscreen.data.manifest import Manifest
from cxrscreen.evaluate.bootstrap import REPLICATES
from cxrscreen.evaluate.forgetting import FORGETTING, TOLERATED, before_and_after
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.cohort import make_cohort

LAMBDAS = (0.1, 1.0, 10.0)
ALONE = "new images alone"
RETRAINING = "retraining on D (lambda 0)"

COLUMNS = ("method", "lambda", "seed", "question", "auc_before", "auc_after", "change", "ci_low", "ci_high")
"""Columns of the table: a row for each method, seed and question; ``lambda`` is NaN for the new images alone."""


def compare(
    bundle: Bundle,
    new: Manifest,
    old: Manifest,
    recipe: AdaptRecipe,
    work: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    lambdas: Sequence[float] = LAMBDAS,
    cases: int | None = None,
    replicates: int = REPLICATES,
) -> pd.DataFrame:
    """Adapt a bundle in every way with every seed, and measure what is forgotten and what is learned.

    Parameters
    ----------
    bundle
        A cascade.
    new, old, cases
        As for :func:`cxrscreen.systems.cascade.cohort.make_cohort`.
    recipe
        What all ways share; its ``seed``, ``distillation`` and ``with_old`` are replaced. ``stage: "2"`` is enough for
        forgetting and works where the new images hold the new disease alone.
    work
        Folder for intermediate arrays; the lungs are cut out once for all, and finished runs are not repeated.
    seeds
        Each draws its own batches, augmentation and cases, and the split of images that the bundle does not know.
    lambdas
        Weights of Eq. 2 above 0; retraining with 0 and the new images alone are always compared.
    replicates
        Of the bootstrap.

    Returns
    -------
    DataFrame
        The columns of :data:`COLUMNS`. The interval is that of the change by patient, within one seed.
    """
    # Torch is needed here alone, and only by those who train.
    from cxrscreen.systems.cascade.adaptation import adapt  # noqa: PLC0415

    ways: list[tuple[str, float | None]] = [(f"lambda {value:g}", value) for value in lambdas]
    ways += [(RETRAINING, 0.0), (ALONE, None)]
    rows: list[tuple[object, ...]] = []
    for seed in seeds:
        cohort = make_cohort(bundle, new, old, seed=seed, cases=cases)
        for number, (method, weight) in enumerate(ways):
            settings = {"seed": seed, "distillation": weight or 0.0, "with_old": weight is not None}
            way = AdaptRecipe.model_validate(recipe.model_dump() | settings)
            folder = work / f"seed{seed}" / f"way{number}"
            outputs = adapt(bundle, cohort, way, folder, cuts=work / "cuts").logits
            stages = bundle.card.stages
            for answer in before_and_after(outputs, stages, stages, replicates=replicates, seed=seed):
                figures = answer.estimates
                if "auc_change" not in figures:
                    continue
                change = figures["auc_change"]
                areas = figures["auc_before"].value, figures["auc_after"].value
                name = answer.question.name
                rows.append((method, weight, seed, name, *areas, change.value, change.ci_low, change.ci_high))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"lambda": float})


def comparison_page(table: pd.DataFrame) -> str:
    """The comparison as Markdown: the change on the old images by method and seed, and of each other question."""
    lines = ["# Learning a new disease: what is forgotten", "", f"**{RESEARCH_USE}**", "", conclusion(table)]
    for question, rows in table.groupby("question", sort=False):
        seeds = sorted(rows["seed"].unique())
        title = "AUC of stage 2 on old images (forgetting)" if question == FORGETTING.name else f"AUC, {question}"
        head = ["Method", "AUC before, mean", "AUC after, mean", *(f"Change, seed {seed}" for seed in seeds), "Worst"]
        lines += ["", f"## {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        for method, own in rows.groupby("method", sort=False):
            by_seed = own.set_index("seed")
            changes = [_change(by_seed.loc[seed]) if seed in by_seed.index else "-" for seed in seeds]
            means = (f"{own[name].mean():.3f}" for name in ("auc_before", "auc_after"))
            worst = f"{own['change'].min():+.3f}"
            lines.append(f"| {' | '.join([str(method), *means, *changes, worst])} |")
    lines += ["", "In brackets: 95% intervals of the change within one seed, resampling patients.", ""]
    return "\n".join(lines)


def conclusion(table: pd.DataFrame) -> str:
    """Say which ways keep the drop on old images at most :data:`TOLERATED` with every seed."""
    worst = table[table["question"] == FORGETTING.name].groupby("method", sort=False)["change"].min()
    if worst.empty:
        return "Forgetting was not measured: there are no held-out old images of both classes."
    keeps = [str(method) for method, change in worst.items() if change >= -TOLERATED]
    ways = ", ".join(keeps) or "none of these"
    text = f"Ways by which the AUC of stage 2 on old images drops by at most {TOLERATED} with every seed: {ways}."
    if ALONE in worst:
        text += f" Fine-tuning on the new images alone changes it by {worst[ALONE]:+.3f} at worst."
    return text


def _change(row: "pd.Series[float]") -> str:
    text = f"{row['change']:+.3f}"
    return text if pd.isna(row["ci_low"]) else f"{text} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
