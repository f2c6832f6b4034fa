"""The bar of a batch: done, images a second, time left."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def screening_progress(console: Console) -> "Progress":
    """Make the bar; its task has a field ``rate``."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from cxrscreen.progress import Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
    )


def advanced(progress: "Progress", task: "TaskID", files: int = 1) -> None:
    """Count files as done, and show how fast they are done."""
    progress.advance(task, files)
    speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
    progress.update(task, rate=f"{speed:.2f} images/s" if speed else "")
