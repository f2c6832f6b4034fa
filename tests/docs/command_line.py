"""Whether a documented command could be given: its program, subcommand, options, choices and files exist."""

import re
import shlex
import tomllib
from enum import Enum
from typing import Literal, get_args, get_origin

from typer.main import get_command

from cxrscreen.cli.app import app

from .blocks import ROOT

PROGRAM = get_command(app)
OTHER = frozenset(
    {"cat", "cd", "cp", "curl", "docker", "export", "git", "head", "install", "ls", "mkdir", "mlflow", "printf", "ray"}
    | {"srun", "sudo", "systemctl", "systemd-analyze", "torchrun", "tritonserver", "unzip"}
)
"""Programs of other people that a page may name; nothing of theirs is checked."""


def faults(command: str) -> list[str]:
    """What is wrong with a command line, one sentence each; none where it could be given."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;&")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|;&"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [fault for part in parts if part for fault in _faults_of(part)]


def _faults_of(given: list[str]) -> list[str]:
    while given and re.fullmatch(r"[A-Z_]+=.*", given[0]):
        given = given[1:]
    if not given:
        return []
    name = given[0].rpartition("/")[2] if given[0].startswith(".venv/") else given[0]
    rest = [word for word in given[1:] if word not in {">", "<", "2>&1"}]
    if name == "python" and rest[:2] == ["-m", "cxrscreen"]:
        name, rest = "cxrscreen", rest[2:]
    if name == "python" and rest and rest[0].endswith(".py"):
        return _of_script(rest[0], rest[1:])
    if name in _CHECKED:
        return _CHECKED[name](rest)
    return [] if name in OTHER or name == "python" else [f"{name} is no program that these pages know"]


def _of_ours(rest: list[str]) -> list[str]:
    command, path = PROGRAM, ["cxrscreen"]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return [f"{' '.join(path)} has no command {rest[0]}"]
        command, path = command.commands[rest[0]], [*path, rest[0]]
        rest = rest[1:]
    found = []
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for place, word in enumerate(rest):
        name, _, value = word.partition("=")
        if not name.startswith("-") or name in {"--help", "-h", "-"} or re.fullmatch(r"-[0-9.]+", name):
            continue
        if name not in options:
            found.append(f"{' '.join(path)} has no option {name}")
            continue
        value = value or (rest[place + 1] if place + 1 < len(rest) else "")
        allowed = _choices(options[name].type_descriptor.annotation)
        # Capitals stand for what a reader puts there.
        if allowed and not value.isupper() and value not in allowed:
            found.append(f"{name} of {' '.join(path)} takes {', '.join(allowed)}, not {value}")
    return found


def _choices(kind: object) -> list[str]:
    """The values of an option that has few, else none."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(each.value) for each in kind]
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return [str(each) for each in inner]
    return [value for each in inner for value in _choices(each)]


def _of_script(script: str, rest: list[str]) -> list[str]:
    file = ROOT / script
    if not file.is_file():
        return [f"there is no file {script}"]
    text = file.read_text(encoding="utf-8")
    return [
        f"{script} has no option {word}"
        for word in rest
        if word.startswith("--") and f'"{word}"' not in text and word[2:].replace("-", "_") not in text
    ]


def _of_bash(rest: list[str]) -> list[str]:
    return [f"there is no file {word}" for word in rest[:1] if not (ROOT / word).is_file()]


def _of_make(targets: list[str]) -> list[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return [
        f"the Makefile has no target {name}"
        for name in targets
        if "=" not in name and not re.search(rf"^{name}:", text, re.MULTILINE)
    ]


def _of_pip(rest: list[str]) -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = settings["project"]["optional-dependencies"]
    asked = [name for word in rest for name in re.findall(r"^(?:\.|cxrscreen)\[([\w,]+)\]$", word)]
    return [f"there is no extra {name}" for names in asked for name in names.split(",") if name not in extras]


_CHECKED = {"bash": _of_bash, "cxrscreen": _of_ours, "sbatch": _of_bash, "make": _of_make, "pip": _of_pip}
