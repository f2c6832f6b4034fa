"""What the figures print beside their dots."""

import numpy as np
import pandas as pd

from cxrscreen.biomarkers.figures import markers_figure
from cxrscreen.biomarkers.study import LABELS
from cxrscreen.biomarkers.tables import paper_tables


def test_every_class_has_its_star_against_covid_19_also_the_one_that_comes_after_it(intervals):
    rng = np.random.default_rng(0)
    means = dict(zip(LABELS, (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True))
    rows = pd.DataFrame(
        [
            {"label": label, "group": f"{label}{number}", "ctr": rng.normal(mean, 0.005), "lung_mean": 0.5}
            for label, mean in means.items()
            for number in range(12)
        ]
    ).assign(lung_std=0.1, heart_in_lungs=False, view="PA")
    table = next(table for table in paper_tables(rows, intervals) if table.name == "table9")
    figure = markers_figure(rows, [table])
    marks = {round(text.xy[0]): text.get_text() for text in figure.axes[1].texts}
    shown = {label: marks[place] for place, label in enumerate(table.classes)}
    assert shown == dict.fromkeys(LABELS, "***") | {"covid19": ""}
