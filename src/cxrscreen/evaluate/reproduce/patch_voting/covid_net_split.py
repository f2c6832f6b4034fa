"""COVID-Net's three classes, drawn by its counts from the images at hand."""

from dataclasses import replace

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split, make_split
from cxrscreen.evaluate.reproduce.recipe import CovidNetRecipe
from cxrscreen.evaluate.reproduce.sets import covid_net_split

COVID_NET = ("normal", "pneumonia", "covid19")
"""Its classes (patch-voting paper, Table IV); pneumonia is any that is not of COVID-19."""


def three_classes(manifest: Manifest, settings: CovidNetRecipe, seed: int) -> Split:
    """Draw adults' images of COVID-Net's classes, by patient: a test set of its counts, a tenth of the rest validates.

    Parameters
    ----------
    manifest
        The images.
    settings
        Sources and numbers of test images.
    seed
        Of the draw.

    Returns
    -------
    Split
        Whose truth is the place in :data:`COVID_NET`.

    Raises
    ------
    ManifestError
        If the sources have too few images of a class.
    """
    adults = {"stage2": make_split("stage2-adults", manifest, seed, settings.sources)}
    drawn = covid_net_split(manifest, adults, settings, seed)["stage2"]
    labels = manifest.table["label"]
    return replace(drawn, name="covid-net", truth={image_id: _place(str(labels[image_id])) for image_id in drawn.truth})


def _place(label: str) -> int:
    return COVID_NET.index(label if label in COVID_NET else "pneumonia")
