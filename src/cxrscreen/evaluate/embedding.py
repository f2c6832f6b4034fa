"""What a network's embedding of images holds together: a t-SNE to look at, and nearest neighbours to count."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from cxrscreen import RESEARCH_USE
from cxrscreen.evaluate.bootstrap import Estimate, grouped_rate
from cxrscreen.evaluate.figures import COLOURS

Floats32 = NDArray[np.float32]
PERPLEXITY = 30.0
SMALLEST = 5
"""Images without which there is nothing to project."""
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def project(embedding: ArrayLike, *, seed: int = 0) -> Floats32:
    """Lay images out in the plane by t-SNE, near ones near.

    Parameters
    ----------
    embedding
        float (N, K), N at least :data:`SMALLEST`; standardised here.
    seed
        Same seed, same picture.

    Returns
    -------
    ndarray
        float32 (N, 2), without units: distances between groups and sizes of groups mean nothing.

    Raises
    ------
    ValueError
        If there are too few images.
    """
    values = StandardScaler().fit_transform(np.asarray(embedding, np.float64))
    if len(values) < SMALLEST:
        raise ValueError(f"a projection needs at least {SMALLEST} images, got {len(values)}")
    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    start = "pca" if min(values.shape) >= 2 else "random"
    layout = TSNE(perplexity=perplexity, init=start, random_state=seed).fit_transform(values)
    return np.asarray(layout, np.float32)


def neighbour_agreement(embedding: ArrayLike, groups: Sequence[str], names: Sequence[str]) -> Estimate:
    """Share of images whose nearest image of another patient has the same name, a class or a source.

    Parameters
    ----------
    embedding
        float (N, K); standardised here, distances are Euclidean.
    groups
        (N,) patient group of each image, at least two.
    names
        (N,) class or source of each image.

    Raises
    ------
    ValueError
        If there is one group only.
    """
    values = StandardScaler().fit_transform(np.asarray(embedding, np.float64))
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sizes = np.bincount(member)
    if sizes.size < 2:
        raise ValueError("neighbours of other patients need at least two groups")
    named = np.asarray(names, dtype=str)
    # So many neighbours that one of them, the image itself counted, is of another group.
    order = NearestNeighbors(n_neighbors=int(sizes.max()) + 1).fit(values).kneighbors(return_distance=False, X=values)
    other = member[order] != member[:, None]
    nearest = order[np.arange(len(values)), other.argmax(axis=1)]
    return grouped_rate(named[nearest] == named, groups)


def agreement_by_chance(names: Sequence[str]) -> float:
    """What :func:`neighbour_agreement` would be if names were dealt out at random: the sum of their squared shares."""
    counts = np.unique(np.asarray(names, dtype=str), return_counts=True)[1]
    return float(np.sum((counts / counts.sum()) ** 2))


def embedding_figure(layout: Floats32, panels: Sequence[tuple[str, Sequence[str]]], title: str) -> Figure:
    """Draw one projection several times, each time coloured by something else.

    Parameters
    ----------
    layout
        From :func:`project`.
    panels
        Title, and the name of each image that gives its colour.
    title
        One line above.
    """
    figure = Figure(figsize=(4.6 * len(panels), 5.2), layout="constrained")
    for axes, (name, names) in zip(np.atleast_1d(np.asarray(figure.subplots(1, len(panels)))), panels, strict=True):
        present = sorted(set(names))
        chosen = np.asarray(names, dtype=str)
        for index, each in enumerate(present):
            rows = chosen == each
            axes.scatter(
                layout[rows, 0],
                layout[rows, 1],
                s=13,
                color=COLOURS[index % len(COLOURS)],
                marker=_MARKS[(index + index // len(COLOURS)) % len(_MARKS)],
                linewidths=0,
                alpha=0.8,
                label=f"{each} ({int(rows.sum())})",
            )
        axes.set_title(name, fontsize=11, loc="left")
        axes.set(xticks=[], yticks=[])
        axes.spines[["top", "right", "left", "bottom"]].set_color("#cccccc")
        axes.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.supxlabel(
        "t-SNE: that images lie near each other is all it says; distances between groups and their sizes mean nothing. "
        f"{RESEARCH_USE}",
        fontsize=7.5,
        color="#555555",
        x=0.01,
        ha="left",
    )
    return figure
