"""Fig. 12: where the COVID-19 decision looks, on average and as a share inside the lungs; no image of a patient."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS, TASK_4_ALONE, in_words
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.explain.heat_map import upsample

VARIANTS = (ALL_TASKS, TASK_4_ALONE)
CLASSES = {
    "COVID-19": ("covid19",),
    "normal": ("normal",),
    "other pneumonia": ("bacterial", "viral", "fungal", "pneumonia", "tuberculosis"),
}
"""Labels by panel."""
SHOWN_SIDE = 224


@dataclass(frozen=True, eq=False)
class MeanHeat:
    """Maps of one variant over the test images of one class.

    Parameters
    ----------
    variant, images
        Its name, and the class.
    heat, lungs
        float32 (h, w): mean map, and mean share of each place that is lung.
    inside
        Mean share of a map's sum inside the lungs, in [0, 1].
    by_area
        The share that a map without any preference would have: the lungs' share of the image.
    more_than
        ``inside`` less that of task 4 alone, on the same images; None for that one.
    asked
        Test images of the class, those without a map or lungs included.
    """

    variant: str
    images: str
    heat: NDArray[np.float32]
    lungs: NDArray[np.float32]
    inside: Estimate
    by_area: Estimate
    more_than: Estimate | None
    asked: int


def mean_heats(runs: ComitRuns) -> tuple[MeanHeat, ...]:
    """Average the maps of the first training of each variant; lungs are those of COMiT-Net with all tasks.

    Raises
    ------
    ManifestError
        If there is no map to average.
    """
    seed = runs.variants.seeds()[0]
    answers = {variant: runs.answers(variant, seed) for variant in VARIANTS}
    facts = runs.facts.set_index("image_id")
    own = answers[ALL_TASKS]
    tested = [i for i, part in zip(own.image_ids, own.parts, strict=True) if part == "test"]
    places = {variant: {i: row for row, i in enumerate(each.image_ids)} for variant, each in answers.items()}
    found = []
    for name, labels in CLASSES.items():
        members = [i for i in tested if facts.at[i, "label"] in labels]
        heats = {variant: answers[variant].heat[[places[variant][i] for i in members]] for variant in VARIANTS}
        lungs = own.lungs[[places[ALL_TASKS][i] for i in members]]
        # A map of zeros lies nowhere, and lungs that were not found hold nothing.
        drawn = np.all([heat.sum(axis=(1, 2)) > 0 for heat in heats.values()], axis=0) & (lungs.sum(axis=(1, 2)) > 0)
        if not drawn.any():
            continue
        groups = [str(facts.at[i, "group"]) for i, kept in zip(members, drawn, strict=True) if kept]
        lungs = lungs[drawn]
        shares = {variant: lung_shares(heat[drawn], lungs) for variant, heat in heats.items()}
        for variant in VARIANTS:
            more = None if variant == TASK_4_ALONE else shares[variant] - shares[TASK_4_ALONE]
            found.append(
                MeanHeat(
                    variant,
                    name,
                    heats[variant][drawn].mean(axis=0),
                    lungs.mean(axis=0),
                    _mean(shares[variant], groups),
                    _mean(lungs.mean(axis=(1, 2)).astype(np.float64), groups),
                    None if more is None else _mean(more, groups),
                    len(members),
                )
            )
    if not found:
        raise ManifestError("No test image has both a map and lungs: train longer, or on images that have lung masks.")
    return tuple(found)


def lung_shares(heat: NDArray[np.float32], lungs: NDArray[np.float32]) -> Floats:
    """Share of each map's sum inside the lungs, (N,) in [0, 1], of maps and lung shares (N, h, w)."""
    return np.asarray((heat * lungs).sum(axis=(1, 2)) / heat.sum(axis=(1, 2)), np.float64)


def figure12_table(found: Sequence[MeanHeat]) -> Table:
    """Fig. 12 in figures."""
    rows = tuple(
        (
            in_words(each.variant),
            each.images,
            percent(each.inside),
            percent(each.by_area),
            percent(each.more_than, signed=True),
            f"{each.inside.n} of {each.asked}",
        )
        for each in found
    )
    head = ("Variant", "Images", "Inside the lungs", "By area alone", "More than task 4 alone", "Images with both maps")
    content = [
        {
            "variant": each.variant,
            "images": each.images,
            "inside": asdict(each.inside),
            "by_area": asdict(each.by_area),
            "asked": each.asked,
            "more_than": None if each.more_than is None else asdict(each.more_than),
        }
        for each in found
    ]
    return Table(
        "figure12",
        "Fig. 12: where the COVID-19 decision looks",
        (Part("", head, rows),),
        content,
        differs=(*say.TASKS_DIFFER, *say.DIFFERS, "The paper shows maps of chosen images and prints no figures."),
        not_to_conclude=say.HEAT_CONCLUDED,
        figure="figure12",
        system=say.SYSTEM,
        intervals=say.HEAT_INTERVALS,
    )


def heat_figure(found: Sequence[MeanHeat]) -> Figure:
    """Draw the mean maps with the outline of where lungs are in half of the images."""
    columns = list(dict.fromkeys(each.images for each in found))
    figure = Figure(figsize=(3.3 * len(columns) + 1.2, 3.7 * len(VARIANTS) + 0.4), layout="constrained")
    grid = figure.subplots(len(VARIANTS), len(columns), squeeze=False)
    size = (SHOWN_SIDE, SHOWN_SIDE)
    for each in found:
        axes = grid[VARIANTS.index(each.variant)][columns.index(each.images)]
        shown = upsample(each.heat, size)
        drawn = axes.imshow(shown / max(float(shown.max()), 1e-6), cmap="magma", vmin=0, vmax=1)
        axes.contour(upsample(each.lungs, size), levels=[0.5], colors="#ffffff", linewidths=1.2)
        axes.set(xticks=[], yticks=[])
        axes.set_title(
            f"{in_words(each.variant)}: {each.images}\nin the lungs {percent(each.inside)}", fontsize=9, loc="left"
        )
    figure.colorbar(drawn, ax=grid, shrink=0.6, label="Mean Grad-CAM, largest value 1")
    figure.supxlabel(
        "Means over the test images of a class on the network's square input; white: lung in half of the images.\n"
        f"Shares in percent with 95 % intervals by patient. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _mean(values: Floats, groups: Sequence[str]) -> Estimate:
    return bootstrap(lambda weights: weighted_mean(values, weights), groups)
