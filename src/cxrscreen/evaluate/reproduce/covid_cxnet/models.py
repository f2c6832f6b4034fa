"""Tables 1 to 5: the paper's five models, and the bias of normal images of children."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy import stats

from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.goal import Goal
from cxrscreen.evaluate.reproduce.covid_cxnet import wording as say
from cxrscreen.evaluate.reproduce.covid_cxnet.measure import (
    HELD_OUT,
    NEW,
    Figures,
    Measured,
    at_mix,
    called_alike,
    compare,
    left_out_rows,
    measure,
)
from cxrscreen.evaluate.reproduce.covid_cxnet.paper import (
    MATRICES,
    PRINTED,
    REMARKS,
    TABLE5,
    TITLES,
    VERSION,
    mix_of,
    of_matrix,
)
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import WITHOUT
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.systems.covid_cxnet.classes import CLASSES, WORDS

GOALS: Mapping[str, Mapping[str, Goal]] = {
    "own": {"accuracy": Goal(0.986), "f1 covid19": Goal(0.94)},
    "whole": {"accuracy": Goal(0.9904), "f1 covid19": Goal(0.96)},
    "three": {"accuracy": Goal(0.942), "f1 covid19": Goal(0.86)},
}
"""What the paper prints, as bars for the pooled figures."""


def table1(runs: CxNetRuns) -> Table:
    """The base model that learned normal chests from children, on adults."""
    return _table(runs, "table1", "Table 1: the base model on adults it did not learn from", ("base-v1",))


def table2(runs: CxNetRuns) -> Table:
    """The base model that learned from adults."""
    return _table(runs, "table2", "Table 2: the base model with normal images of adults", ("base-v2",))


def table3(runs: CxNetRuns) -> Table:
    """COVID-CXNet without and with the region of interest."""
    return _table(runs, "table3", "Table 3: COVID-CXNet on whole radiographs and on the lungs alone", ("whole", "own"))


def table4(runs: CxNetRuns) -> Table:
    """The three-class version."""
    return _table(runs, "table4", "Table 4: normal, other pneumonia and COVID-19", ("three",))


def table5(runs: CxNetRuns) -> Table:
    """All five models, and the range of accuracy over seeds."""
    lines, content = [], []
    for name, (accuracy, spread, score) in TABLE5.items():
        ours, paper = measured(runs, name), of_matrix(name)
        printed = {"accuracy": f"{accuracy:.2f} ({spread[0]:.2f} to {spread[1]:.2f})", "f1 covid19": f"{score:.0f}"}
        within = runs.recipe.within
        lines += [_line(TITLES[name], figure, said, paper, ours, within) for figure, said in printed.items()]
        content.append({"model": name, "printed": [accuracy, *spread, score]} | _content(paper, ours))
    accuracies = seed_accuracies(runs)
    low, high = interval_of_mean(accuracies)
    head = ("Trainings", "Accuracy of each", "Least", "Largest", "Mean [95 %, of the training's chance alone]")
    shown = ", ".join(f"{100 * value:.1f}" for value in accuracies)
    mean = f"{100 * np.mean(accuracies):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    least, most = (f"{100 * value:.1f}" for value in (min(accuracies), max(accuracies)))
    part = Part(
        "Range over seeds: COVID-CXNet v2 by the recipe's seed_phases, test images",
        head,
        ((str(len(accuracies)), shown, least, most, mean),),
    )
    made = _assembled("table5", "Table 5: all models", lines, content, tuple(TABLE5), differs=say.SEEDS_DIFFERS)
    seeds = {"seeds": list(runs.recipe.seeds), "accuracies": accuracies, "mean_interval": [low, high]}
    return replace(made, parts=(*made.parts, part), content=(*made.content, seeds))


def paediatric_bias(runs: CxNetRuns) -> Table:
    """Version 1 with the normal images of children and of adults, and version 2, all on the same adults."""
    models = ("base-v1", "base-v1-adults", "base-v2")
    outputs = {name: runs.outputs(name) for name in models}
    found = {name: compare(outputs["base-v1"], outputs[name]) for name in models[1:]}
    paper, ours = {name: of_matrix(name) for name in models}, {name: measured(runs, name) for name in models}
    words = {"accuracy": "accuracy", "auc": "auc covid19", "sensitivity": "sensitivity covid19"}
    words["specificity"] = "specificity covid19"
    lines = tuple(
        (
            name.upper() if name == "auc" else name.capitalize(),
            *(percent(paper[model].get(figure)) for model in ("base-v1", "base-v2")),
            *(percent(each.pooled.get(figure)) for each in ours.values()),
            *(percent(change[name], signed=True) for change in found.values()),
        )
        for name, figure in words.items()
    )
    head = (
        "Figure",
        "Paper, version 1",
        "Paper, version 2",
        "Ours, version 1, children",
        "Ours, version 1, adults",
        "Ours, version 2, adults",
        "Adults less children, version 1",
        "Version 2 less version 1 of children",
    )
    elsewhere = _part("Within sources and of the source left out", _lines(runs, models, ours))
    content = [
        {"model": model, "figure": name, "difference": asdict(each)}
        for model, change in found.items()
        for name, each in change.items()
    ]
    content += [{"model": name} | _content(paper[name], ours[name]) for name in models]
    return Table(
        "paediatric-bias",
        "The bias of normal images of children: table 1 against table 2",
        (Part("The same adults, one training each", head, lines), elsewhere),
        content,
        remarks=tuple(f"{TITLES[name]}: {REMARKS[name]}" for name in models if name in REMARKS),
        differs=(*say.CHILDREN_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.CHILDREN_CONCLUDE, say.FEW_NORMAL, *say.NOT_CONCLUDED),
        answer=_bias_answer(paper, ours, found),
        system=say.SYSTEM,
        intervals=f"{say.INTERVALS} {say.PAIRED}",
    )


def measured(runs: CxNetRuns, name: str) -> Measured:
    """A model's figures, with those of the same training without the source that holds every class."""
    source = runs.recipe.within
    unseen = left_out_rows(runs.outputs(f"{name}{WITHOUT}{source}"), source)
    return measure(runs.outputs(name), CLASSES[VERSION[name]], unseen)


def seed_accuracies(runs: CxNetRuns) -> list[float]:
    """Accuracy on the test images of the short trainings, a seed each."""
    classes, found = CLASSES["binary"], []
    for seed in runs.recipe.seeds:
        rows = runs.outputs(f"seed-{seed}")
        test = rows[rows["part"] == "test"]
        called = test[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
        found.append(float((np.array(classes)[called] == test["truth"]).mean()))
    return found


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of two or more trainings; a point where all came out the same."""
    centre, error = float(np.mean(values)), float(stats.sem(values))
    if error == 0:
        return centre, centre
    low, high = stats.t.interval(0.95, len(values) - 1, centre, error)
    return float(low), float(high)


def _table(runs: CxNetRuns, name: str, title: str, models: tuple[str, ...]) -> Table:
    ours = {model: measured(runs, model) for model in models}
    content = [{"model": model} | _content(of_matrix(model), ours[model]) for model in models]
    made = _assembled(name, title, _lines(runs, models, ours), content, models)
    matrices = tuple(
        _matrix(f"{TITLES[model]}: {whose}", model, matrix)
        for model in models
        for whose, matrix in (("the paper's images", MATRICES.get(model)), ("our test images", ours[model].confusion))
        if matrix is not None
    )
    differs = say.CHILDREN_DIFFERS if models == ("base-v1",) else ()
    mixed = {model: _at_papers_mix(runs, model) for model in models}
    return replace(
        made,
        parts=(*made.parts, _mix_part(runs, models, ours, mixed), *matrices),
        content=(*made.content, *({"model": model, "at_papers_mix": _plain(own)} for model, own in mixed.items())),
        answer=tuple(_verdict(model, ours[model], mixed[model]) for model in models if model in GOALS),
        differs=(*differs, *made.differs),
    )


def _at_papers_mix(runs: CxNetRuns, model: str) -> Figures:
    rows = runs.outputs(model)
    return at_mix(rows[rows["part"] == "test"], CLASSES[VERSION[model]], mix_of(model))


def _mix_part(
    runs: CxNetRuns, models: Sequence[str], ours: Mapping[str, Measured], mixed: Mapping[str, Figures]
) -> Part:
    """What calling everything alike reaches on the same images, and ours at the paper's mix of the classes."""
    source, lines = runs.recipe.within, []
    for model in models:
        rows = runs.outputs(model)
        held = rows[rows["part"].isin(HELD_OUT if ours[model].within_of != "test images" else ("test",))]
        sets = [("pooled", rows[rows["part"] == "test"], ours[model].pooled)]
        sets += [(f"within {name}", held[held["source"] == name], own) for name, own in ours[model].within.items()]
        unseen = left_out_rows(runs.outputs(f"{model}{WITHOUT}{source}"), source)
        sets.append((f"{source}, left out", unseen, ours[model].left_out))
        for name, own, found in sets:
            for figure, alike in called_alike(own).items():
                if figure not in found:
                    continue
                at_papers = percent(mixed[model].get(figure)) if name == "pooled" else "-"
                lines.append(
                    (
                        TITLES[model],
                        name,
                        figure_in_words(figure),
                        percent(found.get(figure)),
                        f"{100 * alike:.1f}",
                        at_papers,
                    )
                )
    head = ("Model", "Images", "Figure", "Ours", "All called alike", "Ours at the paper's mix")
    return Part("What the mix of classes gives away", head, tuple(lines))


def _assembled(
    name: str,
    title: str,
    lines: Sequence[tuple[str, ...]],
    content: Sequence[Mapping[str, Any]],
    models: Sequence[str],
    *,
    differs: tuple[str, ...] = (),
) -> Table:
    return Table(
        name,
        title,
        (_part("The paper's figures and ours", lines),),
        content,
        remarks=tuple(f"{TITLES[model]}: {REMARKS[model]}" for model in models),
        differs=(*differs, *say.DIFFERS),
        not_to_conclude=(*say.NOT_CONCLUDED, say.FEW_NORMAL),
        system=say.SYSTEM,
        intervals=say.INTERVALS,
    )


def _part(title: str, lines: Sequence[tuple[str, ...]]) -> Part:
    ours = ("Ours, pooled", "Ours, within sources", "Ours, left out")
    return Part(title, ("Model", "Figure", "Printed", "Recomputed from the matrix", *ours), tuple(lines))


def _lines(runs: CxNetRuns, models: Sequence[str], ours: Mapping[str, Measured]) -> list[tuple[str, ...]]:
    source, lines = runs.recipe.within, []
    for model in models:
        paper = of_matrix(model)
        for figure in ours[model].pooled:
            said = PRINTED[model].get(figure)
            printed = "-" if said is None else f"{said:.2f}".removesuffix(".00")
            lines.append(_line(TITLES[model], figure, printed, paper, ours[model], source))
    return lines


def _line(model: str, figure: str, printed: str, paper: Figures, ours: Measured, source: str) -> tuple[str, ...]:
    within = "; ".join(
        f"{name} {percent(own[figure])}, {own[figure].n} images" for name, own in ours.within.items() if figure in own
    )
    kind = "" if ours.within_of == "test images" or not within else f" ({ours.within_of})"
    unseen = ours.left_out.get(figure)
    left_out = "-" if unseen is None else f"{source} {percent(unseen)}"
    return (
        model,
        figure_in_words(figure),
        printed,
        percent(paper.get(figure)),
        percent(ours.pooled.get(figure)),
        f"{within}{kind}" or "-",
        left_out,
    )


def figure_in_words(figure: str) -> str:
    """``f1 covid19`` as a reader knows it."""
    kind, _, name = figure.partition(" ")
    word = {"auc": "AUC", "f1": "F1"}.get(kind, kind.capitalize())
    return f"{word}, {WORDS[name]}" if name in WORDS else word  # type: ignore[index]


def _matrix(title: str, model: str, matrix: Sequence[Sequence[int]]) -> Part:
    names = [WORDS[name] for name in CLASSES[VERSION[model]]]
    rows = tuple((name, *map(str, row)) for name, row in zip(names, matrix, strict=True))
    return Part(title, ("Truth, and what was called", *names), rows)


def _bias_answer(
    paper: Mapping[str, Figures], ours: Mapping[str, Measured], changes: Mapping[str, Figures]
) -> tuple[str, ...]:
    adults = "specificity covid19"
    learned = {model: percent(each.pooled.get(adults)) for model, each in ours.items()}
    printed = {model: percent(each.get(adults)) for model, each in paper.items()}
    more = {model: percent(change["specificity"], signed=True) for model, change in changes.items()}
    return (
        f"Taught normal chests by children alone, the base model calls {learned['base-v1']} % of the normal adults "
        f"normal; taught in the same way by adults {learned['base-v1-adults']} %, a difference of "
        f"{more['base-v1-adults']} points. {say.CHILDREN_ALONE_DIFFER}",
        f"Version 2 calls {learned['base-v2']} % of them normal, {more['base-v2']} points from version 1 of children. "
        f"{say.VERSIONS_DIFFER} By the paper's matrices the two versions have {printed['base-v1']} and "
        f"{printed['base-v2']}, of other images.",
    )


def _verdict(model: str, ours: Measured, mixed: Figures) -> str:
    def judged(figures: Figures) -> str:
        return ", ".join(
            f"{figure_in_words(figure)} {percent(figures.get(figure))} ({goal} in the paper: "
            f"{goal.verdict(figures.get(figure))})"
            for figure, goal in GOALS[model].items()
        )

    unseen: Estimate | None = ours.left_out.get("auc covid19")
    share = 100 * mix_of(model)[NEW]
    return (
        f"{TITLES[model]}, pooled: {judged(ours.pooled)}. With as much COVID-19 as in the paper ({share:.0f} %): "
        f"{judged(mixed)}. Of a source left out, AUC {percent(unseen)}: that figure, not the pooled "
        "one, says whether disease was recognised."
    )


def _plain(figures: Figures) -> dict[str, Any]:
    return {figure: asdict(each) for figure, each in figures.items()}


def _content(paper: Figures, ours: Measured) -> dict[str, Any]:
    return {
        "recomputed": {figure: asdict(each) for figure, each in paper.items()},
        "confusion": ours.confusion,
        "pooled": {figure: asdict(each) for figure, each in ours.pooled.items()},
        "within": {
            source: {figure: asdict(each) for figure, each in own.items()} for source, own in ours.within.items()
        },
        "within_of": ours.within_of,
        "left_out": {figure: asdict(each) for figure, each in ours.left_out.items()},
    }
