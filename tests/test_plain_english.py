"""What users read is plain English: no text of the library has a word that was weeded out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import atlassian_auth_adapter

PACKAGE = Path(atlassian_auth_adapter.__file__).parent

#: A word that a reader stumbles over, as a regular expression, and what to write in its place.
WEEDED = {
    "nobody|no one": "name the party: no thread, no process, not logged in",
    "somebody": "name the party: another process, a person",
    "everybody": "name the party: all processes, every client",
    "anybody": "name the party: any process, a person",
    "whoever|whatever|wherever": "the one that, what, where",
    "(?:is|are|was|were) (?-i:none)": '"is not a ..." or "is missing"',
    "takes? none|takes? no": '"refuses" or "does not accept"',
    "goes? without": '"has no" or "is sent without"',
    "is news": '"is reported for the first time"',
    "theirs|ours": "name it: the token of another process, the token of this client",
    "put right|mends?|mended": '"repair" or "correct"',
    "at home": '"on its own site"',
    "luck|calm|crowd|weather": "the fact itself: at the same time, an outage",
    "thereof|therein|hereby|herewith|whereof": "the word that it stands for",
}
#: The name of a class or of an attribute is no text.
NAME = re.compile(r"[A-Z_]\w*|\w+(?:[._]\w+)+")
PATTERNS = {
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE): plain for words, plain in WEEDED.items()
}


def texts_in(source: str) -> Iterator[tuple[int, str]]:
    """The string constants of a module that are no docstrings, each with its line."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.lineno, str(node.value)


def findings(source: str) -> list[str]:
    """What stands where, and what to write in its place."""
    return [
        f"{line}: {found[0]!r} in {text!r}: write {plain}"
        for line, text in texts_in(source)
        for pattern, plain in PATTERNS.items()
        if (found := pattern.search(text)) and not NAME.fullmatch(text)
    ]


def test_no_text_of_the_library_has_a_weeded_word() -> None:
    """Errors, events, output of the command: each names its party and says what is true."""
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{finding}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for finding in findings(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('raise ValueError("Nobody knows")', 1),
        ('x = f"{name} is none"', 1),
        ('x = f"{name!r} is nonetheless sent"', 0),
        ('x = "the lock is None"', 0),
        ('x = "Weather"', 0),
        ('"""For nobody."""', 0),
        ('class A:\n    """For nobody."""\n\n    def f(self):\n        """Of whoever."""', 0),
        ('x = 1\n"""Serves nobody."""', 0),
    ],
)
def test_the_search_finds_words_in_texts_and_only_there(source: str, count: int) -> None:
    """Docstrings are not searched; parts of f-strings are, for whole words in any case."""
    assert len(findings(source)) == count
