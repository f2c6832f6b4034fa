import pytest
from PIL import Image

from cxrscreen.errors import RecipeError
from cxrscreen.evaluate.training_curves import curves_figure, read_curves, write_curves

HEAD = "accuracy,epoch,epoch_loss,step,train_accuracy,train_f1,validation_score\n"


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work" / "classifier" / "phase1"
    folder.mkdir(parents=True)
    # Stopped in epoch 1, before its training curve was written; the second run repeats it.
    (folder / "metrics-1.csv").write_text(HEAD + "0.4,0,,2,,,0.3\n,0,1.2,2,0.5,0.45,\n0.9,1,,5,,,0.9\n")
    (folder / "metrics.csv").write_text(
        HEAD + "0.5,1,,5,,,0.55\n,1,1.0,5,0.7,0.65,\n0.6,2,,8,,,0.5\n,2,0.9,8,0.9,0.9,\n"
    )
    return tmp_path / "work"


def test_a_stopped_run_gives_one_curve_and_the_later_run_counts(work):
    curves = read_curves(work / "classifier" / "phase1")
    assert list(curves.index) == [0, 1, 2]
    assert list(curves["validation_score"]) == [0.3, 0.55, 0.5]
    assert list(curves["train_accuracy"]) == [0.5, 0.7, 0.9]


def test_the_figure_shows_both_curves_and_marks_the_kept_epoch(work):
    figure = curves_figure(read_curves(work / "classifier" / "phase1"), "a bundle")
    for axes, best in zip(figure.axes, (0.5, 0.55), strict=True):
        learned, held_out, mark = axes.lines
        assert list(learned.get_xdata()) == [1, 2, 3]
        assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2, best)
        assert len(held_out.get_ydata()) == 3
    assert "Research use only" in figure.get_supxlabel()


def test_files_are_written_and_a_wrong_folder_is_named(work, tmp_path):
    files = write_curves(work, "a bundle", tmp_path)
    assert [file.name for file in files] == ["curves-phase1.png", "curves-phase1.svg"]
    with Image.open(files[0]) as image:
        assert image.width > 1000
    with pytest.raises(RecipeError, match="is no work folder"):
        write_curves(tmp_path / "elsewhere", "", tmp_path)
    (tmp_path / "w" / "classifier" / "phase1").mkdir(parents=True)
    with pytest.raises(RecipeError, match="holds no training curves"):
        write_curves(tmp_path / "w", "", tmp_path)
