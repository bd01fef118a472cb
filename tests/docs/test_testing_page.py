"""docs/testing.md: each recipe runs alone, and the tables are complete and true."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from atlassian_auth_adapter.testing import AtlassianEmulator, emulator as package
from atlassian_auth_adapter.testing.emulator import (
    accounts,
    bitbucket_api,
    bitbucket_server,
    confluence,
    faults,
    log,
)
from atlassian_auth_adapter.testing.emulator.jira.state import SEEDS

from .pages import DOCS, Block, blocks_of
from .world import World

PAGE = DOCS / "testing.md"
TEXT = PAGE.read_text("utf-8")
SHARED, *BLOCKS = [block for block in blocks_of(PAGE) if block.language == "python"]
RECIPES = {
    match[1]: block
    for block in BLOCKS
    if (match := re.search(r"^### (.+)$", block.before, re.MULTILINE))
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_runs_alone(recipe: Block, world: World) -> None:
    """With the lines that all of them share and no other: it can be copied into a program."""
    world.run(SHARED)
    world.run(recipe)


def test_there_is_a_recipe_for_each_bad_day() -> None:
    """Twelve, and none is long."""
    assert len(RECIPES) == 12
    assert max(len(recipe.code.splitlines()) for recipe in RECIPES.values()) <= 16


def rows(title: str) -> Iterator[list[str]]:
    """The cells of the table of a chapter."""
    chapter = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert chapter
    for line in re.findall(r"^\| (.+) \|$", chapter[1], re.MULTILINE)[1:]:
        if not line.startswith("-"):
            yield line.split(" | ")


def test_the_table_of_outcomes_is_complete() -> None:
    """Every one that an authorization server can have, and one that a fault has."""
    named = [re.findall(r"`([^`]+)`", cells[0]) for cells in rows("Outcomes")]
    assert [one for one, *_ in named[:-1]] == [*log.OUTCOMES]
    with AtlassianEmulator(bitbucket=False, trello=False) as emulator:
        for names in named:
            assert all(emulator.count(outcome=name) == 0 for name in names)


def test_the_tables_of_faults_and_kinds_are_complete() -> None:
    """Every fault that is exported, and every kind of request."""
    named = {re.match(r"`(\w+)\(", cells[0])[1] for cells in rows("Faults")}  # type: ignore[index]
    every = {name for name in package.__all__ if _is_fault(getattr(package, name))}
    assert named == every
    (kinds,) = re.findall(r"The kinds are (.*?); others raise", TEXT, re.DOTALL)
    assert set(re.findall(r"`([^`]+)`", kinds)) == faults.KINDS


def _is_fault(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, faults.Fault)


def test_the_knobs_exist_where_the_table_says() -> None:
    """At those flavours, and at no others."""
    with AtlassianEmulator() as emulator:
        flavours = {each.name: each for each in emulator.flavours}
        for knobs, of, _ in rows("Knobs"):
            for knob in re.findall(r"`([^`]+)`", knobs):
                where = flavours if of == "all" else of.split(", ")
                assert all(_has(flavours[name], knob) for name in where), knob
                if of == "data_center":
                    assert not _has(emulator.cloud, knob)


def _has(flavour: object, knob: str) -> bool:
    head, _, field = knob.partition(".")
    return head in dir(flavour) and (not field or hasattr(getattr(flavour, head), field))


def test_what_is_there_is_told() -> None:
    """Names and numbers are those of the emulator."""
    told = {cells[0]: cells[1] for cells in rows("What is there to be read and changed")}
    assert accounts.ACCOUNT_NAME in told["accounts"]
    assert re.findall(r"`(\w+)`", told["sites"]) == [*accounts.SITE_NAMES[:3]]
    numbers = {place: [*map(int, re.findall(r"\d+", text))] for place, text in told.items()}
    assert numbers["Jira"] == [*SEEDS.values()]
    assert numbers["Confluence"] == [confluence._PAGES]
    assert numbers["Bitbucket Data Center"] == [*bitbucket_server._SEEDS.values()]
    assert numbers["Bitbucket Cloud"] == [bitbucket_api._REPOSITORIES, bitbucket_api._ISSUES]
