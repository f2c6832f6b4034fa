"""Section 5.2: initial weights of ImageNet, with frozen features and without, beside the pre-training on findings."""

from collections.abc import Mapping
from dataclasses import asdict

from cxrscreen.evaluate.reproduce.covid_cxnet import wording as say
from cxrscreen.evaluate.reproduce.covid_cxnet.measure import NEW, compare, measure
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import CxNetRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.systems.covid_cxnet.classes import CLASSES

STARTS: Mapping[str, str] = {
    "whole": "pre-trained on findings, fine-tuned",
    "imagenet": "ImageNet, fine-tuned",
    "imagenet-frozen": "ImageNet, features frozen",
}


def imagenet(runs: CxNetRuns) -> Table:
    """Three starts of the same network on whole radiographs."""
    first = runs.outputs("whole")
    figures = ("accuracy", f"f1 {NEW}", f"auc {NEW}", f"sensitivity {NEW}", f"specificity {NEW}")
    lines, content = [], []
    for name, word in STARTS.items():
        rows = runs.outputs(name)
        found = measure(rows, CLASSES["binary"])
        change = {} if name == "whole" else compare(first, rows)
        for figure in figures:
            kind = figure.partition(" ")[0]
            within = "; ".join(f"{source} {percent(own.get(figure))}" for source, own in found.within.items())
            lines.append(
                (
                    word,
                    {"f1": "F1", "auc": "AUC"}.get(kind, kind.capitalize()),
                    percent(found.pooled.get(figure)),
                    f"{within} ({found.within_of})" if within else "-",
                    percent(change.get(kind), signed=True),
                )
            )
        content.append(
            {
                "start": name,
                "pooled": {figure: asdict(found.pooled[figure]) for figure in figures if figure in found.pooled},
                "within": {
                    source: {figure: asdict(each) for figure, each in own.items()}
                    for source, own in found.within.items()
                },
                "less_first": {figure: asdict(each) for figure, each in change.items()},
            }
        )
    head = ("Start", "Figure", "Pooled", "Within sources", "Less the first")
    return Table(
        "imagenet",
        "Section 5.2: ImageNet weights against pre-training on findings",
        (Part("", head, tuple(lines)),),
        content,
        differs=(*say.IMAGENET_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.NOT_CONCLUDED, say.FEW_NORMAL),
        system=say.SYSTEM,
        intervals=f"{say.INTERVALS} {say.PAIRED} Of these starts no source is left out; see leave-one-out.",
    )
