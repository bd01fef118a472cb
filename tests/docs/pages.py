"""The pages of the documentation, and their blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

#: Pages whose blocks another test has written, or runs in its own way.
OF_OTHER_TESTS = {
    "api.md": "tests/cli/test_api.py",
    "bad-days.md": "tests/cli/test_bad_days.py",
    "sdks.md": "tests/sdk/test_page.py",
}
#: Blocks that are no code: what a program prints.
NO_CODE = ("text",)

_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--\s*(run|not run):?\s(.*?)-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        page: Where it is.
        line: Its first line there.
        language: What follows the fence; "run" if it is in a comment, where no reader sees it.
        code: Without the fence and the indentation of a list.
        why_not: The reason why it cannot run; "" if it runs.
        before: The text between the block before it and this one.
    """

    page: Path
    line: int
    language: str
    code: str
    why_not: str
    before: str

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in their order.

    A block has the reason why it cannot run in a comment before it: `<!-- not run: reason -->`.
    A comment `<!-- run ... -->` holds code that runs and that no reader needs to see.
    """
    return list(_blocks(page, page.read_text("utf-8")))


def _blocks(page: Path, text: str) -> Iterator[Block]:
    end, why_not = 0, ""
    found = sorted([*_FENCE.finditer(text), *_COMMENT.finditer(text)], key=re.Match.start)
    for match in found:
        if match.start() < end:  # a comment that a block shows
            continue
        before, end = text[end : match.start()], match.end()
        if match.re is _FENCE:
            indent, language, code = match.groups()
            code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
            start = match.start(3)
        else:
            language, code = match.groups()
            start = match.start(2)
            if language == "not run":
                why_not = " ".join(code.split())
                continue
        yield Block(page, text.count("\n", 0, start) + 1, language, code, why_not, before)
        why_not = ""
