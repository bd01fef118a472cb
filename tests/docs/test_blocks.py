"""Every block of code in README and on the pages of the site runs, or says why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .pages import NO_CODE, OF_OTHER_TESTS, PAGES, ROOT, blocks_of
from .world import World

#: In what a block may be written: "run" stands for a hidden comment.
LANGUAGES = ("python", "sh", "run", *NO_CODE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, world: World) -> None:
    """The blocks run in their order, share their names, and print what the page says."""
    if page.name in OF_OTHER_TESTS:
        return
    for block in blocks_of(page):
        world.check_what_is_printed(block.before)
        world.run(block)
    world.check_what_is_printed(page.read_text("utf-8").rpartition("```")[2])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_block_that_does_not_run_says_why(page: Path) -> None:
    """A language that is not run needs a reason; a reason is a sentence."""
    if page.name in OF_OTHER_TESTS:
        assert page.name in (ROOT / OF_OTHER_TESTS[page.name]).read_text("utf-8")
        return
    for block in blocks_of(page):
        if block.language.startswith("{"):  # a directive of the site
            continue
        assert block.why_not or block.language in LANGUAGES, f"{block.place}: what language is it?"
        assert not block.why_not or len(block.why_not.split()) > 3, f"{block.place}: say why"


def test_a_page_is_read_as_it_is_meant(tmp_path: Path) -> None:
    """Fences, also in lists, hidden code and reasons are found, each with its line."""
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n<!-- run\na = 1\n-->\n\n- item:\n\n  ```python\n  b = a\n  ```\n\n"
        "<!-- not run: there is no such server -->\n```python\nboom()\n```\n\n```text\n1\n```\n"
    )
    found = [(block.line, block.language, block.code, block.why_not) for block in blocks_of(page)]
    assert found == [
        (4, "run", "a = 1\n", ""),
        (10, "python", "b = a\n", ""),
        (15, "python", "boom()\n", "there is no such server"),
        (19, "text", "1\n", ""),
    ]


def test_a_block_that_fails_names_the_line_of_its_page(
    world: World, make_page: Callable[[str], Path]
) -> None:
    """A traceback leads to the page."""
    page = make_page("# Title\n\n```python\nx = 1\nraise KeyError\n```\n")
    with pytest.raises(KeyError) as caught:
        world.run(blocks_of(page)[0])
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno) == (page, 4)


@pytest.mark.parametrize("said", ["It prints:\n\n```text\n2\n```\n", "It prints `2`.\n"])
def test_what_a_page_says_is_printed_is_compared(
    said: str, world: World, make_page: Callable[[str], Path]
) -> None:
    """A page that tells another output than that of its block fails."""
    page = make_page(f"# Title\n\n```python\nprint(1)\n```\n\n{said}")
    with pytest.raises(AssertionError):
        test_every_block_of_a_page_runs(page, world)


@pytest.fixture
def make_page(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a page."""

    def make(text: str) -> Path:
        page = tmp_path / "page.md"
        page.write_text(text)
        return page

    return make
