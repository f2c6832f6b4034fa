"""Tables 3 to 7 of the cascade paper (Yeh et al., 2020): a function per table, from trainings to a table."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from cxrscreen.evaluate.reproduce import paper
from cxrscreen.evaluate.reproduce import wording as say
from cxrscreen.evaluate.reproduce.change import Change, change
from cxrscreen.evaluate.reproduce.measure import Choose, Figures, measure
from cxrscreen.evaluate.reproduce.runs import Runs, Training, Tuning
from cxrscreen.evaluate.reproduce.table import (
    Part,
    Row,
    Table,
    as_printed,
    grid,
    percent,
    plain,
    printed_values,
    recomputed,
    remarks_of,
    source_notes,
)

PARTS = ("validation", "test")
STAGES: Mapping[str, str] = {"2": "2: pneumonia", "3": "3: COVID-19"}


def table3(runs: Runs) -> Table:
    """With and without stage 1: stage 2 trained twice on all sources."""
    rows = []
    kinds: tuple[tuple[Training, str, str], ...] = (("lungs", "with", "yes"), ("whole", "without", "no"))
    for training, mask, word in kinds:
        outputs = [runs.trained(training, seed) for seed in runs.recipe.seeds]
        for part in PARTS:
            ours = measure(outputs, "2", part, _all, _all)
            rows.append(Row((part, word), paper.TABLE3[mask, part], ours, {"part": part, "lung_mask": mask}))
    rows.sort(key=lambda row: row.labels[0], reverse=True)
    return _table(
        "table3",
        "Table 3: stage 2 with and without the lung mask of stage 1",
        ("Part", "Lung mask"),
        rows,
        differs=say.TABLE3_DIFFERS,
        not_to_conclude=say.TABLE3_CONCLUDE,
    )


def table4(runs: Runs) -> Table:
    """Trained on the open set alone, asked about it and about the clinic."""
    outputs = [runs.trained("open", seed) for seed in runs.recipe.seeds]
    clinic = _source(runs.recipe.clinic)
    opened = _not(clinic)
    # A network that has seen no image of the clinic has no threshold of its own there.
    rows = _by_set(outputs, paper.TABLE4, {"open": opened, "clinic": clinic}, opened, "")
    return _table(
        "table4",
        "Table 4: trained on the open set alone",
        ("Images", "Part", "Stage"),
        rows,
        differs=say.CLINIC,
        not_to_conclude=(say.OPEN_CONFOUNDED,),
    )


def table5(runs: Runs) -> Table:
    """The same, fine-tuned by Eq. 2 on the open set and the clinic; and what was forgotten."""
    outputs = [
        runs.tuned(Tuning(f"table5/seed{seed}", seed, seed, runs.recipe.adapt.distillation))
        for seed in runs.recipe.seeds
    ]
    clinic = _source(runs.recipe.clinic)
    opened = _not(clinic)
    rows = _by_set(outputs, paper.TABLE5, {"open": opened, "clinic": clinic}, _all, "_after")
    changes = {
        "Open test images, stage 2 (paper: 96.72 to 96.64)": change(outputs, "2", opened),
        "Open test images without COVID-19 (D_o), stage 2": change(outputs, "2", _and(opened, without_covid19)),
        "Clinic's test images, stage 2": change(outputs, "2", clinic),
        "Clinic's test images, stage 3": change(outputs, "3", clinic),
    }
    return _table(
        "table5",
        f"Table 5: fine-tuned on the open set and the clinic (Eq. 2, lambda {runs.recipe.adapt.distillation:g})",
        ("Images", "Part", "Stage"),
        rows,
        more=(changes_grid("AUC before (table 4) and after the fine-tuning", changes),),
        differs=say.CLINIC,
        not_to_conclude=(say.OPEN_CONFOUNDED,),
        content=[
            {"change": title, **({} if each is None else {"pooled": each.pooled, "within": each.within})}
            for title, each in changes.items()
        ],
    )


def table6(runs: Runs) -> Table:
    """Stage 3 alone, fine-tuned and measured on a single source."""
    outputs = [runs.tuned(Tuning(f"table6/seed{seed}", seed, seed, None, stage="3")) for seed in runs.recipe.seeds]
    clinic = _source(runs.recipe.clinic)
    rows = [
        Row(
            (part, STAGES["3"]),
            paper.TABLE6[part],
            measure(outputs, "3", part, clinic, clinic, moment="_after"),
            {"part": part, "stage": "3"},
        )
        for part in PARTS
    ]
    return _table(
        "table6",
        "Table 6: stage 3 fine-tuned on a single source (NHIA in the paper)",
        ("Part", "Stage"),
        rows,
        differs=(*say.TABLE6_DIFFERS, *say.CLINIC),
        not_to_conclude=say.TABLE6_CONCLUDE,
    )


def table7(runs: Runs) -> Table:
    """COVID-Net's split: shares of each class called rightly."""
    outputs = [runs.trained("covid-net", seed) for seed in runs.recipe.seeds]
    found = {stage: measure(outputs, stage, "test", _all, _all) for stage in STAGES}
    lines, content = [], []
    for (stage, name), (ours_printed, covid_net) in paper.TABLE7.items():
        rate = "specificity" if name == "normal" or (stage, name) == ("3", "pneumonia") else "sensitivity"
        figures = found[stage]
        count = figures.negatives if rate == "specificity" else figures.positives
        cells = [as_printed(ours_printed), recomputed(ours_printed)]
        pooled, within = figures.pooled.get(rate), figures.within.get(rate)
        lines.append((STAGES[stage], name, recomputed(covid_net), *cells, percent(pooled), percent(within), str(count)))
        content.append(
            {
                "stage": stage,
                "class": name,
                "printed": printed_values(ours_printed),
                "covid_net": None if covid_net is None else printed_values(covid_net),
                "ours": pooled,
                "ours_within_sources": within,
                "images": count,
            }
        )
    rows = [Row((STAGES[stage],), {}, figures, {"stage": stage}) for stage, figures in found.items()]
    head = ("Stage", "Class", "COVID-Net, recomputed", "Printed", "Recomputed from counts")
    remarks = tuple(f"Stage {s}, {n}: {p.remark}." for (s, n), (p, _) in paper.TABLE7.items() if p.remark)
    shares = Part(
        "Share of a class called rightly", (*head, "Ours, pooled", "Ours, within sources", "Images"), (*lines,)
    )
    return _table(
        "table7",
        "Table 7: COVID-Net's split",
        ("Stage",),
        rows,
        more=(shares,),
        remarks=remarks,
        differs=say.TABLE7_DIFFERS,
        not_to_conclude=say.TABLE7_CONCLUDE,
        content=content,
    )


def changes_grid(title: str, changes: Mapping[str, Change | None]) -> Part:
    """AUCs before and after, pooled and within sources."""
    lines = []
    for name, each in changes.items():
        if each is None:
            lines.append((name, "one class only", *["-"] * 5))
            continue
        pooled = (percent(each.pooled["before"]), percent(each.pooled["after"]))
        moved = percent(each.pooled["change"], signed=True), percent(each.within.get("change"), signed=True)
        by_tuning = ", ".join(f"{100 * value:+.1f}" for value in each.by_tuning)
        lines.append((name, *pooled, *moved, by_tuning, f"{each.positives} / {each.negatives}"))
    head = ("Images", "Before", "After", "Change, pooled", "Change, within sources", "Change by seed", "n+ / n-")
    return Part(title, head, tuple(lines))


def without_covid19(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Images of D_o: no COVID-19."""
    return rows["label"] != "covid19"


def _by_set(
    outputs: Sequence[pd.DataFrame],
    printed: Mapping[paper.Cell, Mapping[paper.Name, paper.Printed]],
    sets: Mapping[str, Choose],
    chosen_on: Choose,
    moment: str,
) -> list[Row]:
    rows = []
    for name, part, stage in printed:
        ours: Figures = measure(outputs, stage, part, sets[name], chosen_on, moment=moment)
        key = {"images": name, "part": part, "stage": stage}
        rows.append(Row((name, part, STAGES[stage]), printed[name, part, stage], ours, key))
    return rows


def _table(
    name: str,
    title: str,
    labels: tuple[str, ...],
    rows: Sequence[Row],
    *,
    more: tuple[Part, ...] = (),
    remarks: tuple[str, ...] = (),
    differs: tuple[str, ...],
    not_to_conclude: tuple[str, ...],
    content: Sequence[Mapping[str, object]] = (),
) -> Table:
    return Table(
        name,
        title,
        (grid("The paper's figures and ours", labels, rows), *more),
        [*(plain(row) for row in rows), *content],
        remarks=(*remarks_of(rows), *remarks),
        source_notes=source_notes(rows),
        differs=(*differs, *say.ALWAYS_DIFFERS),
        not_to_conclude=(*not_to_conclude, *say.NEVER_CONCLUDE),
    )


def _all(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["source"].notna()


def _source(name: str) -> Choose:
    return lambda rows: rows["source"] == name


def _not(chosen: Choose) -> Choose:
    return lambda rows: ~chosen(rows)


def _and(one: Choose, other: Choose) -> Choose:
    return lambda rows: one(rows) & other(rows)


TABLES: Mapping[str, Callable[[Runs], Table]] = {
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "table7": table7,
}
"""By name."""
