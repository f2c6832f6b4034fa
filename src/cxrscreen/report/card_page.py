"""A bundle's card as a page a person can read: HTML without scripts or outside requests, or Markdown."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.report.card_blocks import Block, Bullets, Cell, Command, Facts, Heading, Measure, Paragraph, Table
from cxrscreen.report.card_sections import card_sections
from cxrscreen.report.folder import ResultNotWrittenError
from cxrscreen.report.wording import printable
from cxrscreen.systems.bundle import Bundle


def write_card_page(bundle: Bundle, path: Path) -> None:
    """Write the card as a page.

    Parameters
    ----------
    bundle
        Opened, and so known to be whole and unaltered.
    path
        Ends in ``.html`` or ``.md``, which says the kind; an older page is replaced only when the new one is complete.

    Raises
    ------
    ResultNotWrittenError
        If the ending is another, or the page cannot be written.
    """
    render = {".html": card_html, ".md": card_markdown}.get(path.suffix.lower())
    if render is None:
        raise ResultNotWrittenError(f"{path.name} is no name for a card: let it end in .html or .md.")
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_text(render(bundle), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise ResultNotWrittenError(
            f"The card {path.name} could not be written ({error.strerror}); check folder, space and rights."
        ) from error


def card_html(bundle: Bundle) -> str:
    """Render the card as one HTML page; the same card gives the same page, and all of its text is escaped."""
    return _ENVIRONMENT.get_template("card.html.j2").render(
        research_use=RESEARCH_USE,
        version=__version__,
        bundle=printable(bundle.card.bundle_id),
        sections=card_sections(bundle.card),
    )


def card_markdown(bundle: Bundle, *, folded: bool = True) -> str:
    """Render the card as Markdown.

    Parameters
    ----------
    bundle
        Opened.
    folded
        Whether the parts to look things up in (recipe, files) are in it.
    """
    lines = [f"# Model card: {_escaped(bundle.card.bundle_id)}", "", f"**{RESEARCH_USE}**", ""]
    for section in card_sections(bundle.card):
        if folded or not section.folded:
            lines += [f"{'#' * section.level} {_escaped(section.title)}", ""]
            for block in section.blocks:
                lines += [*_markdown(block), ""]
    return "\n".join([*lines, f"cxrscreen {__version__}"]) + "\n"


def _markdown(block: Block) -> list[str]:
    match block:
        case Paragraph(text, tone):
            return [f"**{_escaped(text)}**" if tone == "warning" else _escaped(text)]
        case Heading(text):
            return [f"**{_escaped(text)}**"]
        case Bullets(items):
            return [f"- {_escaped(item)}" for item in items]
        case Facts(rows):
            return [f"- {_escaped(name)}: {_shown(cell)}" for name, cell in rows]
        case Command(text):
            return ["Measured by:", "", f"    {text}"]
        case Table(head, rows, caption):
            lines = [f"| {' | '.join(cells)} |" for cells in (map(_escaped, head), ["---"] * len(head))]
            lines += [f"| {' | '.join(map(_shown, row))} |" for row in rows]
            return [*([f"*{_escaped(caption)}*", ""] if caption else []), *lines]


def _shown(cell: Cell) -> str:
    return _escaped(cell.text if isinstance(cell, Measure) else cell)


def _escaped(text: str) -> str:
    for character in ("\\", "|", "*", "`", "<"):
        text = text.replace(character, f"\\{character}")
    return text


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("cxrscreen.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters["kind"] = lambda block: type(block).__name__
