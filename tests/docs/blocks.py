"""The fenced blocks of README and docs, and what each page says of how they are tried.

A page says it in HTML comments, which no reader sees:

``<!-- test: run -->``
    Once, anywhere: the page's commands and Python run in order in an empty folder; otherwise they are checked alone.
``<!-- test: before: COMMAND -->``
    Before a block, any number of times: what stands for a reader's own files, run before it.
``<!-- test: check: REASON -->``
    Before a block of a page that runs: its commands are checked and do not run.
``<!-- test: skip: REASON -->``
    Before a block: nobody can check it here.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"", "bash", "console", "sh", "shell"})
DATA = frozenset({"csv", "dockerfile", "ini", "json", "jsonl", "text", "toml", "yaml"})
_SAID = re.compile(r"<!--\s*test:\s*(run|before|check|skip)(?::\s*(.*?))?\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block, its page as a path from the repository's root, and what was said of it."""

    page: str
    line: int
    language: str
    text: str
    before: tuple[str, ...] = ()
    check: str = ""
    skip: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Command lines of a block of commands, joined where they go on; comments and what is printed left out."""
        if self.language not in SHELL:
            return []
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def pages() -> list[Path]:
    """README and every page of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks in order."""
    name, found, said = page.relative_to(ROOT).as_posix(), [], []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            said += _SAID.findall(token.content)
        elif token.type == "fence":
            by_kind = {kind: text for kind, text in said if kind in {"check", "skip"}}
            before = tuple(text for kind, text in said if kind == "before")
            language = token.info.split()[0].strip("{.}") if token.info.strip() else ""
            found.append(Block(name, token.map[0] + 1, language, token.content, before, **by_kind))
            said = []
    return found


def runs(page: Path) -> bool:
    """Whether a page asks for its blocks to run."""
    return any(kind == "run" for kind, _ in _SAID.findall(page.read_text(encoding="utf-8")))


def words(command: str) -> list[str]:
    """A command line as the shell would split it, without its comment."""
    return shlex.split(command, comments=True)
