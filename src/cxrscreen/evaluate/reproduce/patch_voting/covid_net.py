"""Table XII: the comparison with COVID-Net, as far as the images at hand allow."""

from dataclasses import asdict

from cxrscreen.evaluate.reproduce.patch_voting.covid_net_split import COVID_NET
from cxrscreen.evaluate.reproduce.patch_voting.paper import TABLE12
from cxrscreen.evaluate.reproduce.patch_voting.runs import PatchRuns
from cxrscreen.evaluate.reproduce.patch_voting.wording import (
    INTERVALS,
    NOT_CONCLUDED,
    SYSTEM,
    TABLE12_CONCLUDE,
    TABLE12_DIFFERS,
    TABLE12_REMARKS,
)
from cxrscreen.evaluate.reproduce.table import Part, Table, percent, printed_values, recomputed
from cxrscreen.evaluate.several_classes import evaluate_classes

HEAD = ("Class", "Figure", "COVID-Net, by its counts", "The paper's, by its counts", "Ours", "Images")


def table12(runs: PatchRuns) -> Table:
    """Accuracy, and sensitivity and precision of each class."""
    result = evaluate_classes(runs.covid_net(), COVID_NET)
    figures = {("all", "accuracy"): result.accuracy}
    figures |= {
        (name, figure): result.by_class[name][figure] for figure in ("sensitivity", "precision") for name in COVID_NET
    }
    rows: list[tuple[str, ...]] = []
    content: list[dict[str, object]] = []
    for key, ours in figures.items():
        theirs, papers = TABLE12[key]
        rows.append((*key, recomputed(theirs), recomputed(papers), percent(ours), str(ours.n)))
        content.append(
            {
                "class": key[0],
                "figure": key[1],
                "covid_net": printed_values(theirs),
                "printed": printed_values(papers),
                "ours": asdict(ours),
            }
        )
    content.append(
        {"support": list(result.support), "confusion": [list(row) for row in result.confusion], "classes": COVID_NET}
    )
    return Table(
        "table12",
        "Table XII: COVID-Net's three classes",
        (Part("", HEAD, tuple(rows)),),
        content,
        remarks=TABLE12_REMARKS,
        differs=TABLE12_DIFFERS,
        not_to_conclude=(*TABLE12_CONCLUDE, *NOT_CONCLUDED),
        system=SYSTEM,
        intervals=INTERVALS,
    )
