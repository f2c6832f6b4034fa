import numpy as np

from cxrscreen.evaluate.audit.controls.trained_views import audit_trained_views
from cxrscreen.evaluate.audit.controls.views import BLACK, BORDERS, LUNGS, MASK, WHOLE, view_of

SOURCES = {"a": (60, 60), "b": (50, 50)}


def test_a_signal_inside_the_lungs_passes_and_vanishes_with_them(make_bench):
    part = audit_trained_views(make_bench(SOURCES, lung_signal=30))
    assert part.passed is True
    pooled = dict(zip(part.tables[0].columns, part.tables[0].rows[0], strict=True))
    assert pooled["Images"] == "all sources pooled"
    assert pooled[WHOLE].value > 0.95
    assert pooled[LUNGS].value > 0.95
    assert abs(pooled[BLACK].value - 0.5) < 0.15
    assert pooled[MASK].value == 0.5
    assert "AUC of a trained network" in part.finding


def test_a_signal_at_the_border_fails(make_bench):
    part = audit_trained_views(make_bench(SOURCES, border_signal=40))
    assert part.passed is False
    pooled = dict(zip(part.tables[0].columns, part.tables[0].rows[0], strict=True))
    assert pooled[BLACK].value > 0.95
    assert pooled[BORDERS].value > 0.95
    assert abs(pooled[LUNGS].value - 0.5) < 0.2


def test_where_nothing_is_learned_nothing_is_passed(make_bench):
    part = audit_trained_views(make_bench(SOURCES, seed=1))
    pooled = dict(zip(part.tables[0].columns, part.tables[0].rows[0], strict=True))
    assert pooled[WHOLE].ci_low < 0.5
    assert part.passed is None


def test_a_difference_between_one_class_sources_fails_pooled(make_bench):
    bench = make_bench({"bright": (0, 60), "dark": (60, 0), "both": (30, 30)}, border_signal=40)
    assert audit_trained_views(bench).passed is False


def test_views_keep_what_their_name_says(make_bench):
    images = make_bench({"a": (10, 10)}).sets["stage2"]
    inside = images.lungs[0]
    assert view_of(images, WHOLE) is images.pixels
    assert (view_of(images, BLACK)[:, inside] == 0).all()
    np.testing.assert_array_equal(view_of(images, BLACK)[:, 0], images.pixels[:, 0])
    np.testing.assert_array_equal(view_of(images, LUNGS)[:, inside], images.pixels[:, inside])
    assert (view_of(images, LUNGS)[:, 0] == 0).all()
    assert set(np.unique(view_of(images, MASK))) == {0, 255}
    assert (view_of(images, BORDERS)[:, 10:20, 10:20] == 0).all()
    assert view_of(images, BORDERS)[:, 0].any()
    assert all(view_of(images, name).dtype == np.uint8 for name in (BLACK, LUNGS, MASK, BORDERS))
