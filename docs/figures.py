"""Draw the figures of the pages on the four systems: `python docs/figures.py` writes docs/figures/*.png.

Synthetic chests alone, the shipped bundles, fixed seeds. The networks learned from people; what they answer on drawings
shows how a system works, not how well.
"""

from pathlib import Path
from textwrap import fill
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE
from cxrscreen.data.phantoms import Phantom, make_phantom
from cxrscreen.imaging.enhancement import beasf, clahe
from cxrscreen.imaging.enhancement.beasf import beasf_table
from cxrscreen.imaging.enhancement.comparison import comparison_figure
from cxrscreen.imaging.enhancement.levels import histogram_of, to_levels
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.runtime.engine import Engine, EngineSettings, engine_for
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.cascade.pipeline import (
    Preprocessing,
    find_lungs,
    pneumonia_map,
    weighted_input,
)
from cxrscreen.systems.cascade.roi import cut_lungs, network_input
from cxrscreen.systems.patch_voting.patches import draw_centres
from cxrscreen.systems.registry import load_system

FOLDER: Final = Path(__file__).with_name("figures")
SHAPE: Final = (448, 416)
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
Grey = NDArray[np.float32]


def main() -> None:
    """Write all of them."""
    ill = make_phantom(3, "covid19", shape=SHAPE)
    _write(cascade_steps(ill), "cascade-steps")
    _write(cascade_readings(ill), "cascade-readings")
    _write(covid_cxnet_channels(ill), "covid-cxnet-channels")
    _write(covid_cxnet_beasf(ill), "covid-cxnet-beasf")
    _write(patch_voting(ill), "patch-voting")
    _write(comit_net_switches(ill), "comit-net-switches")


def cascade_steps(phantom: Phantom) -> Figure:
    """From the radiograph to H3, with every input that a network sees."""
    lungs, pneumonia, settings = _cascade()
    pixels = phantom.pixels
    found = find_lungs(lungs, pixels)
    roi = cut_lungs(pixels, found.mask, settings.roi(pneumonia.image_shape[1]))
    outputs = pneumonia(network_input(roi.masked)[None, None])
    h2 = pneumonia_map(outputs, pneumonia.weights["classifier.weight"], "cam")
    screening = load_system("cascade", threads=1).screen(_radiograph(phantom), force=True, policy="off")
    maps = {item.name: item.values for item in screening.saliency}
    figure, panels = _row(6)
    _show(panels[0], pixels, "the radiograph")
    _show(panels[1], pixels, "1. the lungs")
    _outline(panels[1], screening.lung_mask > 0)
    _show(panels[2], roi.masked, "what stage 2 sees")
    _show(panels[3], pixels, "2. H2: for pneumonia", maps["h2"])
    _show(panels[4], weighted_input(roi, h2), "what stage 3 sees (Eq. 3)")
    _show(panels[5], pixels, "3. H3: for COVID-19", maps["h3"])
    return figure


def cascade_readings(phantom: Phantom) -> Figure:
    """H2 in the two readings of Eq. 1, before it is enlarged."""
    lungs, pneumonia, settings = _cascade()
    found = find_lungs(lungs, phantom.pixels)
    roi = cut_lungs(phantom.pixels, found.mask, settings.roi(pneumonia.image_shape[1]))
    outputs = pneumonia(network_input(roi.masked)[None, None])
    weights = pneumonia.weights["classifier.weight"]
    figure, panels = _row(3)
    _show(panels[0], roi.masked, "what stage 2 sees")
    for axes, reading, title in (
        (panels[1], "cam", "weighted by class: places"),
        (panels[2], "literal", "as printed: channel numbers"),
    ):
        axes.imshow(pneumonia_map(outputs, weights, reading), cmap="inferno", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9)
    return figure


def covid_cxnet_channels(phantom: Phantom) -> Figure:
    """The three channels, each over its histogram."""
    pixels = phantom.pixels
    channels = {
        "as it is": pixels,
        "CLAHE, limit 2, 8 x 8 tiles": clahe(pixels),
        "BEASF, slope 1.5": beasf(pixels, 1.5),
    }
    return comparison_figure(channels, "The three channels of COVID-CXNet (synthetic chest)")


def covid_cxnet_beasf(phantom: Phantom) -> Figure:
    """New grey value over old for four slopes."""
    histogram = histogram_of(to_levels(phantom.pixels))
    mean = int(histogram @ np.arange(256) // histogram.sum())
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 255], [0, 255], color="#999999", linewidth=0.8, label="unchanged")
    for colour, gamma in zip(COLOURS, (0.5, 1.0, 1.5, 3.0), strict=True):
        axes.plot(beasf_table(histogram, gamma), color=colour, label=f"slope {gamma:g}")
    axes.axvline(mean, color="#444444", linewidth=0.8, linestyle="--")
    axes.text(mean + 4, 6, f"mean m = {mean}", fontsize=8.5)
    axes.set(xlim=(0, 255), ylim=(0, 255), xlabel="Grey value", ylabel="New grey value")
    axes.legend(frameon=False, fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    _foot(figure)
    return figure


def patch_voting(phantom: Phantom) -> Figure:
    """Organs, patches, the vote and the map of the class that won."""
    screening = load_system("patch_voting", threads=1).screen(_radiograph(phantom), force=True, policy="off")
    figure, panels = _row(4)
    lungs = screening.lung_mask > 0
    _show(panels[0], phantom.pixels, "lungs and heart")
    _outline(panels[0], lungs)
    if screening.heart_mask is not None:
        _outline(panels[0], screening.heart_mask, COLOURS[1])
    _show(panels[1], phantom.pixels, "100 centres, 4 patches")
    side = round(224 / 1024 * max(SHAPE))
    centres = draw_centres(lungs, 100, 0)
    panels[1].plot(centres[:, 1], centres[:, 0], ".", markersize=2.5, color="#56B4E9")
    for (row, column), colour in zip(centres[:4].tolist(), COLOURS, strict=True):
        corner = (column - side / 2, row - side / 2)
        panels[1].add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=1.2))
    names, shares = list(screening.classes), list(screening.classes.values())
    panels[2].barh(names, shares, color="#0072B2")
    panels[2].set(xlim=(0, 1), xlabel="score from the votes")
    panels[2].invert_yaxis()
    panels[2].set_axis_on()
    panels[2].tick_params(labelsize=8)
    panels[2].spines[["top", "right"]].set_visible(False)
    panels[2].set_title("the vote", fontsize=9)
    shown = next(item for item in screening.saliency if item.kind == "saliency")
    _show(panels[3], phantom.pixels, f"Eq. 5, {shown.name}", shown.values)
    return figure


def comit_net_switches(phantom: Phantom) -> Figure:
    """Which losses an image switches on, and the two masks of a phantom."""
    kinds = {
        "lungs outlined, normal": (1, 1, 1, 1),
        "lungs outlined, label unknown": (1, 0, 0, 0),
        "box, other pneumonia": (0, 1, 1, 1),
        "label alone: COVID-19": (0, 0, 1, 1),
        "label alone: nodule": (0, 0, 1, 0.5),
        "phantom: everything": (1, 1, 1, 1),
    }
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(2.2, 1, 1))
    left.imshow(np.array(list(kinds.values())), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    left.set_yticks(range(len(kinds)), list(kinds), fontsize=8.5)
    left.set_xticks(range(4), ["T1\nlungs", "T2\nregion", "T3\nhealthy?", "T4\nCOVID, other"], fontsize=8.5)
    for row, switches in enumerate(kinds.values()):
        for column, on in enumerate(switches):
            left.text(
                column, row, {0: "0", 0.5: "C alone", 1: "1"}[on], ha="center", va="center", fontsize=9, color="#111111"
            )
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    _show(middle, phantom.pixels, "L: lungs")
    _outline(middle, phantom.lungs > 0)
    _show(right, phantom.pixels, "D: diseased region")
    _outline(right, phantom.lesions, COLOURS[1])
    _foot(figure)
    return figure


def _cascade() -> tuple[Engine, Engine, Preprocessing]:
    bundle = open_bundle("cascade")
    lungs, pneumonia = (
        engine_for(bundle.file(f"{name}.onnx"), EngineSettings(threads=1)) for name in ("lungs", "pneumonia")
    )
    return lungs, pneumonia, Preprocessing(**bundle.card.preprocessing)


def _radiograph(phantom: Phantom) -> Radiograph:
    return Radiograph(np.array(phantom.pixels), Provenance(Path("phantom.png"), "PNG"), phantom.pixel_spacing_mm, "PA")


def _row(count: int) -> tuple[Figure, list[Axes]]:
    """Panels side by side, three in a row at most so that a phone shows them large enough."""
    columns = min(count, 3) if count != 4 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(2.5 * columns, 2.75 * rows + 0.25), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(rows, columns)).flat)
    for axes in panels:
        axes.set_axis_off()
    _foot(figure)
    return figure, panels


def _show(axes: Axes, pixels: Grey, title: str, heat: Grey | None = None) -> None:
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    if heat is not None:
        axes.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(heat * 0.75, 0, 0.75))
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def _outline(axes: Axes, inside: NDArray[np.bool_], colour: str = "#56B4E9") -> None:
    axes.contour(inside.astype(float), levels=[0.5], colors=colour, linewidths=1.2)


def _foot(figure: Figure) -> None:
    text = fill(f"A synthetic chest, no person. {RESEARCH_USE}", int(figure.get_figwidth() * 19))
    figure.supxlabel(text, fontsize=7, color="#555555", x=0.01, ha="left")


def _write(figure: Figure, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=84, metadata={"Software": None}, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
