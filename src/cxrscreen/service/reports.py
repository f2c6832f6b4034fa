"""The report of a stored result, as page and as PDF."""

import io
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase.pdfmetrics import registerFont, registerFontFamily
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    Image,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.folder import Thumbnail
from cxrscreen.report.page import Details, Entry, render_report
from cxrscreen.report.record import ScreeningRecord
from cxrscreen.report.wording import FINDING_LABELS, LIMITS, TRIAGE_LABELS, printable, stage_sentence
from cxrscreen.service.pictures import ResultFolder
from cxrscreen.service.store import models
from cxrscreen.service.store.results import record_of
from cxrscreen.systems.contract import Stage

FOLDER: Final = "pictures"
"""Below the result's address, so that the links in the page lead to its framed pictures."""

_INK, _QUIET, _LINE, _ALARM = HexColor("#1a2330"), HexColor("#55606e"), HexColor("#c9d1db"), HexColor("#a3121f")
_MARGIN: Final = 18 * mm
_COLUMN, _TALLEST = 82 * mm, 100 * mm
_BARE: Final = TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)])


def html_report(result: models.Result, folder: ResultFolder) -> str:
    """Render the page of a result.

    Parameters
    ----------
    result
        With its image.
    folder
        Its pictures.
    """
    record = record_of(result)
    if record.status == "refused":
        entry = Entry(Path(_name(result)), record, FOLDER)
    else:
        entry = Entry(Path(_name(result)), record, FOLDER, Details(_stages(result), folder.thumbnails))
    return "".join(render_report([entry], bundle=result.bundle, made_at=result.made_at))


def pdf_report(result: models.Result, folder: ResultFolder) -> bytes:
    """Render the report of a result for paper: the answer, the decisions, the warnings, the pictures, the limits.

    Parameters
    ----------
    result
        With its image and study.
    folder
        Its pictures.

    Returns
    -------
    bytes
        A PDF of A4 pages; each carries the statement of use.
    """
    target = io.BytesIO()
    document = BaseDocTemplate(
        target,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 6 * mm,
        title="Chest X-ray screening",
        author=f"cxrscreen {__version__}",
        subject=RESEARCH_USE,
    )
    frame = Frame(document.leftMargin, document.bottomMargin, document.width, document.height, 0, 0, 0, 0)
    document.addPageTemplates([PageTemplate("page", [frame], onPage=_foot)])
    document.build(list(_story(result, folder)))
    return target.getvalue()


def _story(result: models.Result, folder: ResultFolder) -> Iterable[Flowable]:
    record = record_of(result)
    yield Paragraph("Chest X-ray screening", _style(17, bold=True))
    yield Paragraph(escape(RESEARCH_USE), _style(9, colour=_QUIET))
    yield Spacer(1, 3 * mm)
    yield _table([[_quiet(name), _plain(value)] for name, value in _facts(result)], (38 * mm, None))
    if result.image.study.patient_contradicted:
        yield Spacer(1, 3 * mm)
        yield Paragraph(escape(_contradiction(result.image)), _style(11, bold=True, colour=_ALARM))
    yield Spacer(1, 4 * mm)
    if record.status == "refused":
        yield Paragraph("Refused: no answer is given", _style(13, bold=True))
        for concern in record.verdict.concerns if record.verdict is not None else ():
            yield _plain(f"{concern.code}: {concern.sentence}")
    else:
        yield from _answer(result, record)
    if record.warnings:
        yield Spacer(1, 3 * mm)
        yield Paragraph("Warnings", _style(11, bold=True))
        for warning in record.warnings:
            yield _plain(f"• {warning}")
    yield Spacer(1, 4 * mm)
    cells = [[*_picture(folder, thumbnail)] for thumbnail in folder.thumbnails]
    for left in range(0, len(cells), 2):
        row = cells[left : left + 2]
        yield Table([row + [[]] * (2 - len(row))], [A4[0] / 2 - _MARGIN] * 2, style=_BARE, hAlign="LEFT")
    yield Paragraph("What this does not say", _style(11, bold=True))
    for claim, explanation in LIMITS:
        yield Paragraph(f"<b>{escape(claim)}</b> {escape(explanation)}", _style(8))


def _facts(result: models.Result) -> list[tuple[str, str]]:
    image, study = result.image, result.image.study
    facts = [
        ("Image", _name(result)),
        ("Patient", _person(study.patient)),
        ("Taken on", "not said" if study.taken_on is None else study.taken_on.isoformat()),
        ("Received", _moment(image.received_at)),
        ("Screened", f"{_moment(result.made_at)} by {result.system}, {result.bundle}, cxrscreen {__version__}"),
        ("Identifiers", f"image {image.id}, result {result.id}"),
    ]
    return [(name, printable(value)) for name, value in facts]


def _person(patient: models.Patient | None) -> str:
    return "not said" if patient is None else f"{patient.reference} {patient.name or ''}".strip()


def _contradiction(image: models.Image) -> str:
    if image.other_patient is None:
        return "Another image of this study names somebody else. Find out whose images these are before you use this."
    named = _person(image.other_patient)
    return printable(
        f"This image names somebody else than its study: {named}. Find out whose it is before you use this."
    )


def _answer(result: models.Result, record: ScreeningRecord) -> Iterable[Flowable]:
    finding = "" if record.finding is None else FINDING_LABELS[record.finding]
    yield Paragraph(f"Answer at the operating points: {escape(finding)}", _style(13, bold=True))
    if record.triage is not None:
        title, meaning = TRIAGE_LABELS[record.triage.action]
        yield _plain(f"Suggested order of work: {title}. {meaning}")
    score = "none" if record.triage_score is None else f"{record.triage_score:.2f}"
    yield _plain(f"Urgency {score} (0 to 1, larger is read first). Quality of the image: {record.quality}.")
    yield Spacer(1, 2 * mm)
    rows = [[_quiet(text) for text in ("Decision", "Score", "Operating point", "In words")]]
    for stage in _stages(result):
        score = "–" if stage.probability is None else f"{stage.probability:.2f}"
        point = f"{stage.threshold:.2f} ({stage.operating_point})"
        rows.append([_plain(text) for text in (stage.title, score, point, stage_sentence(stage))])
    yield _table(rows, (48 * mm, 16 * mm, 34 * mm, None))


def _stages(result: models.Result) -> tuple[Stage, ...]:
    return tuple(Stage(**stage) for stage in result.stages)


def _name(result: models.Result) -> str:
    return result.image.name or f"image {result.image_id[:8]}"


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _picture(folder: ResultFolder, thumbnail: Thumbnail) -> tuple[Flowable, ...]:
    png = folder.files[thumbnail.file]
    width, height = ImageReader(io.BytesIO(png)).getSize()
    scale = min(_COLUMN / width, _TALLEST / height)
    picture = Image(io.BytesIO(png), width=width * scale, height=height * scale, hAlign="LEFT")
    return picture, _quiet(f"{thumbnail.title}. {thumbnail.note}".strip()), Spacer(1, 3 * mm)


def _table(rows: list[list[Paragraph]], widths: tuple[float | None, ...]) -> Table:
    free = A4[0] - 2 * _MARGIN - sum(width for width in widths if width is not None)
    table = Table(rows, [free if width is None else width for width in widths], hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    return table


def _plain(text: str) -> Paragraph:
    return Paragraph(escape(printable(text)), _style(9))


def _quiet(text: str) -> Paragraph:
    return Paragraph(escape(printable(text)), _style(8, colour=_QUIET))


def _foot(canvas: Canvas, document: BaseDocTemplate) -> None:
    canvas.saveState()
    canvas.setFont(_font(bold=False), 7.5)
    canvas.setFillColor(_QUIET)
    canvas.drawString(_MARGIN, 12 * mm, RESEARCH_USE)
    canvas.drawRightString(A4[0] - _MARGIN, 12 * mm, f"Page {document.page}")
    canvas.restoreState()


@lru_cache(maxsize=32)
def _style(size: float, *, bold: bool = False, colour: Color = _INK) -> ParagraphStyle:
    return ParagraphStyle(
        f"{size}{bold}", fontName=_font(bold=bold), fontSize=size, leading=size * 1.35, textColor=colour
    )


@lru_cache(maxsize=2)
def _font(*, bold: bool) -> str:
    # The fonts that every PDF reader has cannot write names beyond Western Europe.
    name = "DejaVuSans-Bold" if bold else "DejaVuSans"
    registerFont(TTFont(name, str(_fonts() / f"{name}.ttf")))
    if not bold:
        _register_family()
    return name


def _fonts() -> Path:
    # Those that matplotlib brings along, without importing it, which a server that starts would wait for.
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("matplotlib's fonts")
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


def _register_family() -> None:
    _font(bold=True)
    registerFontFamily(
        "DejaVuSans", normal="DejaVuSans", bold="DejaVuSans-Bold", italic="DejaVuSans", boldItalic="DejaVuSans-Bold"
    )
