import pandas as pd
import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.systems.bundle import open_bundle, shipped_bundles
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe
from cxrscreen.systems.covid_cxnet.recipe import CovidCxNetRecipe
from cxrscreen.systems.learned import already_made, data_card, data_gaps, images_digest


def manifest_of(root, **changes):
    labels = ["normal", "tuberculosis"] * 40
    ids = [f"i{number:02d}" for number in range(len(labels))]
    columns = {"image_id": ids, "path": ids, "source": "s", "label": labels, "license": "CC BY 4.0"}
    return check_manifest(pd.DataFrame(columns | changes), root)


def test_what_was_learned_from_is_counted_once_whatever_the_splits(tmp_path):
    manifest = manifest_of(tmp_path)
    stage2, classes = make_split("stage2", manifest), make_split("patch-classes", manifest, sources=("s",))
    card = data_card(manifest, {"stage2": stage2, "patch-classes": classes}, 0, {"patch-classes": ("s",)})
    counted = manifest.table.loc[sorted({*stage2.train, *classes.train}), "label"].value_counts()
    assert card.images == {"s": counted.to_dict()}
    assert card.splits == {"stage2": stage2.digest, "patch-classes": classes.digest}
    assert card.sources == {"patch-classes": ["s"]}
    assert card.licences == ["CC BY 4.0"]


def test_unknown_patients_and_ages_are_counted(tmp_path):
    known = manifest_of(tmp_path, pediatric="false", patient_id=[f"p{number}" for number in range(80)])
    split = make_split("stage2", known)
    assert data_gaps(known, [split]) == []
    unknown = manifest_of(tmp_path, pediatric=["true", "unknown"] * 40, patient_id=[*[""] * 40, *map(str, range(40))])
    split = make_split("stage2", unknown)
    used = [*split.train, *split.validation]
    nameless = sum(int(image_id[1:]) < 40 for image_id in used)
    children = sum(int(image_id[1:]) % 2 == 0 for image_id in used)
    patients, ages = data_gaps(unknown, [split, split])
    assert patients.startswith(
        f"{nameless} of the {len(used)} images that taught it or chose its epoch have no patient"
    )
    assert f"{children} are known to be of children, and of {len(used) - children} no age is known" in ages


def test_the_digest_follows_ids_labels_sources_and_groups_alone(tmp_path):
    known = images_digest(manifest_of(tmp_path))
    assert images_digest(manifest_of(tmp_path / "elsewhere", license="other", sex="F")) == known
    assert images_digest(manifest_of(tmp_path, source="t")) != known
    assert images_digest(manifest_of(tmp_path, patient_id=["p"] * 80)) != known


@pytest.mark.parametrize(("name", "kind"), [("comit_net", ComitNetRecipe), ("covid_cxnet", CovidCxNetRecipe)])
def test_a_bundle_was_made_already_only_of_the_same_images(name, kind, tmp_path, monkeypatch):
    bundle = open_bundle(shipped_bundles()[name])
    recipe, manifest = kind.model_validate(bundle.card.recipe), manifest_of(tmp_path)
    assert already_made(bundle.folder, recipe, manifest) is None
    monkeypatch.setattr("cxrscreen.systems.learned.images_digest", lambda _: bundle.card.data.images_sha256)
    assert already_made(bundle.folder, recipe, manifest).card == bundle.card
    assert already_made(bundle.folder, recipe.model_copy(update={"seed": 7}), manifest) is None
    assert already_made(tmp_path, recipe, manifest) is None
    # Of a system whose settings are others, nothing can be said.
    other = open_bundle(shipped_bundles()["cascade"])
    assert already_made(other.folder, recipe, manifest) is None
