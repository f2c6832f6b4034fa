"""What the site's hooks make of Markdown, docstrings and the linter's contract."""

import importlib.util
import re

import pytest

from .blocks import ROOT

pytest.importorskip("mkdocs")


def hook(name):
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "docs" / "site" / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_equations_become_mathml():
    shown = hook("mathml").with_mathml(
        '<p><span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\nx_i \\tag{3}\n\\]</div>'
    )
    assert shown.count("<math ") == 2
    assert 'alttext="a &lt; b"' in shown
    assert 'display="block"' in shown
    assert '<span class="number">(3)</span>' in shown
    assert "tag" not in re.sub(r"<[^>]+>", "", shown)


def test_links_out_of_docs_are_named():
    rewritten = hook("links").rewritten
    assert rewritten("[a](speed.md)", "index.md") == "[a](speed.md)"
    assert rewritten("[a](../README.md)", "index.md") == "a (`README.md`)"
    assert rewritten("[a](../../deploy)", "results/README.md") == "a (`deploy`)"
    assert rewritten("![a](../figures/x.png)", "index.md") == "![a](../figures/x.png)"
    link = "[its page](../../src/cxrscreen/systems/patch_voting/README.md)"
    assert rewritten(link, "results/README.md") == "[its page](../systems/patch-voting.md)"


def test_docstrings_become_markdown():
    text = hook("docstrings").as_markdown(
        "See :func:`~a.b.cam` and ``x``, :math:`h w`.\n\n.. math:: a = \\sum_k\n          b_k\n\nParameters\n"
    )
    assert text == "See `cam` and `x`, \\(h w\\).\n\n\\[\na = \\sum_k b_k\n\\]\n\n\nParameters\n"


def test_rooms_are_those_of_the_contract_and_of_the_page():
    rooms = hook("generated").rooms()
    assert rooms[0] == "cli"
    assert rooms[-1] == "errors"
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == rooms
