"""Links of the pages that are read in the repository too: what lies outside the site is named, not linked."""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
INSIDE = {
    f"src/cxrscreen/systems/{system}/README.md": f"systems/{page}.md"
    for system, page in (
        ("cascade", "cascade"),
        ("covid_cxnet", "covid-cxnet"),
        ("patch_voting", "patch-voting"),
        ("comit_net", "comit-net"),
    )
}
"""Pages of the site that stand for files of the repository."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of one page."""
    return rewritten(markdown, page.file.src_uri)


def rewritten(markdown: str, page: str) -> str:
    """Links out of the folder ``docs`` become a page of the site, or the name of the file; others stay.

    Parameters
    ----------
    markdown
        Text of the page.
    page
        Its path under ``docs``.
    """
    here = posixpath.dirname(f"docs/{page}")

    def other(found: re.Match[str]) -> str:
        words, target = found[1], found[2].partition("#")[0]
        path = posixpath.normpath(posixpath.join(here, target))
        if path.startswith("docs/") and not target.startswith("/"):
            return found[0]
        if path in INSIDE:
            return f"[{words}]({posixpath.relpath(INSIDE[path], posixpath.dirname(page) or '.')})"
        return f"{words} (`{path}`)"

    return _LINK.sub(other, markdown)
