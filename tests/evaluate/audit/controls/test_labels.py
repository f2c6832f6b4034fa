import numpy as np

from cxrscreen.evaluate.audit.controls.labels import (
    audit_permuted_labels,
    audit_planted_shortcut,
    drawn_marks,
    planted,
    shuffled_by_group,
)

SOURCES = {"a": (80, 80), "b": (80, 80)}


def test_shuffled_labels_teach_nothing_even_where_true_ones_would(make_bench):
    part = audit_permuted_labels(make_bench(SOURCES, lung_signal=40))
    assert part.passed is True
    assert abs(part.tables[0].rows[0][1].value - 0.5) < 0.2


def test_copies_in_two_parts_lift_shuffled_labels(make_bench):
    bench = make_bench(SOURCES)
    images = bench.sets["stage2"]
    # Every patient's second image is a copy of the first and stands in the test part.
    images.pixels[1::2] = images.pixels[0::2]
    second = np.arange(len(images.table)) % 2 == 1
    images.table.loc[second, "part"] = "test"
    images.table.loc[~second & (images.table["part"] == "test").to_numpy(), "part"] = "train"
    part = audit_permuted_labels(bench)
    assert part.passed is False
    assert part.tables[0].rows[0][1].ci_low > 0.6


def test_a_planted_mark_is_found(make_bench):
    part = audit_planted_shortcut(make_bench(SOURCES, lung_signal=5))
    assert part.passed is True
    row = dict(zip(part.tables[0].columns, part.tables[0].rows[0], strict=True))
    assert row["mark as in training"].value > 0.85
    assert row["mark reversed"].value < 0.4
    assert row["shuffled labels, lungs blanked"].value > 0.85


def test_a_trainer_that_is_blind_to_the_corner_is_found_out(make_bench):
    bench = make_bench(SOURCES, lung_signal=30)
    seeing = bench.train

    def blind(images, classes, validation_images, validation_classes, *, seed):
        probe = seeing(hidden(images), classes, hidden(validation_images), validation_classes, seed=seed)
        return lambda pictures: probe(hidden(pictures))

    bench.train = blind
    assert audit_planted_shortcut(bench).passed is False


def hidden(images):
    copy = images.copy()
    copy[:, :6, :6] = 0
    return copy


def test_groups_keep_one_label_and_the_shares_of_labels_stay(make_bench):
    images = make_bench(SOURCES).sets["stage2"]
    labels = shuffled_by_group(images, 0)
    assert images.table.assign(drawn=labels).groupby("group")["drawn"].nunique().max() == 1
    assert labels.sum() == images.truth.sum()
    assert abs(np.corrcoef(labels, images.truth)[0, 1]) < 0.3
    np.testing.assert_array_equal(labels, shuffled_by_group(images, 0))


def test_a_mark_is_drawn_on_the_chosen_pictures_alone():
    pictures = np.full((3, 96, 96), 50, np.uint8)
    marked = planted(pictures, np.array([True, False, True]))
    assert (pictures == 50).all()
    assert (marked[1] == 50).all()
    rows, columns = np.nonzero(marked[0] != 50)
    assert (marked[0][rows, columns] == 255).all()
    assert rows.max() < 12
    assert columns.max() < 12
    # An L: its foot is wider than its stem.
    assert (marked[0][rows.max()] == 255).sum() > (marked[0][rows.min()] == 255).sum()


def test_marks_go_with_the_label_as_often_as_asked():
    labels = np.repeat([0, 1], 2000)
    marks = drawn_marks(labels, 0.9, 0)
    assert abs(marks[labels == 1].mean() - 0.9) < 0.03
    assert abs(marks[labels == 0].mean() - 0.1) < 0.03
    assert not (marks == drawn_marks(labels, 0.1, 0)).all()
