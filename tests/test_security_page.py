"""docs/security.md is true as far as names go: what it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import atlassian_auth_adapter

ROOT = Path(__file__).parent.parent
PACKAGE = Path(atlassian_auth_adapter.__file__).parent
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
#: Where a path on the page may begin.
PLACES = (ROOT, PACKAGE, PACKAGE / "testing")
NAMED = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
TEST = re.compile(r"`(?:tests|contracts)/[\w/]+\.py::test_\w+`")
#: A requirement without a test says who has to meet it, or that it is not met.
WITHOUT_A_TEST = re.compile(r"not ours|yours|open\b")
EXPECTED = "<!-- expects: "


@cache
def _names_in(path: Path) -> frozenset[str]:
    """The functions, classes and constants of a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Name(ctx=ast.Store()):
                found.add(node.id)
    return frozenset(found)


def _missing(text: str) -> list[str]:
    """The files and names in a text that do not exist."""
    found = []
    for file, name in NAMED.findall(text):
        path = next((place / file for place in PLACES if (place / file).is_file()), None)
        if path is None or (name and name not in _names_in(path)):
            found.append(f"{file}::{name}" if name else file)
    return found


#: The rows of all tables.
ROWS = "".join(re.findall(r"^\|(?:---\|)+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)).splitlines()


def test_what_the_page_names_exists() -> None:
    """Source files, functions, tests; but for rows about what is still being built."""
    text = "\n".join(line for line in PAGE.splitlines() if EXPECTED not in line)
    assert _missing(text) == []


def test_each_row_has_a_test_or_says_why_not() -> None:
    """In the last column of every table."""
    assert len(ROWS) > 100
    for row in ROWS:
        answer = row.partition(EXPECTED)[0].strip(" |").rpartition("|")[2].strip()
        assert TEST.match(answer) or WITHOUT_A_TEST.match(answer), row


def test_no_row_is_about_what_is_still_being_built() -> None:
    """A row that says `expects` names a test that another branch was going to write."""
    assert [row for row in ROWS if EXPECTED in row] == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("`signin/pages.py`, `signin/pages.py::HEADERS`, `tokens.py::authorization`", []),
        ("`tests/test_security_page.py::test_what_the_page_names_exists`", []),
        ("`contracts/redirects.py::RedirectTests`", []),
        ("`signin/page.py`", ["signin/page.py"]),
        ("`signin/pages.py::HEADER`", ["signin/pages.py::HEADER"]),
        ("`tests/test_hosts.py::test_nothing`", ["tests/test_hosts.py::test_nothing"]),
    ],
)
def test_the_search_finds_what_does_not_exist(text: str, missing: list[str]) -> None:
    """A file that was moved, a function that has another name by now."""
    assert _missing(text) == missing
