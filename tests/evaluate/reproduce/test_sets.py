import pytest

from cxrscreen.data.protocols import PARTS
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.reproduce.sets import covid_net_split, make_sets
from cxrscreen.systems.learned import images_digest


@pytest.fixture(scope="module")
def sets(manifest, recipe):
    return make_sets(manifest, recipe, 0)


def images_of(split):
    return {i for part in PARTS for i in split.part(part)}


def test_no_patient_is_in_the_open_set_and_the_clinic(sets):
    table = sets.manifest.table
    opened = images_of(sets.open["stage2"])
    assert not opened & sets.clinic
    assert not set(table.loc[sorted(opened), "group"]) & set(table.loc[sorted(sets.clinic), "group"])
    # The open image with a copy in the clinic, and the other one of its patient.
    assert images_of(sets.every["stage2"]) - opened - sets.clinic == {"open-covid-covid19-0", "open-covid-covid19-1"}
    assert images_of(sets.both["stage2"]) == opened | (sets.clinic & images_of(sets.every["stage2"]))


def test_the_open_images_keep_the_parts_of_the_base_split(sets):
    for name in ("stage2", "stage3"):
        for part in PARTS:
            assert set(sets.open[name].part(part)) <= set(sets.every[name].part(part))


def test_the_clinic_tests_on_a_quarter_of_every_label(sets):
    table = sets.manifest.table
    for label, few, many in (("normal", 5, 7), ("bacterial", 3, 5), ("viral", 3, 5), ("covid19", 12, 18)):
        tested = [i for i in sets.both["stage2"].test if i in sets.clinic and table.at[i, "label"] == label]
        assert few <= len(tested) <= many
    for name in ("stage2", "stage3"):
        parts = [set(sets.both[name].part(part)) for part in PARTS]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert set(images_of(sets.both["stage3"])) <= images_of(sets.both["stage2"])


def test_fewer_cases_are_a_subset_of_more_and_nothing_else_changes(sets):
    few, more, every = sets.cohort(4, 1), sets.cohort(8, 1), sets.cohort(None, 1)
    table = sets.manifest.table

    def cases(cohort):
        return {
            table.at[i, "group"]
            for i in cohort.splits["stage2"].train
            if i in sets.clinic and table.at[i, "label"] == "covid19"
        }

    assert cases(few) < cases(more) < cases(every)
    assert (len(cases(few)), len(cases(more)), len(cases(every))) == (4, 8, sets.cases())
    assert few.splits["stage2"].test == every.splits["stage2"].test
    assert cases(sets.cohort(4, 2)) != cases(few)
    with pytest.raises(ManifestError, match="ask less"):
        sets.cohort(sets.cases() + 1, 0)


def test_the_first_cases_are_all_that_is_new_and_the_old_set_knows_no_covid19(sets):
    cohort = sets.first_cases(6, 1)
    labels, sources, groups = (sets.manifest.table[name] for name in ("label", "source", "group"))
    split = cohort.splits["stage2"]
    new = [i for i in split.train if i in sets.clinic]
    assert {labels[i] for i in new} == {"covid19"}
    assert len({groups[i] for i in new}) == 6
    assert not any(labels[i] == "covid19" for i in images_of(split) - sets.clinic)
    # The clinic trains on nothing else, so that all its other images are asked about, but of the cases' own patients.
    others = {i for i in sets.clinic if labels[i] != "covid19"}
    assert others == {i for i in split.test if sources[i] == "clinic" and labels[i] != "covid19"}
    assert set(split.test) == set(sets.first_cases(12, 2).splits["stage2"].test)
    assert set(cohort.images) == images_of(sets.before["stage2"]) | sets.clinic
    with pytest.raises(ManifestError, match="ask less"):
        sets.first_cases(500, 0)


def test_a_source_that_is_left_out_is_asked_about_and_never_learned_from(sets):
    learned, held = sets.without(["clinic"])
    table = sets.manifest.table
    for name in ("stage2", "stage3"):
        assert not images_of(learned[name]) & sets.clinic
        # A patient of the clinic who has an open image too is not learned from.
        assert not set(table.loc[sorted(images_of(learned[name])), "group"]) & set(
            table.loc[sorted(sets.clinic), "group"]
        )
        asked = {i for i in sets.clinic if i in sets.every[name].truth}
        assert asked == set(held[name].test) & sets.clinic
        assert set(held[name].validation) == set(learned[name].validation)
        assert not set(held[name].test) & set(learned[name].train)
    with pytest.raises(ManifestError, match="leave out of nowhere"):
        sets.without(["nowhere"])


def test_covid_nets_split_has_its_counts_and_shares_no_patient(sets):
    split = sets.covid_net["stage2"]
    labels = sets.manifest.table["label"]
    tested = [labels[i] for i in split.test]
    assert (tested.count("normal"), tested.count("covid19"), len(tested)) == (10, 8, 28)
    assert {sets.manifest.table.at[i, "source"] for i in images_of(split)} == {"clinic", "open-adults"}
    groups = [{split.groups[i] for i in split.part(part)} for part in PARTS]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert len(split.validation) == pytest.approx(0.1 * (len(split.train) + len(split.validation)), abs=3)


def test_what_the_images_do_not_allow_is_said(sets, recipe, manifest):
    many = recipe.covid_net.model_copy(update={"covid19": 5000})
    with pytest.raises(ManifestError, match="covid19"):
        covid_net_split(sets.manifest, sets.every, many, 0)
    with pytest.raises(ManifestError, match="no image of the source nowhere"):
        make_sets(manifest, recipe.model_copy(update={"clinic": "nowhere"}), 0)


def test_the_digest_does_not_depend_on_the_order_or_place(manifest, sets):
    assert images_digest(manifest) == images_digest(sets.manifest)
