import numpy as np

from cxrscreen.evaluate.audit.controls.trained_sources import audit_trained_sources


def test_sources_that_differ_are_named_and_fail(make_bench):
    bench = make_bench({"a": (60, 60), "b": (60, 60), "few": (8, 60)})
    images = bench.sets["stage2"]
    images.pixels[images.column("source") == "a", :4] //= 2
    part = audit_trained_sources(bench)
    assert part.passed is False
    accuracy = {row[0]: row[1] for row in part.tables[0].rows}
    assert accuracy["whole image"].value > 0.9
    # The mark is outside the lungs.
    assert accuracy["lungs only"].value < 0.75
    assert [row[0] for row in part.tables[1].rows] == ["a", "b"]
    assert part.tables[0].rows[0][2] == 0.5
    source, _, tested, share = part.tables[1].rows[0][:4]
    assert (source, tested) == ("a", share.n)
    assert share.value > 0.9
    assert share.ci_low < share.value


def test_sources_that_do_not_differ_pass(make_bench):
    part = audit_trained_sources(make_bench({"a": (80, 10), "b": (80, 10)}, seed=2))
    assert part.passed is True


def test_one_source_is_no_question_and_no_normal_images_neither(make_bench):
    assert audit_trained_sources(make_bench({"a": (60, 60)})).passed is None
    bench = make_bench({"a": (60, 60)})
    images = bench.sets["stage2"]
    bench.sets["stage2"] = images.kept(np.asarray(images.truth == 1))
    part = audit_trained_sources(bench)
    assert part.passed is None
    assert "Fewer than two sources" in part.finding
