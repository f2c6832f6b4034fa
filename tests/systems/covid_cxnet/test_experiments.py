"""One shared pre-training and shared regions, on phantoms: what the tables ask is what screening would say."""

import numpy as np
import pytest

from cxrscreen.imaging.read import read

from .conftest import short_networks


@pytest.fixture(scope="module")
def made(recipe, phantom_data, tmp_path_factory):
    from cxrscreen.systems.covid_cxnet.experiments import Bench, pre_train, train

    work = tmp_path_factory.mktemp("bench")
    bench = Bench(phantom_data, tuple(sorted(phantom_data.table.index)), work)
    whole = recipe.model_copy(update={"roi": "none"})
    with short_networks():
        findings = pre_train(bench, whole, work / "pre")
        rows = train(bench, recipe, work / "own", findings)
    return bench, findings, rows


def test_the_answers_are_those_of_the_bundle(made, recipe, phantom_data, tmp_path):
    from cxrscreen.systems.covid_cxnet.export import write_bundle
    from cxrscreen.systems.covid_cxnet.splits import splits_of
    from cxrscreen.systems.covid_cxnet.training import train_covid_cxnet
    from cxrscreen.systems.registry import load_system

    bench, findings, rows = made
    split = splits_of(recipe, phantom_data)["classes"]
    assert list(rows.loc[rows["part"] == "test", "image_id"]) == list(split.test)
    assert set(rows["truth"]) == {"normal", "covid19"}
    np.testing.assert_allclose(rows["p_normal"] + rows["p_covid19"], 1, atol=1e-6)
    with short_networks():
        # The steps are finished: nothing is trained again.
        trained = train_covid_cxnet(recipe, phantom_data, bench.work / "own", bench.shared(recipe, findings))
        system = load_system(write_bundle(recipe, phantom_data, trained, tmp_path / "b").folder, threads=1)
    row = rows.iloc[0]
    screening = system.screen(read(phantom_data.image_file(row["image_id"])), policy="off")
    assert screening.stages[0].probability == pytest.approx(row["p_covid19"], abs=2e-3)
    view = system.view(read(phantom_data.image_file(row["image_id"])))
    assert row["lung_area"] == pytest.approx(view.lungs.mean(), abs=1e-5)


def test_an_edit_reaches_the_whole_image_and_its_touch_is_noted(made, recipe):
    from cxrscreen.systems.covid_cxnet.experiments import train_edited

    bench, findings, rows = made

    def bright_corner(pixels, lungs):
        edited = pixels.copy()
        edited[: pixels.shape[0] // 8, : pixels.shape[1] // 8] = 1
        return edited

    with short_networks():
        edited = train_edited(bench, recipe, bench.work / "own", findings, "corner", bright_corner)
        same = train_edited(bench, recipe, bench.work / "own", findings, "nothing", lambda pixels, lungs: pixels)
    assert edited["touched"].all()
    assert not same["touched"].any()
    before = rows[rows["part"] == "test"]
    np.testing.assert_allclose(same["p_covid19"], before["p_covid19"], atol=1e-6)


def test_a_recipe_without_pre_training_is_refused(made, recipe, tmp_path):
    from cxrscreen.errors import RecipeError
    from cxrscreen.systems.covid_cxnet.experiments import pre_train

    with pytest.raises(RecipeError, match="no pretraining"):
        pre_train(made[0], recipe.model_copy(update={"pretraining": None}), tmp_path)
