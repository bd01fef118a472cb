"""Draws the sequence diagrams: docs/diagrams/NAME.svg from NAME.txt, for light and dark pages.

python docs/diagrams.py

A text has a line for each participant, message and note, as in Mermaid's sequence diagrams:

    participant P as process      an actor, and its title
    P->>S: load                   a message
    S-->>P: nothing               an answer
    P-xT: send                    one that is lost
    Note over P,T: text           beside or between them
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

PLACE = Path(__file__).with_name("diagrams")
COLUMN, ROW, MARGIN, CHARACTER = 190, 44, 14, 7.4  # pixels

STYLE = """\
svg { --paper: #fff; --ink: #1f2328; --line: #8b949e }
svg { --box: #eef3fb; --note: #fff8d6; --lost: #c62828 }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1a1c1e; --ink: #e6e6e6; --line: #7d8590 }
  svg { --box: #26303f; --note: #3d3820; --lost: #ff8a80 }
}
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: var(--ink); text-anchor: middle }
.title { font-weight: 600 }
.paper { fill: var(--paper) }
.box { fill: var(--box); stroke: var(--line) }
.note { fill: var(--note); stroke: var(--line) }
line, path { stroke: var(--ink); fill: none }
.life { stroke: var(--line); stroke-dasharray: 3 4 }
.answer { stroke-dasharray: 6 4 }
.lost { stroke: var(--lost) }
.head { fill: var(--ink); stroke: none }
"""


def drawn(text: str) -> str:
    """The diagram of a text, as SVG."""
    lines = [line.strip() for line in text.strip().splitlines()]
    titles = dict(
        re.fullmatch(r"participant (\w+) as (.+)", line).groups()  # type: ignore[union-attr]
        for line in lines
        if line.startswith("participant")
    )
    steps = [line for line in lines if not line.startswith(("participant", "sequenceDiagram"))]
    names = list(titles)
    gap = max(COLUMN, *(_width(step) for step in steps))
    at = {name: MARGIN + gap / 2 + gap * number for number, name in enumerate(names)}
    width, height = gap * len(names) + 2 * MARGIN, ROW * (len(steps) + 2) + 2 * MARGIN
    parts = [f'<rect class="paper" width="{width:g}" height="{height:g}" rx="6"/>']
    for name, title in titles.items():
        x, top = at[name], MARGIN
        parts += [
            f'<line class="life" x1="{x:g}" x2="{x:g}" y1="{top + 30}" y2="{height - MARGIN}"/>',
            _box("box", x, top, CHARACTER * len(title) + 28),
            f'<text class="title" x="{x:g}" y="{top + 20}">{escape(title)}</text>',
        ]
    for number, step in enumerate(steps):
        parts += _step(step, at, MARGIN + ROW * (number + 1.6))
    body = "\n".join(parts)
    label = escape(", ".join(titles.values()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img" aria-label="Sequence diagram: {label}">\n'
        f"<style>\n{STYLE}</style>\n{body}\n</svg>\n"
    )


def _step(step: str, at: dict[str, float], y: float) -> Iterator[str]:
    if note := re.fullmatch(r"Note over (\w+)(?:,\s*(\w+))?: (.+)", step):
        first, last, said = note.groups()
        x = (at[first] + at[last or first]) / 2
        spread = abs(at[last or first] - at[first])
        yield _box("note", x, y - 20, max(CHARACTER * len(said) + 24, spread + 60))
        yield f'<text x="{x:g}" y="{y:g}">{escape(said)}</text>'
        return
    message = re.fullmatch(r"(\w+)(->>|-->>|-x)(\w+): (.+)", step)
    if message is None:
        raise ValueError(f"not a message, a note or a participant: {step}")
    sender, arrow, receiver, said = message.groups()
    start, end = at[sender], at[receiver]
    ahead = 1 if end > start else -1
    yield f'<text x="{(start + end) / 2:g}" y="{y - 7:g}">{escape(said)}</text>'
    if arrow == "-x":
        end -= ahead * 60
        cross = f"M{end - 6:g} {y - 6:g}l12 12m0 -12l-12 12"
        yield f'<line class="lost" x1="{start:g}" x2="{end:g}" y1="{y:g}" y2="{y:g}"/>'
        yield f'<path class="lost" stroke-width="2" d="{cross}"/>'
        return
    kind = ' class="answer"' if arrow == "-->>" else ""
    yield f'<line{kind} x1="{start:g}" x2="{end - 7 * ahead:g}" y1="{y:g}" y2="{y:g}"/>'
    yield f'<path class="head" d="M{end:g} {y:g}l{-9 * ahead} -5v10z"/>'


def _box(kind: str, x: float, top: float, width: float) -> str:
    left = x - width / 2
    return f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="30" rx="4"/>'


def _width(step: str) -> float:
    """How far apart participants have to be for a message between neighbours."""
    return CHARACTER * len(step.partition(": ")[2]) + 24 if not step.startswith("Note") else 0


def main() -> None:
    """Draw all of them."""
    for text in sorted(PLACE.glob("*.txt")):
        text.with_suffix(".svg").write_text(drawn(text.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
