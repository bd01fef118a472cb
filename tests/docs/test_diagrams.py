"""docs/diagrams.py: each drawing is that of its text, for light and dark pages."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from .pages import DOCS

DRAWN = runpy.run_path(str(DOCS / "diagrams.py"))["drawn"]
TEXTS = sorted((DOCS / "diagrams").glob("*.txt"))
WORDS = """
participant A as a client
participant B as the <server>
A->>B: ask
B-->>A: answer
A-xB: lost
Note over A,B: they agree
Note over A: alone
"""


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_a_drawing_is_that_of_its_text(text: Path) -> None:
    """After a change of a text: python docs/diagrams.py."""
    assert text.with_suffix(".svg").read_text("utf-8") == DRAWN(text.read_text("utf-8"))


def test_every_line_is_drawn() -> None:
    """Participants, messages, answers, lost ones and notes; what XML reads otherwise is escaped."""
    drawing = ET.fromstring(DRAWN(WORDS))
    said = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert said == ["a client", "the <server>", "ask", "answer", "lost", "they agree", "alone"]


def test_a_drawing_is_for_light_and_dark_pages_and_fetches_nothing() -> None:
    """Its paper and its ink change together, so it can be read on any page."""
    drawing = DRAWN(WORDS)
    assert "prefers-color-scheme: dark" in drawing
    assert 'class="paper"' in drawing
    assert "url(" not in drawing
    assert "href" not in drawing


def test_a_line_that_is_no_step_is_refused() -> None:
    """A misspelt arrow is not left out silently."""
    with pytest.raises(ValueError, match="A=>B"):
        DRAWN("participant A as a\nparticipant B as b\nA=>B: x\n")
