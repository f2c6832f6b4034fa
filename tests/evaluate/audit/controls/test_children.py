from cxrscreen.evaluate.audit.controls.children import audit_children


def test_a_figure_that_rests_on_children_changes_without_them(make_bench):
    bench = make_bench({"adults": (60, 60), "kids": (0, 100)}, children=("kids",))
    images = bench.sets["stage2"]
    images.pixels[images.column("source") == "kids", :6] //= 2
    part = audit_children(bench)
    assert part.passed is False
    row = dict(zip(part.tables[0].columns, part.tables[0].rows[0], strict=True))
    assert row["Change"].value < -0.1
    assert row["Change"].ci_high < 0
    assert row["Child or adult"].value > 0.9


def test_a_true_signal_stays(make_bench):
    part = audit_children(make_bench({"adults": (60, 60), "kids": (40, 40)}, lung_signal=40, children=("kids",)))
    assert part.passed is True


def test_without_marked_children_there_is_no_verdict(make_bench):
    part = audit_children(make_bench({"adults": (60, 60)}, lung_signal=30))
    assert part.passed is None
    assert part.tables == ()
