"""Figures 4, 5 and 11 of Oh et al. 2020, on these images."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxrscreen import RESEARCH_USE
from cxrscreen.biomarkers.comparison import Comparison
from cxrscreen.biomarkers.measure import BINS, REGIONS, STATES
from cxrscreen.biomarkers.paper import CLASS_TITLES
from cxrscreen.biomarkers.tables import UNIFIED, MarkerTable

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS: Final = {
    "normal": "#0072B2",
    "tuberculosis": "#E69F00",
    "bacterial": "#009E73",
    "viral": "#56B4E9",
    "covid19": "#D55E00",
    UNIFIED[3]: "#D55E00",
    "nodule": "#7F3C8D",
}
_PATCHES_SHOWN: Final = 1500
_SOURCES: Final = (
    "The classes come from different hospitals and devices: what separates them here need not be the disease."
)


def write_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``NAME.png`` and ``NAME.svg`` into an existing folder; the same figure gives the same bytes."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    # Without a date and with a fixed salt the same measurements give the same file.
    with mpl.rc_context({"svg.hashsalt": "cxrscreen"}):
        figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None})
    return png, svg


def markers_figure(rows: pd.DataFrame, tables: Sequence[MarkerTable], seed: int = 0) -> Figure:
    """Draw Fig. 4: for each marker a dot an image at the left, mean and one standard deviation at the right.

    Parameters
    ----------
    rows
        The rows behind the tables.
    tables
        One a marker; the paper's mean and standard deviation are drawn beside ours.
    seed
        Of the dots' sideways scatter, which carries nothing.
    """
    figure = Figure(figsize=(10.5, 3.1 * len(tables) + 0.6), layout="constrained")
    panels = figure.subplots(len(tables), 2, squeeze=False, width_ratios=(1.35, 1))
    rng = np.random.default_rng(seed)
    for (left, right), table in zip(panels, tables, strict=True):
        marker = table.comparison.marker
        for place, name in enumerate(table.classes):
            values = rows.loc[rows["label"] == name, marker].dropna().to_numpy(np.float64)
            _dots(left, place, values, COLOURS[name], rng)
        _bars(right, table.comparison, table)
        limits = left.get_ylim()
        right.set_ylim(min(limits[0], right.get_ylim()[0]), max(limits[1], right.get_ylim()[1]))
        left.set_ylim(right.get_ylim())
        left.set_ylabel(textwrap.fill(table.title.partition(": ")[2] or table.title, 34), fontsize=9)
        _classes(left, list(table.classes.values()))
        _classes(right, list(table.classes.values()))
    panels[0][0].set_title("a dot an image", fontsize=10, loc="left")
    panels[0][1].set_title("mean and one SD; grey: the paper's", fontsize=10, loc="left")
    _finish(figure, *panels.ravel(), note=f"Stars: against COVID-19, by patient, corrected for all pairs.\n{_SOURCES}")
    return figure


def patches_figure(patches: pd.DataFrame, between: Comparison, within: Comparison, seed: int = 0) -> Figure:
    """Draw Fig. 5: mean and spread of the grey values of patches.

    Parameters
    ----------
    patches
        ``label``, ``mean``, ``std``; a draw of 1500 a class is shown.
    between, within
        The comparisons of the images' patch means and of their spreads within patches, over `tables.UNIFIED`; their
        tests give the stars, since patches of one image are no independent cases.
    seed
        Of the draw.
    """
    figure = Figure(figsize=(10.5, 6.8), layout="constrained")
    panels = figure.subplots(2, 2, width_ratios=(1.35, 1))
    rng = np.random.default_rng(seed)
    joined = patches.assign(label=patches["label"].replace({"viral": UNIFIED[3], "covid19": UNIFIED[3]}))
    titles = [*(CLASS_TITLES[name] for name in UNIFIED[:3]), "Viral or\nCOVID-19"]
    rows = (("mean", "Mean of a patch\n(inter-patch)", between), ("std", "SD within a patch\n(intra-patch)", within))
    for (left, right), (column, title, comparison) in zip(panels, rows, strict=True):
        for place, name in enumerate(UNIFIED):
            values = joined.loc[joined["label"] == name, column].to_numpy(np.float64)
            shown = rng.choice(values, _PATCHES_SHOWN, replace=False) if values.size > _PATCHES_SHOWN else values
            _dots(left, place, shown, COLOURS[name], rng, size=3)
            if values.size:
                right.errorbar(place, values.mean(), yerr=values.std(), color=COLOURS[name], fmt="o", capsize=4)
                mark = _mark(comparison, name, UNIFIED[3])
                right.annotate(
                    mark, (place, values.mean() + values.std()), (0, 3), textcoords="offset points", ha="center"
                )
        left.set_ylabel(title, fontsize=9)
        right.set_ylim(left.get_ylim())
        _classes(left, titles)
        _classes(right, titles)
    panels[0][0].set_title("a dot a patch", fontsize=10, loc="left")
    panels[0][1].set_title("mean and one SD over patches", fontsize=10, loc="left")
    _finish(
        figure,
        *panels.ravel(),
        note="All patches, not only those a network classified correctly. Stars: against viral or COVID-19, tested on "
        f"patients' means,\ncorrected for all pairs. {_SOURCES}",
    )
    return figure


def anatomy_figure(
    rows: pd.DataFrame, histograms: Mapping[tuple[str, str], NDArray[np.float64]], disease: str = "covid19"
) -> Figure:
    """Draw Fig. 11: grey values of the organs, and of the lungs as histograms, before and after the preprocessing.

    Parameters
    ----------
    rows
        A study's rows.
    histograms
        By label and state: mean histogram of lung pixels, (64,) over [0, 1].
    disease
        The class beside the normal one.
    """
    figure = Figure(figsize=(11.5, 6.6), layout="constrained")
    panels = figure.subplots(2, 4, height_ratios=(1.3, 1))
    columns = [("normal", state) for state in STATES] + [(disease, state) for state in STATES]
    edges = np.linspace(0, 1, BINS + 1)
    for place, (label, state) in enumerate(columns):
        above, below = panels[0][place], panels[1][place]
        own = rows[rows["label"] == label]
        values = [own[f"{state}_{region}"].dropna().to_numpy(np.float64) for region in REGIONS]
        drawn = [(at, each) for at, each in enumerate(values) if each.size]
        if drawn:
            above.boxplot(
                [each for _, each in drawn],
                positions=[at for at, _ in drawn],
                widths=0.6,
                flierprops={"markersize": 2, "markeredgecolor": "#999999"},
                medianprops={"color": COLOURS["covid19"]},
            )
        for at, each in enumerate(values):
            if not each.size:
                above.text(at, 0.5, "not\nknown", ha="center", va="center", fontsize=7.5, color="#777777")
        above.set_xticks(range(len(REGIONS)), ["right\nlung", "left\nlung", "heart", "rest"], fontsize=8)
        above.set(ylim=(-0.02, 1.02), xlim=(-0.6, len(REGIONS) - 0.4))
        above.set_title(f"{CLASS_TITLES[label]}, {state}\n{len(own)} images", fontsize=10, loc="left")
        histogram = histograms.get((label, state))
        if histogram is not None:
            below.stairs(histogram, edges, fill=True, color=COLOURS[label], alpha=0.75)
        below.set(xlim=(0, 1), xlabel="grey value")
    highest = max((float(values.max()) for values in histograms.values()), default=1.0)
    for axes in panels[1]:
        axes.set_ylim(0, 1.05 * highest)
    panels[0][0].set_ylabel("mean grey value of an image")
    panels[1][0].set_ylabel("share of lung pixels,\nmean over images")
    _finish(
        figure,
        *panels.ravel(),
        note="Preprocessing: histogram equalisation, gamma 0.5. It makes images alike by force; alike histograms do\n"
        "not show that devices or hospitals no longer matter. The heart is known in some images only.",
    )
    return figure


def _dots(
    axes: Axes, place: int, values: NDArray[np.float64], colour: str, rng: np.random.Generator, size: float = 7
) -> None:
    x = place + rng.uniform(-0.3, 0.3, values.size)
    axes.scatter(x, values, s=size, color=colour, alpha=0.55, linewidths=0, rasterized=True)
    if not values.size:
        axes.text(
            place, 0.5, "not\nmeasured", transform=axes.get_xaxis_transform(), ha="center", fontsize=7.5, color="#777"
        )


def _bars(axes: Axes, comparison: Comparison, table: MarkerTable) -> None:
    for place, figures in enumerate(comparison.groups.to_dict("records")):
        name = figures["class"]
        printed = table.printed.mean.get(name) if table.printed else None
        if table.printed and printed is not None:
            spread = table.printed.std[name]
            axes.errorbar(place + 0.22, printed, yerr=spread, color="#aaaaaa", fmt="s", markersize=4, capsize=3)
        if pd.isna(figures["mean"]):
            continue
        spread = 0.0 if pd.isna(figures["std"]) else figures["std"]
        axes.errorbar(place, figures["mean"], yerr=spread, color=COLOURS[name], fmt="o", capsize=4)
        mark, top = _mark(comparison, name, "covid19"), figures["mean"] + spread
        axes.annotate(mark, (place, top), (0, 3), textcoords="offset points", ha="center", fontsize=9)


def _mark(comparison: Comparison, name: str, other: str) -> str:
    pairs = comparison.pairs
    # A pair stands once, in the order of the classes, and some come after the one they are compared with.
    own = pairs[
        ((pairs["first"] == name) & (pairs["second"] == other))
        | ((pairs["first"] == other) & (pairs["second"] == name))
    ]
    return "" if own.empty else str(own["stars_patients"].iloc[0])


def _classes(axes: Axes, titles: Sequence[str]) -> None:
    axes.set_xticks(range(len(titles)), titles, fontsize=8 if len(titles) < 6 else 7)
    axes.set_xlim(-0.6, len(titles) - 0.4)


def _finish(figure: Figure, *panels: Axes, note: str) -> None:
    for axes in panels:
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    figure.supxlabel(f"{note}\n{RESEARCH_USE}", fontsize=7.5, color="#555555", x=0.01, ha="left")
