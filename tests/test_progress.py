import io

import pytest
from rich.console import Console

from cxrscreen import progress
from cxrscreen.progress import BETWEEN_LINES, Bars, tracked


def lines_of(*, terminal: bool, seconds_a_step: float, total: int | None = 10) -> list[str]:
    now = [0.0]
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=80)
    with Bars(console=console, auto_refresh=False, get_time=lambda: now[0]) as bars:
        task = bars.add_task("Measuring", total=total)
        for _ in range(10):
            now[0] += seconds_a_step
            bars.advance(task)
    return [line for line in written.getvalue().splitlines() if line.startswith("Measuring:")]


def test_a_log_has_a_line_each_minute() -> None:
    assert lines_of(terminal=False, seconds_a_step=BETWEEN_LINES / 2) == [
        "Measuring: 2 of 10",
        "Measuring: 4 of 10",
        "Measuring: 6 of 10",
        "Measuring: 8 of 10",
    ]


def test_without_a_total_the_count_alone_is_told() -> None:
    assert lines_of(terminal=False, seconds_a_step=BETWEEN_LINES / 4, total=None) == ["Measuring: 4", "Measuring: 8"]


def test_work_of_less_than_a_minute_has_no_lines() -> None:
    assert lines_of(terminal=False, seconds_a_step=1.0) == []


def test_a_terminal_has_the_bar_alone() -> None:
    assert lines_of(terminal=True, seconds_a_step=BETWEEN_LINES) == []


def test_tracked_gives_every_item_and_says_what_it_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BETWEEN_LINES", 0.0)
    assert list(tracked(iter(range(3)), "Reading [a]", total=3)) == [0, 1, 2]
    said = capsys.readouterr()
    assert not said.out
    assert "Reading [a]" in said.err
