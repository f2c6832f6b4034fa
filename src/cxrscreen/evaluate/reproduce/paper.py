"""The figures that Yeh et al. (2020, arXiv:2004.12786v2) print in tables 3 to 7, and what their counts say.

Where a printed percentage is a whole number of images of a class by the paper's tables 1 and 2, the count stands
beside it, and with it an interval. Where the counts fit only if two columns are exchanged, the figure is read so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cxrscreen.evaluate.metrics import wilson_interval

Name = Literal["auc", "sensitivity", "specificity"]

EXCHANGED = "sensitivity and specificity are exchanged in print: only so do the counts of table 2 fit"


@dataclass(frozen=True)
class Printed:
    """A figure as printed, and as recomputed.

    Parameters
    ----------
    percent
        As printed under this figure's name; None where the table has none.
    counts
        Images called rightly (for an AUC: rightly ordered pairs), and images (pairs) in all; None where unknown.
    remark
        What is wrong or unclear in print; empty where nothing is.
    """

    percent: float | None
    counts: tuple[int, int] | None = None
    remark: str = ""

    def interval(self) -> tuple[float, float] | None:
        """Wilson interval of the recomputed share, in [0, 1]; None without counts."""
        return None if self.counts is None else wilson_interval(*self.counts)


Cell = tuple[str, str, str]
"""Set, part and stage: ``("open", "test", "2")``."""


def _row(
    auc: float | None,
    sensitivity: tuple[float, tuple[int, int] | None],
    specificity: tuple[float, tuple[int, int] | None],
    remark: str = "",
    pairs: str = "",
) -> Mapping[Name, Printed]:
    return {
        "auc": Printed(auc, remark=pairs),
        "sensitivity": Printed(*sensitivity, remark),
        "specificity": Printed(*specificity, remark),
    }


TABLE3: Mapping[tuple[str, str], Mapping[Name, Printed]] = {
    ("with", "validation"): _row(97.58, (90.64, None), (94.95, None)),
    ("without", "validation"): _row(97.58, (90.05, None), (95.37, None)),
    ("with", "test"): _row(97.33, (90.37, None), (95.66, None)),
    ("without", "test"): _row(97.18, (87.56, None), (95.44, None)),
}
"""By lung mask (``with``, ``without``) and part."""

TABLE4: Mapping[Cell, Mapping[Name, Printed]] = {
    ("open", "validation", "2"): _row(96.97, (93.05, None), (90.79, None)),
    ("open", "validation", "3"): _row(
        86.91,
        (90.34, None),
        (74.42, None),
        "74.42 is 32 of the 43 COVID-19 images, so that it fits as the sensitivity and not as the specificity",
    ),
    ("open", "test", "2"): _row(96.72, (92.85, None), (90.05, None)),
    ("open", "test", "3"): _row(
        88.04, (85.26, None), (85.86, None), "no count of 35 COVID-19 images gives 85.26 or 85.86"
    ),
    ("clinic", "validation", "2"): _row(91.99, (33.33, (24, 26)), (92.31, (4, 12)), EXCHANGED),
    ("clinic", "validation", "3"): _row(
        67.88, (66.67, (7, 11)), (63.34, (10, 15)), f"{EXCHANGED}; 63.34 is 7/11 = 63.64 misprinted"
    ),
    ("clinic", "test", "2"): _row(93.94, (63.64, (19, 21)), (90.48, (7, 11)), EXCHANGED),
    ("clinic", "test", "3"): _row(
        40.00, (50.00, (2, 5)), (40.00, (8, 16)), EXCHANGED, "32 of 80 pairs of 5 positives and 16 negatives"
    ),
}
"""By set, part and stage; the clinic is NTUH and TMUH."""

TABLE5: Mapping[Cell, Mapping[Name, Printed]] = {
    ("open", "validation", "2"): _row(97.00, (87.07, None), (95.57, None)),
    ("open", "validation", "3"): _row(99.70, (88.37, (38, 43)), (98.90, None)),
    ("open", "test", "2"): _row(96.64, (86.54, (1350, 1560)), (95.22, (4259, 4473))),
    ("open", "test", "3"): _row(99.88, (91.43, (32, 35)), (99.44, None)),
    ("clinic", "validation", "2"): _row(97.44, (96.15, (25, 26)), (75.00, (9, 12))),
    ("clinic", "validation", "3"): _row(87.88, (100.00, (11, 11)), (80.00, (12, 15))),
    ("clinic", "test", "2"): _row(98.70, (95.24, (20, 21)), (90.91, (10, 11))),
    ("clinic", "test", "3"): _row(
        97.50, (100.00, (5, 5)), (75.00, (12, 16)), "", "78 of 80 pairs of 5 positives and 16 negatives"
    ),
}
"""As :data:`TABLE4`."""

TABLE6: Mapping[str, Mapping[Name, Printed]] = {
    "validation": _row(None, (83.33, (45, 54)), (80.46, (494, 614))),
    "test": _row(None, (81.82, (45, 55)), (80.45, (498, 619))),
}
"""By part."""

TABLE7: Mapping[tuple[str, str], tuple[Printed, Printed | None]] = {
    ("2", "normal"): (Printed(98.0, (98, 100)), Printed(97.0, (97, 100))),
    ("2", "pneumonia and COVID-19"): (
        Printed(90.84, (119, 131), "printed under pneumonia alone, but 119/131 counts the COVID-19 images too"),
        None,
    ),
    ("3", "pneumonia"): (Printed(87.0, (87, 100)), Printed(90.0, (90, 100))),
    ("3", "covid19"): (Printed(96.8, (30, 31)), Printed(87.1, (27, 31))),
}
"""Share of a class called rightly, by stage and class: the paper's, and COVID-Net's as the paper gives it."""

FORGETTING = (96.72, 96.64)
"""AUC of stage 2 on the open test images before (table 4) and after the fine-tuning (table 5), in percent."""
