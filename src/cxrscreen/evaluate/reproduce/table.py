"""A reproduced table as a page and as JSON: the paper's figures as printed and as recomputed, and ours."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.reproduce.measure import Figures
from cxrscreen.evaluate.reproduce.paper import Printed

Names = Mapping[str, str]

FIGURES: Names = {"auc": "AUC", "sensitivity": "Sensitivity", "specificity": "Specificity"}
HEAD = ("Figure", "Printed", "Recomputed from counts", "Ours, pooled", "Ours, within sources", "n+ / n-")

INTERVALS = (
    "All figures are percentages. In brackets: 95 % intervals; ours are by patient (bootstrap; of pooled rates Wilson "
    "with the sample size reduced for patients), the paper's are Wilson's. Thresholds are Youden's on the validation "
    "images, sources weighing the same, so that validation rates are those of the images of the choice. Within "
    "sources: the mean over the sources that hold at least 5 images of either class; what hospitals alone give away "
    "earns nothing there."
)


@dataclass(frozen=True)
class Origin:
    """Where a table comes from.

    Parameters
    ----------
    command
        What gives it, with words such as DATA for files.
    bundle
        Whose stage 1 cut the lungs out; empty where the trainings made their own.
    recipe_sha256, images_sha256
        Digests of the settings and of the manifest's ids, labels, sources and groups.
    seeds
        Of the trainings averaged over.
    """

    command: str
    bundle: str
    recipe_sha256: str
    images_sha256: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One grid of a page.

    Parameters
    ----------
    title
        Above it; empty for none.
    head, rows
        Its cells as text.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """A reproduced table.

    Parameters
    ----------
    name
        ``"table3"`` and so on; the file's name.
    title
        One line.
    parts
        Its grids.
    content
        The figures for the JSON: plain values, or dataclasses of them.
    remarks
        What is wrong or unclear in print.
    source_notes
        What the name of the source alone reaches.
    differs
        What differs from the paper.
    not_to_conclude
        What must not be concluded.
    figure
        Stem of a figure beside the page; empty for none.
    answer
        What the figures say, in sentences above them.
    system
        Whose paper; the files' names begin with it.
    intervals
        How figures and intervals are to be read.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    content: Sequence[Mapping[str, Any]]
    remarks: tuple[str, ...] = ()
    source_notes: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    not_to_conclude: tuple[str, ...] = ()
    figure: str = ""
    answer: tuple[str, ...] = ()
    system: str = "cascade"
    intervals: str = INTERVALS

    @property
    def stem(self) -> str:
        """Name of its files without the ending."""
        return f"{self.system}-{self.name}"


@dataclass(frozen=True)
class Row:
    """A stage on a set of images: the paper's three figures beside ours.

    Parameters
    ----------
    labels
        Leading cells.
    printed
        By name of the figure.
    ours
        None where nothing could be measured.
    """

    labels: tuple[str, ...]
    printed: Mapping[Any, Printed]
    ours: Figures | None
    key: Mapping[str, str] = field(default_factory=dict)


def grid(title: str, labels: tuple[str, ...], rows: Sequence[Row]) -> Part:
    """A line for each figure of each row."""
    lines = []
    for row in rows:
        for name, word in FIGURES.items():
            printed, ours = row.printed.get(name, Printed(None)), row.ours
            counts = "-" if ours is None else f"{ours.positives} / {ours.negatives}"
            pooled, within = (None, None) if ours is None else (ours.pooled.get(name), ours.within.get(name))
            lines.append(
                (*row.labels, word, as_printed(printed), recomputed(printed), percent(pooled), percent(within), counts)
            )
    return Part(title, (*labels, *HEAD), tuple(lines))


def source_notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """What the name of the source alone would reach, for every row where it is defined."""
    return tuple(
        f"{', '.join(row.labels)}: a reader who sees only the name of the source reaches an AUC of "
        f"{100 * row.ours.source_alone:.1f} on these images"
        + (
            f"; within sources counts {', '.join(row.ours.sources)}."
            if row.ours.sources
            else "; no source holds both classes, so no within-source figure exists."
        )
        for row in rows
        if row.ours is not None and row.ours.source_alone is not None
    )


def plain(row: Row) -> dict[str, Any]:
    """A row as plain values."""
    return {
        **row.key,
        "labels": list(row.labels),
        "printed": {str(name): printed_values(each) for name, each in row.printed.items()},
        "ours": None if row.ours is None else dataclasses.asdict(row.ours),
    }


def printed_values(printed: Printed) -> dict[str, Any]:
    """A printed figure as plain values."""
    return dataclasses.asdict(printed) | {"interval": printed.interval()}


def remarks_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The remarks on printed figures, each once."""
    found = {
        f"{', '.join(row.labels)}: {each.remark}.": None for row in rows for each in row.printed.values() if each.remark
    }
    return tuple(found)


def as_printed(printed: Printed | None) -> str:
    """A figure as it stands in the paper, marked where it is wrong or unclear."""
    if printed is None or printed.percent is None:
        return "-"
    return f"{printed.percent:.2f}{' (see remarks)' if printed.remark else ''}"


def recomputed(printed: Printed | None) -> str:
    """A figure by its counts, with Wilson's interval."""
    if printed is None or printed.counts is None:
        return "-"
    low, high = printed.interval() or (0.0, 0.0)
    right, total = printed.counts
    return f"{right}/{total} = {100 * right / total:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def percent(estimate: Estimate | None, *, signed: bool = False) -> str:
    """An estimate with its interval, in percent."""
    if estimate is None or estimate.value is None:
        return "-"
    form = "+.1f" if signed else ".1f"
    text = f"{100 * estimate.value:{form}}"
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{text} [no interval]"
    return f"{text} [{100 * estimate.ci_low:{form}}, {100 * estimate.ci_high:{form}}]"


def write_table(table: Table, origin: Origin, folder: Path) -> dict[str, Path]:
    """Write ``SYSTEM-NAME.md`` and ``.json`` into a folder, made where missing; the same figures, the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {suffix: folder / f"{table.stem}.{suffix}" for suffix in ("md", "json")}
    files["md"].write_text(page(table, origin), encoding="utf-8")
    content = {
        "notice": RESEARCH_USE,
        "software": {"cxrscreen": __version__},
        **dataclasses.asdict(origin),
        "table": table.name,
        "title": table.title,
        "answer": table.answer,
        "rows": list(table.content),
        "remarks": table.remarks,
        "source_notes": table.source_notes,
        "differs": table.differs,
        "not_to_conclude": table.not_to_conclude,
    }
    files["json"].write_text(
        json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False, default=dataclasses.asdict) + "\n",
        encoding="utf-8",
    )
    return files


def page(table: Table, origin: Origin) -> str:
    """The table as Markdown."""
    seeds = ", ".join(str(seed) for seed in origin.seeds)
    lines = [
        f"# {table.title}",
        "",
        f"**{RESEARCH_USE}**",
        "",
        f"Command: `{origin.command}`. {f'Stage 1 of {origin.bundle}; ' if origin.bundle else ''}seeds {seeds}; recipe "
        f"{origin.recipe_sha256[:12]}, images {origin.images_sha256[:12]}.",
        "",
        table.intervals,
    ]
    lines += ["", *(f"- {sentence}" for sentence in table.answer)] if table.answer else []
    for part in table.parts:
        lines += ["", f"## {part.title}"] if part.title else []
        lines += ["", *_lines(part.head, part.rows)]
    if table.figure:
        lines += ["", f"![{table.title}]({table.system}-{table.figure}.png)"]
    sections = (
        ("What is wrong or unclear in print", table.remarks),
        ("What the name of the source alone reaches", table.source_notes),
        ("What differs from the paper", table.differs),
        ("What must not be concluded", table.not_to_conclude),
    )
    for title, sentences in sections:
        if sentences:
            lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join([*lines, ""])


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
