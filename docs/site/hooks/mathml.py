"""Equations as MathML, written when the site is built: browsers show them without a script or another host."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
# The number stands beside the equation: MathML has no place for it.
_TAG = re.compile(r"\\tag\{(.*?)\}")


def on_page_content(content: str, **_: Any) -> str:
    """Replace what Markdown left as LaTeX."""
    return with_mathml(content)


def with_mathml(content: str) -> str:
    """Give a page's HTML with every equation in MathML; its LaTeX stays in ``alttext`` for those who read it aloud."""
    shown = _BLOCK.sub(lambda found: _displayed(found[1]), content)
    return _INLINE.sub(lambda found: _equation(found[1], "inline"), shown)


def _displayed(escaped: str) -> str:
    numbers = _TAG.findall(escaped)
    number = f'<span class="number">({numbers[0]})</span>' if numbers else ""
    return f'<div class="equation">{_equation(_TAG.sub("", escaped), "block")}{number}</div>'


def _equation(escaped: str, display: str) -> str:
    latex = html.unescape(escaped).strip()
    text = html.escape(" ".join(latex.split()), quote=True)
    return convert(latex, display=display).replace("<math ", f'<math alttext="{text}" ', 1)
