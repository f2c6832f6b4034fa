"""Fig. 11: the embedding of the test images, coloured by truth, by prediction and, unlike the paper's, by source."""

from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.embedding import (
    SMALLEST,
    agreement_by_chance,
    embedding_figure,
    neighbour_agreement,
    project,
)
from cxrscreen.evaluate.metrics import choose_operating_point
from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import ALL_TASKS
from cxrscreen.evaluate.reproduce.comit_net.runs import ComitRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent

SEED_OF_LAYOUT = 0
RULE = "specificity>=0.90"


@dataclass(frozen=True, eq=False)
class Embedded:
    """The test images of one training.

    Parameters
    ----------
    pooled
        float32 (N, K).
    groups, sources, truth, predicted
        Patient group, source, class and answer of each image.
    """

    pooled: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    groups: tuple[str, ...]
    sources: tuple[str, ...]
    truth: tuple[str, ...]
    predicted: tuple[str, ...]


@dataclass(frozen=True)
class Neighbours:
    """How often an image's neighbour of another patient shares its class, its answer or its source."""

    shared: str
    share: Estimate
    by_chance: float


def embedded(runs: ComitRuns) -> Embedded:
    """The test images of the first training with all tasks, called at 90 % specificity on the validation images.

    Raises
    ------
    ManifestError
        If there are too few test images to project.
    """
    seed = runs.variants.seeds()[0]
    found = runs.answers(ALL_TASKS, seed)
    chosen_on = runs.scores(ALL_TASKS, seed, "validation")
    threshold = choose_operating_point(chosen_on["truth"], chosen_on["score"], RULE).threshold
    rows = runs.scores(ALL_TASKS, seed, "test").set_index("image_id")
    if len(rows) < SMALLEST:
        raise ManifestError(f"Fig. 11 needs at least {SMALLEST} test images, and there are {len(rows)}: add some.")
    place = {image_id: row for row, image_id in enumerate(found.image_ids)}
    return Embedded(
        found.pooled[[place[str(image_id)] for image_id in rows.index]],
        tuple(rows["group"]),
        tuple(rows["source"]),
        tuple(np.where(rows["truth"] == 1, "COVID-19", "not COVID-19")),
        tuple(np.where(rows["score"] >= threshold, "called COVID-19", "not called")),
    )


def neighbours(images: Embedded) -> tuple[Neighbours, ...]:
    """Count what neighbours share."""
    named = {"class": images.truth, "answer": images.predicted, "source": images.sources}
    return tuple(
        Neighbours(word, neighbour_agreement(images.pooled, images.groups, names), agreement_by_chance(names))
        for word, names in named.items()
    )


def figure11_table(found: tuple[Neighbours, ...]) -> Table:
    """Fig. 11 in figures."""
    rows = tuple(
        (f"The same {each.shared}", percent(each.share), f"{100 * each.by_chance:.1f}", str(each.share.n))
        for each in found
    )
    return Table(
        "figure11",
        "Fig. 11: what the embedding holds together",
        (Part("", ("An image and its nearest neighbour have", "Share", "By chance", "n"), rows),),
        [asdict(each) for each in found],
        differs=(*say.DIFFERS, "The panel by source, and the shares, are ours."),
        not_to_conclude=say.EMBEDDING_CONCLUDED,
        figure="figure11",
        system=say.SYSTEM,
        intervals=say.EMBEDDING_INTERVALS,
    )


def figure11(images: Embedded) -> Figure:
    """Draw the embedding three times."""
    panels = (
        ("(a) truth", images.truth),
        ("(b) prediction, at the threshold of 90 % specificity", images.predicted),
        ("(c) source", images.sources),
    )
    return embedding_figure(
        project(images.pooled, seed=SEED_OF_LAYOUT), panels, "Embedding of the test images by COMiT-Net with all tasks"
    )
