"""An image beside its enhancements, each over its histogram (COVID-CXNet paper, Figs. 3 and 4)."""

from collections.abc import Mapping
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE

BINS = 64
SHOWN_SIDE = 512
COLUMNS = 4


def comparison_figure(pictures: Mapping[str, NDArray[np.float32]], title: str) -> Figure:
    """Draw images side by side, four in a row, with their histograms below.

    Parameters
    ----------
    pictures
        Images float32 (H, W) in [0, 1] by what stands above them.
    title
        One line above all.
    """
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(3.1 * columns, 4.4 * rows + 0.5), layout="constrained")
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1) * rows)
    for axes in panels.flat:
        axes.set_visible(False)
    top = max(_shares(pixels).max() for pixels in pictures.values())
    for index, (name, pixels) in enumerate(pictures.items()):
        row, column = divmod(index, columns)
        above, below = panels[2 * row, column], panels[2 * row + 1, column]
        step = max(1, max(pixels.shape) // SHOWN_SIDE)
        above.set_visible(True)
        above.imshow(pixels[::step, ::step], cmap="gray", vmin=0, vmax=1)
        above.set_title(fill(name, 34), fontsize=9)
        above.set_axis_off()
        below.set_visible(True)
        below.bar(np.arange(BINS) / BINS, _shares(pixels), width=1 / BINS, align="edge", color="#0072B2")
        # One dominant level, such as a black border, would flatten all else.
        below.set(xlim=(0, 1), ylim=(0, min(top, 0.12)), xticks=(0, 0.5, 1), yticks=())
        below.tick_params(labelsize=7)
        below.spines[["top", "right", "left"]].set_visible(False)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        "Histograms: share of pixels by grey value, 0 black, 1 white; bars above 12 % are cut off. An enhanced image "
        f"shows nothing that the original does not hold,\nand may enlarge noise. {RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure


def _shares(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    counts, _ = np.histogram(pixels, bins=BINS, range=(0, 1))
    return counts / pixels.size
