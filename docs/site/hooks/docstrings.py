"""Docstrings for the site: the few reStructuredText roles that the source uses, as Markdown."""

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|mod|meth|data|attr):`~?([\w.]+)`")
_INLINE = re.compile(r":math:`([^`]+)`")
_BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*(.*(?:\n(?:\1[ ]+\S.*))*)", re.MULTILINE)
_DOUBLE = re.compile(r"``([^`]+)``")


class Roles(Extension):
    """Rewrites every docstring as it is collected."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """Give a docstring with its roles and equations in Markdown."""
    text = _BLOCK.sub(_displayed, docstring)
    text = _INLINE.sub(lambda found: f"\\({found[1]}\\)", text)
    text = _ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return _DOUBLE.sub(r"`\1`", text)


def _displayed(found: re.Match[str]) -> str:
    indent, latex = found[1], " ".join(found[2].split())
    return f"{indent}\\[\n{indent}{latex}\n{indent}\\]\n"
