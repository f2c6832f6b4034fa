"""Mistakes in one sentence; what the command measures is tested with what measures it."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.cli.patch_voting import _elsewhere
from cxrscreen.data.phantoms import write_set
from cxrscreen.errors import ManifestError


def test_a_mistake_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    folder = write_set(tmp_path / "set", 1, seed=5, size=152, dicom_every=0).parent
    given = ["patch-voting", "no-such-bundle", "--manifest", str(folder), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 2
    assert "no-such-bundle" in done.output
    assert done.output.strip().count("\n") == 0


def test_lungs_elsewhere_are_of_a_source_that_taught_nothing_and_leaves_the_heart_out():
    sources = ["jsrt", "montgomery", "cohen", "clinic", "clinic"]
    table = pd.DataFrame({"source": sources, "lung_mask_origin": "human", "duplicate_of": ""})
    table.loc[4, "lung_mask_origin"] = "automatic"
    assert list(_elsewhere(table, None, {"jsrt"}).index) == [1]
    assert list(_elsewhere(table, "clinic", {"jsrt"}).index) == [3]
    assert _elsewhere(table, None, {"jsrt", "montgomery"}).empty
    for source, said in (
        ("jsrt", "taught the organ network"),
        ("cohen", "drawn with the heart"),
        ("mongtomery", "no image of the source mongtomery with lungs drawn by people"),
    ):
        with pytest.raises(ManifestError, match=said):
            _elsewhere(table, source, {"jsrt"})
