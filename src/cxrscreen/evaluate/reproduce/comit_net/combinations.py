"""The eight combinations of tasks of the COMiT-Net paper's Table 5, by the numbers of their tasks."""

from collections.abc import Mapping

from cxrscreen.systems.comit_net.recipe import TASKS, Task

TASK_NUMBERS: Mapping[str, Task] = dict(zip("1234", TASKS, strict=True))
"""Lung mask, disease region, healthy or not, COVID-19 and other disease (section 2)."""
COMBINATIONS = ("1234", "4", "14", "24", "34", "124", "134", "234")
"""In the paper's order."""
ALL_TASKS, TASK_4_ALONE = "1234", "4"


def tasks_of(combination: str) -> tuple[Task, ...]:
    """Tasks by their numbers, for example ``"14"``: lungs and diagnosis.

    Raises
    ------
    ValueError
        If a number is no task, comes twice, or the diagnosis is missing.
    """
    if len(set(combination)) != len(combination) or not set(combination) <= set(TASK_NUMBERS) or "4" not in combination:
        raise ValueError(f"tasks are different numbers from 1 to 4, with 4 among them, got {combination!r}")
    return tuple(TASK_NUMBERS[number] for number in sorted(combination))


def in_words(combination: str) -> str:
    """As the paper names it."""
    if combination == ALL_TASKS:
        return "All 4 tasks"
    if combination == TASK_4_ALONE:
        return "Task 4 only"
    *first, last = sorted(combination)
    return f"Tasks {', '.join(first)} and {last}"
