"""How far long work is: a bar in a terminal; in a log, where a bar would not move, a line every minute."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_Item = TypeVar("_Item")
BETWEEN_LINES = 60.0
"""Seconds from one line of a log to the next."""


class Bars(Progress):
    """Bars of rich that also tell a log how far they are.

    Parameters
    ----------
    columns
        Of the bars in a terminal; none: what is done, the bar, how many of how many, and the time that is left.
    console
        Where to; None: the standard error.
    options
        Of :class:`rich.progress.Progress`.
    """

    def __init__(self, *columns: str | ProgressColumn, console: Console | None = None, **options: Any) -> None:
        shown = columns or (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*shown, console=console or Console(stderr=True), **options)
        self._told = self.get_time()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a task, as :meth:`rich.progress.Progress.update` does."""
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count steps of a task as done."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        if self.console.is_terminal:
            return
        with self._lock:
            now, task = self.get_time(), self._tasks[task_id]
            if now - self._told < BETWEEN_LINES or task.finished:
                return
            self._told = now
            of = "" if task.total is None else f" of {task.total:.0f}"
            count = f": {task.completed:.0f}{of}" if task.completed or of else ""
            line = f"{task.description}{count}"
        self.console.print(line, highlight=False, soft_wrap=True)


def tracked(items: Iterable[_Item], what: str, total: int | None = None) -> Iterator[_Item]:
    """Go through items and show on the standard error how many are done.

    Parameters
    ----------
    items
        What is gone through.
    what
        Named beside the bar.
    total
        How many; None: as many as ``items`` says.
    """
    with Bars() as bars:
        yield from bars.track(items, total=total, description=escape(what))
