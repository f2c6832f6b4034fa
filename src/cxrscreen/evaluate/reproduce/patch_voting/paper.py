"""The figures that Oh, Park, Ye (2020) print in tables V and X to XVII; all on their own images."""

from collections.abc import Mapping

from cxrscreen.evaluate.reproduce.paper import Printed

JACCARD: Mapping[str, Mapping[str, str]] = {
    "table5": {
        "lungs": "0.955 ± 0.015",
        "heart": "0.889 ± 0.054",
        "elsewhere, raw": "0.932 ± 0.022",
        "elsewhere": "0.943 ± 0.013 (***)",
    },
    "unet": {"lungs": "0.955 ± 0.014 (p > 0.05)", "elsewhere": "0.941 ± 0.014 (p > 0.05)"},
    "fc-densenet103": {"lungs": "0.955 ± 0.015", "elsewhere": "0.943 ± 0.013"},
    "1": {"elsewhere": "0.943 ± 0.013", "elsewhere, raw": "0.932 ± 0.022"},
    "0.5": {"elsewhere": "0.941 ± 0.018 (p > 0.05)", "elsewhere, raw": "0.908 ± 0.035 (***)"},
    "0.3": {"elsewhere": "0.929 ± 0.025 (***)", "elsewhere, raw": "0.866 ± 0.047 (***)"},
    "0.1": {"elsewhere": "0.906 ± 0.045 (***)", "elsewhere, raw": "0.851 ± 0.058 (***)"},
}
"""Mean and standard deviation of the Jaccard index with the stars of the signed-rank test, tables V, XIII and XV.

JSRT: the validation images. Elsewhere: the 73 normal images of Montgomery (Table I).
"""

FIGURES = ("accuracy", "macro precision", "macro sensitivity", "macro f1", "macro specificity")
VOTES: Mapping[str, tuple[float, float, float, float, float]] = {
    "own": (0.889, 0.834, 0.859, 0.844, 0.964),
    "global": (0.707, 0.606, 0.601, 0.593, 0.897),
    "unet": (0.859, 0.823, 0.84, 0.825, 0.953),
    "fc-densenet67": (0.818, 0.731, 0.766, 0.743, 0.915),
    "fc-densenet103": (0.889, 0.834, 0.859, 0.844, 0.964),
    "whole": (0.798, 0.727, 0.597, 0.607, 0.919),
    "patch-112": (0.788, 0.712, 0.759, 0.723, 0.932),
    "patch-224": (0.889, 0.834, 0.859, 0.844, 0.964),
    "patch-448": (0.848, 0.788, 0.801, 0.793, 0.948),
}
""":data:`FIGURES` by variant, tables X, XIV, XVI and XVII.

Of 99 test images, if the printed sensitivities are counts: 38 normal, 10 bacterial, 11 tuberculosis, 40 viral.
"""
SENSITIVITIES: Mapping[str, tuple[float, float, float, float]] = {
    "own": (0.895, 0.80, 0.818, 0.925),
    "global": (0.632, 0.30, 0.545, 0.925),
}
"""By class, Table XI."""

TABLE12: Mapping[tuple[str, str], tuple[Printed, Printed]] = {
    ("all", "accuracy"): (Printed(92.4, (194, 210)), Printed(91.9, (193, 210))),
    ("normal", "sensitivity"): (Printed(95.0, (95, 100)), Printed(90.0, (90, 100))),
    ("pneumonia", "sensitivity"): (Printed(91.0, (91, 100)), Printed(93.0, (93, 100))),
    ("covid19", "sensitivity"): (Printed(80.0, (8, 10)), Printed(100.0, (10, 10))),
    ("normal", "precision"): (Printed(91.3, (95, 104)), Printed(95.7, (90, 94))),
    ("pneumonia", "precision"): (Printed(93.8, (91, 97)), Printed(90.3, (93, 103))),
    ("covid19", "precision"): (Printed(88.9, (8, 9)), Printed(76.9, (10, 13))),
}
"""Table XII by class and figure: COVID-Net's, and the paper's. The counts follow from 100, 100 and 10 test images."""
