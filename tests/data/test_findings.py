import numpy as np
import pandas as pd

from cxrscreen.data.findings import FINDINGS, finding_targets, learned_apart
from cxrscreen.data.manifest import check_manifest


def test_what_is_known_of_each_source(tmp_path):
    rows = [
        ("nih", "pneumonia", "Effusion|Pneumonia"),
        ("nih", "normal", "No Finding"),
        ("cohen", "covid19", "COVID-19"),
        ("shenzhen", "normal", "normal"),
        ("jsrt", "nodule", "nodule"),
        ("cohen", "other", "ARDS"),
    ]
    table = pd.DataFrame(
        [{"image_id": f"i{n}", "path": "x", "source": s, "label": k, "finding": f} for n, (s, k, f) in enumerate(rows)]
    )
    targets = finding_targets(check_manifest(table, tmp_path), [f"i{n}" for n in range(len(rows))])
    named = [{FINDINGS[k]: v for k, v in enumerate(row)} for row in targets]
    assert (named[0]["Effusion"], named[0]["Pneumonia"], named[0]["Hernia"]) == (1, 1, 0)
    assert np.nansum(targets[0]) == 2
    assert (targets[[1, 3]] == 0).all()
    assert named[2]["Pneumonia"] == 1
    assert np.isnan(named[2]["Effusion"])
    assert named[4]["Nodule"] == 1
    assert np.isnan(targets[5]).all()
    # A nodule of which nothing else is known comes without pneumonia; the effusion comes with it.
    assert learned_apart(targets) == ("Nodule",)
    assert learned_apart(targets[:4]) == ()
