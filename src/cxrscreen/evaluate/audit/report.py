"""What an audit leaves behind: ``audit.json``, ``audit.html``, the scores, and the figures as PNG and SVG."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.evaluate.audit.first_page import Section, first_page
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, plain
from cxrscreen.evaluate.audit.untouched import untouched
from cxrscreen.evaluate.audit.wording import VERDICTS, cell
from cxrscreen.evaluate.bootstrap import Estimate

FIGURES = "figures"
"""Folder of the figures beside the page."""


def write_audit(folder: Path, data: AuditData, parts: Sequence[AuditPart]) -> dict[str, Path]:
    """Write the files of an audit.

    Parameters
    ----------
    folder
        Made where missing; files of the same names in it are replaced.
    data
        What was audited.
    parts
        What was found, in the order of the page.

    Returns
    -------
    dict
        Path by name. The files hold no path, no time and no machine: the same run gives the same bytes. Only
        ``scores.csv``, ``scores-PART.csv`` (of edited images) and ``failures.csv`` name images.
    """
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    page = first_page(data, parts)
    files = {name: folder / name for name in ("audit.json", "audit.html", "scores.csv", "failures.csv")}
    content = json.dumps(audit_content(data, page, parts), indent=2, allow_nan=False)
    files["audit.json"].write_text(content + "\n", encoding="utf-8")
    known = untouched(data)
    known.scores.to_csv(files["scores.csv"], index=False, lineterminator="\n")
    failed = pd.DataFrame(known.failures.items(), columns=["image_id", "reason"])
    failed.to_csv(files["failures.csv"], index=False, lineterminator="\n")
    for part in parts:
        if part.scores is not None:
            files[f"scores-{part.name}.csv"] = file = folder / f"scores-{part.name}.csv"
            part.scores.to_csv(file, index=False, lineterminator="\n")
    pictures: dict[str, list[Path]] = {}
    for part in parts:
        written = [write_figure(figure, folder / FIGURES / stem) for stem, figure in _named(part)]
        pictures[part.name] = [svg for _, svg in written]
        files |= {f"{FIGURES}/{path.name}": path for pair in written for path in pair}
    files["audit.html"].write_text(render_page(data, page, parts, pictures), encoding="utf-8")
    return files


def audit_content(data: AuditData, page: Sequence[Section], parts: Sequence[AuditPart]) -> dict[str, Any]:
    """Gather the content of ``audit.json``: plain values, None where a figure is not defined."""
    known = untouched(data)
    content: dict[str, Any] = {
        "notice": RESEARCH_USE,
        "bundle": data.bundle.card.bundle_id,
        "software": f"cxrscreen {__version__}",
        "seed": data.seed,
        "replicates": data.replicates,
        "protocols": {name: split.digest for name, split in data.splits.items()},
        "images": {"screened": len(known.scores), "failed": len(known.failures)},
        "limited": any(len(data.chosen[name, "test"]) < len(split.test) for name, split in data.splits.items()),
        "first_page": [section.content() for section in page],
        "audits": [part.content() for part in parts],
    }
    result: dict[str, Any] = plain(content)
    return result


def write_figure(figure: AuditFigure, stem: Path) -> tuple[Path, Path]:
    """Write one figure as ``stem.png`` and ``stem.svg``; the same figure gives the same bytes."""
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    with mpl.rc_context({"svg.hashsalt": "cxrscreen"}):
        figure.figure.savefig(png, dpi=150, metadata={"Software": None})
        figure.figure.savefig(svg, metadata={"Date": None})
    return png, svg


def render_page(
    data: AuditData, page: Sequence[Section], parts: Sequence[AuditPart], pictures: dict[str, list[Path]]
) -> str:
    """Render ``audit.html``: one page without scripts or outside requests, its figures within.

    Parameters
    ----------
    data, page, parts
        As for `audit_content`.
    pictures
        The SVG files of each part by its name, in the order of its figures.
    """
    shown = [
        {
            "part": part,
            "verdict": VERDICTS[part.passed],
            "figures": [
                {"title": figure.title, "alt": figure.alt, "uri": _data_uri(svg)}
                for figure, svg in zip(part.figures, pictures[part.name], strict=True)
            ],
        }
        for part in parts
    ]
    return _ENVIRONMENT.get_template("audit.html.j2").render(
        research_use=RESEARCH_USE,
        version=__version__,
        bundle=data.bundle.card.bundle_id,
        summary=data.bundle.card.summary,
        counts={verdict: sum(part.passed is passed for part in parts) for passed, verdict in VERDICTS.items()},
        protocols=list(data.splits),
        sections=page,
        parts=shown,
        verdicts=frozenset(VERDICTS.values()),
    )


def _named(part: AuditPart) -> list[tuple[str, AuditFigure]]:
    many = len(part.figures) > 1
    return [(f"{part.name}-{i}" if many else part.name, figure) for i, figure in enumerate(part.figures, start=1)]


def _data_uri(svg: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"


_ENVIRONMENT = Environment(
    loader=PackageLoader("cxrscreen.evaluate.audit"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["cell"] = cell
_ENVIRONMENT.tests["estimate"] = lambda value: isinstance(value, Estimate) and value.value is not None
_ENVIRONMENT.tests["figure"] = lambda value: not isinstance(value, str)
