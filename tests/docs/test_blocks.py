"""Every fenced block of README and docs: it runs, or it is checked, or the page says why neither can be."""

import json
import tomllib

import pytest
import yaml

from .blocks import DATA, SHELL, Block, blocks_of, pages, runs
from .command_line import faults

BLOCKS = [block for page in pages() for block in blocks_of(page)]
READERS = {"yaml": lambda text: list(yaml.safe_load_all(text)), "json": json.loads, "toml": tomllib.loads}
SKIPPED = 4
"""At most so many blocks that nobody can check; each says why."""


def test_blocks_are_found():
    assert len([block for block in BLOCKS if block.commands]) > 30
    assert sum(block.text.count("cxrscreen") for block in BLOCKS if block.page == "README.md") > 10


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_of_a_kind_that_is_tried(block):
    assert block.language in SHELL | DATA | {"python"}, "say what it is, or add a way to try it"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.commands and not block.skip], ids=str)
def test_every_command_could_be_given(block):
    assert [fault for command in block.commands for fault in faults(command)] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python_compiles(block):
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in READERS], ids=str)
def test_data_can_be_read(block):
    assert READERS[block.language](block.text)


def test_what_is_left_out_says_why_and_is_little():
    left = [block for block in BLOCKS if block.skip]
    assert len(left) <= SKIPPED, [str(block) for block in left]
    assert all(len(reason) > 15 for block in BLOCKS for reason in (block.skip, block.check) if reason)


def test_the_pages_for_newcomers_run():
    asked = {page.name for page in pages() if runs(page)}
    assert {"tutorial.md", "adapting.md", "reading-an-audit.md", "a-system-of-your-own.md"} <= asked
    checked = [block for block in BLOCKS if block.check]
    assert len(checked) <= 8, [str(block) for block in checked]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("cxrscreen screen a.png --out o", None),
        ("cxrscreen screan a.png", "no command screan"),
        ("cxrscreen screen a.png --owt o", "no option --owt"),
        (".venv/bin/cxrscreen dicom listen --out o --sceen", "no option --sceen"),
        ("cxrscreen screen a.png --out o --gate loose", "takes strict, standard, off, not loose"),
        ("cxrscreen users list | nonsense", "nonsense is no program"),
        ("python benchmarks/nothing.py", "no file benchmarks/nothing.py"),
        ("make nothing", "no target nothing"),
        ("pip install '.[nothing]'", "no extra nothing"),
    ],
)
def test_a_rotten_command_is_found(command, fault):
    found = faults(command)
    assert found == [] if fault is None else any(fault in each for each in found), found


def test_what_a_page_says_of_its_blocks_is_read(tmp_path, monkeypatch):
    from . import blocks

    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- test: run -->\n\n<!-- test: before: mkdir a -->\n\n```sh\nls a  # folder\n# said\ncat \\\n  b\n```\n\n"
        "<!-- test: skip: it takes a cluster -->\n\n```console\n$ ls\nprinted\n```\n"
    )
    first, second = blocks.blocks_of(page)
    assert blocks.runs(page)
    assert (first.before, first.commands) == (("mkdir a",), ["ls a  # folder", "cat b"])
    assert (second.skip, second.commands) == ("it takes a cluster", ["ls"])
    assert isinstance(first, Block)
