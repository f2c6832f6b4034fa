"""Grad-CAM beside LIME (paper, Figs. 15 and 19), and the chart of the 14 findings (Fig. 17)."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE
from cxrscreen.explain.lime import LEAST
from cxrscreen.systems.covid_cxnet.classes import WORDS
from cxrscreen.systems.covid_cxnet.explanation import Explanation

FOR, AGAINST, OUTLINE = "#009E73", "#D55E00", "#56B4E9"
SHOWN = 10
"""Superpixels that are coloured, the strongest."""
CHARTED = 4
"""Most images in one chart of findings."""
CAPTION = 132
"""Characters in a line below the chart."""


def explanation_figure(found: Explanation, title: str, concerns: Sequence[str] = ()) -> Figure:
    """Draw the region, Grad-CAM on it, that of the network of the findings, and LIME's strongest superpixels.

    The lungs are outlined. A bundle without that network has no such panel. What the gate doubts about the image,
    sentence by sentence, is said first below the panels.
    """
    before = found.findings_cam
    figure = Figure(figsize=(11.4 if before is None else 15.0, 4.8), layout="constrained")
    region, *pretrained, gradient, superpixels = figure.subplots(1, 3 if before is None else 4)
    for axes, name in (
        (region, "The region, before matching\nand enhancement"),
        *((axes, "Grad-CAM of the network of the findings,\nfor its finding pneumonia") for axes in pretrained),
        (gradient, f"Grad-CAM{_in_lungs(found.grad_cam_in_lungs)}"),
        (superpixels, _of_superpixels(found)),
    ):
        axes.imshow(found.grey, cmap="gray", vmin=0, vmax=1)
        axes.set_title(name, fontsize=9.5)
        axes.set_axis_off()
        if found.lungs.any() and not found.lungs.all():
            axes.contour(found.lungs, levels=[0.5], colors=[OUTLINE], linewidths=0.8)
    maps = [found.grad_cam] if before is None else [before, found.grad_cam]
    for axes, heat in zip((*pretrained, gradient), maps, strict=True):
        axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.55 * (heat > 0.05))
    _superpixels(superpixels, found)
    figure.suptitle(f"{title}: what spoke for {WORDS[found.finding]}", fontsize=11, x=0.01, ha="left")
    doubts = "".join(f"{line}\n" for line in wrap(" ".join(concerns), CAPTION))
    figure.supxlabel(
        f"{doubts}Probability {found.lime.probability:.2f}, not calibrated. LIME: green spoke for the class, "
        "orange against it; its "
        f"linear model explains {100 * max(found.lime.fit, 0):.0f} % of the change (low: do not trust its colours).\n"
        "Both show what moved the network, not where disease is: a network that recognises a hospital can look at "
        f"lungs too. Blue: outline of the lungs as found.\n{RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def findings_figure(
    by_image: Mapping[str, Mapping[str, float]], title: str, *, source: str, caution: str = ""
) -> Figure:
    """Draw the probabilities of the 14 findings, a colour for each image.

    Parameters
    ----------
    by_image
        Probability in [0, 1] by finding, by the image's name as it is shown; at most :data:`CHARTED` of them.
    title
        One line above the bars.
    source, caution
        By what the findings are told, and what must be said of how they were learned; see
        :attr:`cxrscreen.systems.covid_cxnet.pipeline.CovidCxNet.chart_caution`.
    """
    colours = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    names = list(next(iter(by_image.values())))
    height, handles = 0.8 / len(by_image), []
    for number, probabilities in enumerate(by_image.values()):
        places = np.arange(len(names)) - 0.4 + (number + 0.5) * height
        colour = colours[number % len(colours)]
        bars = axes.barh(places, [probabilities[name] for name in names], height=height, color=colour)
        handles.append(bars)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=f"Probability given by {source}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(handles, [""] * len(handles), frameon=False, fontsize=9, loc="lower right")
    # A label is left out where it starts with "_", and read as a formula between "$"; a file's name is neither.
    for text, image in zip(legend.get_texts(), by_image, strict=True):
        text.set_parse_math(False)
        text.set_text(image)
    axes.set_title(title, fontsize=11, loc="left")
    figure.supxlabel(
        "\n".join(
            line
            for text in (
                caution,
                "Not calibrated, and of labels read from reports by a program; a finding that few training images had "
                "is little more than a guess.",
                RESEARCH_USE,
            )
            for line in wrap(text, CAPTION)
        ),
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _superpixels(axes: Axes, found: Explanation) -> None:
    signs = found.lime.strongest(SHOWN)
    edges = _edges(found.lime.superpixels)
    for sign, colour in ((1, FOR), (-1, AGAINST)):
        own = signs == sign
        axes.imshow(_coloured(own & ~edges, colour, 0.4))
        axes.imshow(_coloured(own & edges, colour, 1.0))


def _edges(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another number."""
    edges = np.zeros(numbers.shape, dtype=bool)
    edges[:, :-1] |= numbers[:, :-1] != numbers[:, 1:]
    edges[:-1] |= numbers[:-1] != numbers[1:]
    return edges


def _coloured(where: NDArray[np.bool_], colour: str, alpha: float) -> NDArray[np.float64]:
    picture = np.zeros((*where.shape, 4))
    picture[..., :3] = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    picture[..., 3] = alpha * where
    return picture


def _of_superpixels(found: Explanation) -> str:
    if not found.lime.strongest(1).any():
        return f"LIME\nno superpixel moved the probability by {100 * LEAST:g} %"
    return f"LIME, {SHOWN} strongest superpixels{_in_lungs(found.lime_in_lungs)}"


def _in_lungs(share: float | None) -> str:
    return "\nnothing spoke for the class" if share is None else f"\n{100 * share:.0f} % inside the lungs"
