"""From a recipe and a manifest to a bundle: the line is fitted on the training part alone."""

from datetime import UTC, datetime

from sklearn.linear_model import LogisticRegression

from cxrscreen.data.protocols import make_split
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings, engine_for
from cxrscreen.systems.bundle import PROVISIONAL, Card, begin_bundle, finish_bundle, open_bundle
from cxrscreen.systems.learned import data_card
from cxrscreen.train.recipe import Settings, load_recipe

from .pipeline import LungHaze


class Recipe(Settings):
    system: str
    seed: int = 0


def train_bundle(recipe_file, manifest, work, out):
    """Fit the line and write the bundle."""
    recipe = load_recipe(recipe_file, Recipe)
    split = make_split("stage2", manifest, recipe.seed)
    lungs = engine_for(open_bundle("cascade").file("lungs.onnx"), EngineSettings(threads=1))
    unfitted = LungHaze("", None, lungs)
    seen = [unfitted.features(read(manifest.image_file(name)))["pneumonia"] for name in split.train]
    fitted = LogisticRegression(C=1000).fit(seen, [split.truth[name] for name in split.train])
    part = begin_bundle(out)
    split.save(part / "split-stage2.json.gz")
    card = Card(
        name="lung-haze",
        version="0.0.1",
        system="lung_haze",
        created=datetime.now(UTC).date().isoformat(),
        summary="A line through the mean grey value of the lungs.",
        intended_use="To show how a system is added. Research use only; not a medical device.",
        not_for=["Any image of a person."],
        limits=["Exposure alone changes the answer."],
        licence="Apache-2.0",
        preprocessing={"slope": float(fitted.coef_[0, 0]), "intercept": float(fitted.intercept_[0])},
        stages={"pneumonia": PROVISIONAL},
        data=data_card(manifest, {"stage2": split}, recipe.seed),
        recipe=recipe.model_dump(),
        files={},
    )
    return finish_bundle(part, card, out)
