import pytest

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import ManifestError
from cxrscreen.systems.patch_voting.splits import shared, splits_of
from cxrscreen.systems.patch_voting.voting import CLASSES


def test_no_image_tests_one_network_and_has_trained_the_other(phantom_data, tiny_recipe):
    splits = splits_of(tiny_recipe, phantom_data)
    organs, classes = splits["patch-organs"], splits["patch-classes"]
    assert not set(organs.test) & set(classes.train)
    assert not set(classes.test) & set(organs.train)
    labels = phantom_data.table["label"]
    for image_id, truth in classes.truth.items():
        assert CLASSES[truth] == labels[image_id].replace("covid19", "viral")


def test_only_the_named_sources_and_the_four_classes_are_used(phantom_data, tiny_recipe):
    table = phantom_data.table.drop(columns="group").reset_index(drop=True)
    extra = table[table["label"] == "normal"].assign(label="nodule", source="phantom", patient_id="")
    extra["image_id"] = extra["image_id"] + "-nodule"
    elsewhere = table[table["label"] == "bacterial"].assign(source="elsewhere")
    elsewhere["image_id"] = elsewhere["image_id"] + "-elsewhere"
    import pandas as pd

    manifest = check_manifest(pd.concat([table, extra, elsewhere]), phantom_data.root)
    used = set(splits_of(tiny_recipe, manifest)["patch-classes"].truth)
    assert used <= set(table["image_id"])
    wanted = tiny_recipe.classifier.model_copy(update={"sources": ("elsewhere",)})
    with pytest.raises(ManifestError, match="has no normal image"):
        splits_of(tiny_recipe.model_copy(update={"classifier": wanted}), manifest)


def test_a_share_is_the_same_of_every_class_and_part_of_a_larger_one():
    image_ids = tuple(f"{'ab'[number % 2]}{number}" for number in range(40))
    half, tenth = (shared(image_ids, share, 0, lambda i: i[0]) for share in (0.5, 0.1))
    assert len(half) == 20
    assert sum(i[0] == "a" for i in half) == 10
    assert set(tenth) < set(half)
    assert len(shared(image_ids, 0.001, 0, lambda i: i[0])) == 2
    assert shared(image_ids, 1.0, 0, lambda i: i[0]) == sorted(image_ids)
