"""The figures of a decision between several classes as sections of a page."""

from collections.abc import Mapping
from typing import Any

from cxrscreen.evaluate.cells import cell, table

_CLASS_FIGURES = {
    "auc": "AUC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "PPV",
    "f1": "F1",
}


def class_sections(results: Mapping[str, Any]) -> list[str]:
    """Lines of a page about a `ClassesResult` that was turned into plain values."""
    names = results["classes"]
    lines = ["", "## Each class against the rest, and averages", ""]
    rows = [
        [name, str(support), *(cell(results["by_class"][name][figure]) for figure in _CLASS_FIGURES)]
        for name, support in zip(names, results["support"], strict=True)
    ]
    for title, key in (("*average over classes*", "macro"), ("*average weighted by images*", "weighted")):
        rows.append([title, "", *(cell(results[key][figure]) for figure in _CLASS_FIGURES)])
    lines += table(["Class", "n", *_CLASS_FIGURES.values()], rows)
    lines += ["", f"Accuracy {cell(results['accuracy'])}. The class of greatest probability is called."]
    lines += ["", "## Confusion matrix", ""]
    lines += table(
        ["Truth", *(f"called {name}" for name in names)],
        [[name, *map(str, row)] for name, row in zip(names, results["confusion"], strict=True)],
    )
    if len(results["within"]) > 1:
        lines += ["", "## AUC within sources", ""]
        lines += table(
            ["Source", *names],
            [[source, *(cell(areas.get(name)) for name in names)] for source, areas in results["within"].items()],
        )
    return lines
