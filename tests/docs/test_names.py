"""What the pages name exists: tests that show what they say, files, and places on other pages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import atlassian_auth_adapter

from .pages import DOCS, PAGES, ROOT

PLACES = "tests|examples|benchmarks|atlassian_auth_adapter"
NAMED = re.compile(rf"(?<![\w/])((?:{PLACES})/[\w/]+\.\w+)(?:::(\w+))?")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^( *)```.*?^\1```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


@cache
def _names_in(path: Path) -> frozenset[str]:
    """The functions and classes of a module."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@cache
def _anchors(page: Path) -> frozenset[str]:
    """The headings of a page, as links name them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub(_kept, page.read_text("utf-8")), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return frozenset(title.replace(" ", "-") for title in plain)


def _found(path: Path) -> Path:
    """The path, or that of the package when a wheel is tested, which is not beside the tests."""
    site = Path(atlassian_auth_adapter.__file__).parents[1]
    return path if path.exists() else site / path.relative_to(ROOT)


def _kept(match: re.Match[str]) -> str:
    return "" if "\n" in match[0] else match[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_and_file_that_a_page_names_exists(page: Path) -> None:
    """In its text and in comments that no reader sees, such as `shown by`."""
    for file, name in NAMED.findall(page.read_text("utf-8")):
        path = _found(ROOT / file)
        assert path.exists(), file
        assert not name or name in _names_in(path), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of that page. Those to other hosts: make
    docs-links.
    """
    for target in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        path = _found((page.parent / file).resolve()) if file else page
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path), target


def test_every_page_is_in_the_menu() -> None:
    """A page that the menu lacks is found by nobody."""
    menu = (DOCS / "index.md").read_text("utf-8")
    listed = re.findall(r"^(?:[^`|<\n]+ <)?([\w-]+)>?$", menu, re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")
