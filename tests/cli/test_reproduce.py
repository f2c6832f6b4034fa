from pathlib import Path

import pytest
from typer.testing import CliRunner

from cxrscreen.cli.app import app

RECIPE = """
system: cascade
stage2: {phases: [{side: 64, epochs: 1}], augment: {}}
stage3: {weights: stage2, phases: [{side: 64, epochs: 1}], augment: {}}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table3"], "give --data"),
        (["table9", "--table-only"], "There is no table 'table9'"),
        (["table3", "--table-only"], "no finished training"),
        (["table3", "--table-only", "--seeds", "0,one"], "numbers with commas"),
        (["table3", "--table-only", "--seeds", "1,1"], "different numbers"),
    ],
)
def test_what_is_wrong_is_one_sentence(recipe, tmp_path, arguments, sentence):
    where = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    result = CliRunner().invoke(app, ["reproduce", "cascade", *arguments, *where])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table10"], "give --data"),
        (["table3", "--table-only"], "There is no table 'table3' of patch voting"),
        (["table10", "--table-only"], "no finished training"),
        (["table10", "--table-only", "--seeds", "1"], "leave out --seeds"),
    ],
)
def test_so_it_is_of_patch_voting(tmp_path, arguments, sentence):
    recipe = Path(__file__).parents[2] / "recipes" / "reproduce-patch-voting.yaml"
    where = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    result = CliRunner().invoke(app, ["reproduce", "patch-voting", *arguments, *where])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table1"], "give --data"),
        (["table6", "--table-only"], "There is no table 'table6' of COVID-CXNet"),
        (["roi", "--table-only"], "no finished training"),
        (["roi", "--table-only", "--seeds", "1"], "leave out --seeds and --bundle"),
        (["roi", "--table-only", "--bundle", "other"], "leave out --seeds and --bundle"),
    ],
)
def test_so_it_is_of_covid_cxnet(tmp_path, arguments, sentence):
    recipe = Path(__file__).parents[2] / "recipes" / "reproduce-covid-cxnet.yaml"
    where = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    result = CliRunner().invoke(app, ["reproduce", "covid-cxnet", *arguments, *where])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table4"], "give --data"),
        (["table6", "--table-only"], "There is no table 'table6' of COMiT-Net"),
        (["lungs", "--table-only"], "no finished training"),
        (["lungs", "--table-only", "--seeds", "1"], "leave out --seeds and --bundle"),
    ],
)
def test_so_it_is_of_comit_net(tmp_path, arguments, sentence):
    recipe = Path(__file__).parents[2] / "recipes" / "reproduce-comit-net.yaml"
    where = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    result = CliRunner().invoke(app, ["reproduce", "comit-net", *arguments, *where])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
