"""The figures that Haghanifar et al. (2020) print in tables 1 to 5, and what their confusion matrices say."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate
from cxrscreen.evaluate.several_classes import PREFIX, evaluate_classes
from cxrscreen.systems.covid_cxnet.classes import CLASSES, Version

VERSION: Mapping[str, Version] = {
    "base-v1": "binary",
    "base-v1-adults": "binary",
    "base-v2": "binary",
    "whole": "binary",
    "own": "binary",
    "three": "three",
}
"""Classes of each row of Table 5, and of a training between the first two that the paper lacks."""
TITLES: Mapping[str, str] = {
    "base-v1": "Base model v1, normal images of children",
    "base-v1-adults": "Base model v1, normal images of adults",
    "base-v2": "Base model v2, normal images of adults",
    "whole": "COVID-CXNet v1, whole radiographs",
    "own": "COVID-CXNet v2, the lungs alone",
    "three": "Three-class COVID-CXNet, the lungs alone",
}

MATRICES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "base-v1": ((21, 9), (3, 27)),
    "base-v2": ((598, 5), (4, 76)),
    "whole": ((641, 4), (3, 78)),
    "three": ((894, 68, 2), (185, 715, 24), (3, 10, 127)),
}
"""Tables 1 to 4: rows the truth, columns the answer, in the order of the classes. Of the lungs alone there is none."""

MIX_OF: Mapping[str, str] = {"own": "whole", "base-v1-adults": "base-v1"}
"""Whose matrix tells the mix of classes where a model has none: Table 3 is of the same images in both rows."""

PRINTED: Mapping[str, Mapping[str, float]] = {
    "base-v1": {},
    "base-v1-adults": {},
    "base-v2": {"accuracy": 98.68, "f1 covid19": 94.0, "auc covid19": 99.84},
    "whole": {"accuracy": 99.04, "f1 covid19": 96.0},
    "own": {"accuracy": 98.62, "f1 covid19": 94.0},
    "three": {"accuracy": 94.20, "f1 covid19": 86.0, "f1 other_pneumonia": 83.0},
}
"""In the text beside each table, percent."""

TABLE5: Mapping[str, tuple[float, tuple[float, float], float]] = {
    "base-v1": (96.10, (91.40, 97.10), 82.0),
    "base-v2": (98.68, (94.00, 99.30), 94.0),
    "whole": (99.04, (96.43, 99.54), 96.0),
    "own": (98.62, (97.14, 99.28), 94.0),
    "three": (94.20, (93.25, 94.86), 85.0),
}
"""Accuracy, its range over ten trainings, and F1 of COVID-19, percent."""

REMARKS: Mapping[str, str] = {
    "base-v1": "The matrix of table 1 is of 60 external images, and gives 48/60 = 80.0 %; table 5 prints 96.10 % for "
    "this model, which is of images of the training's own sources, beside an F1 of 0.82, which is that of the 60.",
    "base-v2": "The images of the test are those of the validation, by which the epoch was chosen.",
    "whole": "The images of the test are those of the validation, by which the epoch was chosen.",
    "own": "No matrix is printed.",
    "three": "94.20 % are printed, but the matrix of table 4 gives 1736/2028 = 85.6 %, as the authors' own notebook "
    "does (85.76 %); the range of ten trainings, 93.25 to 94.86, does not hold it. The F1 of COVID-19 is 0.87 by the "
    "matrix, 0.86 in the text and 0.85 in table 5. Its 2028 images are no fifth of the 7700 of table 5's data (1540).",
}
"""What is wrong or unclear in print."""


def mix_of(name: str) -> dict[str, float]:
    """Share of each class among the paper's test images of a model."""
    counts = [sum(row) for row in MATRICES[MIX_OF.get(name, name)]]
    return {own: count / sum(counts) for own, count in zip(CLASSES[VERSION[name]], counts, strict=True)}


def of_matrix(name: str, *, replicates: int = REPLICATES) -> dict[str, Estimate]:
    """Figures of a printed confusion matrix, with intervals over its images; empty where none is printed.

    Returns
    -------
    dict
        ``accuracy``, and for each disease ``f1 NAME``, ``sensitivity NAME``, ``specificity NAME``, ``precision NAME``:
        Wilson's intervals, of F1 the bootstrap's.
    """
    if name not in MATRICES:
        return {}
    names, matrix = CLASSES[VERSION[name]], np.array(MATRICES[name])
    truth, called = (np.repeat(places.ravel(), matrix.ravel()) for places in np.indices(matrix.shape))
    rows = pd.DataFrame({"source": "paper", "group": np.arange(len(truth)), "truth": np.array(names)[truth]})
    for place, each in enumerate(names):
        rows[PREFIX + each] = (called == place).astype(float)
    found = evaluate_classes(rows, names, replicates=replicates)
    rates = ("f1", "sensitivity", "specificity", "precision")
    return {"accuracy": found.accuracy} | {
        f"{rate} {each}": found.by_class[each][rate] for each in names[1:] for rate in rates
    }
