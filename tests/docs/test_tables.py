"""What the pages list is complete and true: scopes, variables, errors, stores, extras, files."""

from __future__ import annotations

import inspect
import os
import re
import runpy
import subprocess
import sys
import tomllib
from html import unescape
from pathlib import Path

import atlassian_auth_adapter
from atlassian_auth_adapter import AtlassianAuthError, scope_set
from atlassian_auth_adapter.atlassian.products import PRODUCTS
from atlassian_auth_adapter.clients.environment import VARIABLES

from .pages import DOCS, ROOT

PACKAGE = Path(atlassian_auth_adapter.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / f"{name}.md").read_text("utf-8")


def test_the_named_sets_of_scopes_are_those_of_the_table() -> None:
    """The table has the scopes of each set, without the two that every set has."""
    for column, product in ((1, "jira"), (2, "confluence")):
        listed: set[str] = set()
        for name in ("read", "write", "audit"):
            (row,) = re.findall(rf'^\| `"{name}"` \|.*', page("cloud"), re.MULTILINE)
            scopes = set(re.findall(r"[a-z.-]+:[a-z:.-]+", row.split("|")[column + 1]))
            listed = listed | scopes if name == "write" else scopes
            always = {f"read:{product}-user", "offline_access"}
            assert listed | always == set(scope_set(product, name))


def test_the_help_is_that_of_the_program() -> None:
    """What the page shows of the command is what it prints."""
    shown = re.search(r"\$ atlassian-auth --help\n(.*?)\n```", page("command"), re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-m", "atlassian_auth_adapter.cli.start", "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown
    assert shown[1] == run.stdout.rstrip()


def test_the_picture_shows_the_commands_of_its_script() -> None:
    """docs/picture.py has made it, and nothing in it is fetched from elsewhere."""
    picture = unescape((DOCS / "atlassian-auth.svg").read_text()).replace("\xa0", " ")
    made_of = runpy.run_path(str(DOCS / "picture.py"))["COMMANDS"]
    assert "](atlassian-auth.svg)" in page("command")
    for command in made_of:
        assert f"$ atlassian-auth {command}" in picture
    assert "url(http" not in picture.replace("url(#", "")


def test_the_table_of_variables_is_complete() -> None:
    """Every variable that is read is explained, with the argument that it stands for."""
    table = dict(
        re.findall(r"^\| `(ATLASSIAN_\w+)`.*\| `(\w+)` \|$", page("network"), re.MULTILINE)
    )
    read = {variable: argument for variable, (argument, _) in VARIABLES.items()}
    assert table == read | {"ATLASSIAN_CLIENT_SECRET": "client_secret"}


def test_the_table_of_errors_is_complete() -> None:
    """Every error that can leave the package is explained, and none that does not exist."""
    table = set(re.findall(r"^\| `(\w+Error)` \|", page("errors"), re.MULTILINE))
    exported = {
        name
        for name in atlassian_auth_adapter.__all__
        if name.endswith("Error") and issubclass(getattr(atlassian_auth_adapter, name), Exception)
    }
    assert table == exported - {AtlassianAuthError.__name__, "TokenEndpointError"}


def test_the_table_of_stores_is_complete() -> None:
    """Every store has its row, with the extra that it needs."""
    table = dict(
        re.findall(r"^\| `(\w+TokenStore)\(.*\| ([^|]+) \|$", page("stores"), re.MULTILINE)
    )
    stores = {name for name in atlassian_auth_adapter.__all__ if name.endswith("TokenStore")}
    assert table.keys() == stores - {"TokenStore"}
    for name, needs in table.items():
        home = Path(inspect.getfile(getattr(atlassian_auth_adapter, name))).read_text()
        extras = re.findall(r'optional_import\("\w+", "(\w+)"\)', home)
        assert needs == (f"`[{extras[0]}]`" if extras else "nothing more")


def test_the_table_of_products_is_true() -> None:
    """The default scopes on the page are those of the products."""
    for product in PRODUCTS.values():
        on_server = " ".join(product.data_center_scopes)
        row = (
            f'| `"{product.name}"` | `{" ".join(product.cloud_scopes)}` '
            f"| {f'`{on_server}`' if on_server else 'there is none'} |"
        )
        assert row in page("cloud")


def test_the_map_of_the_house_is_true() -> None:
    """Every place that the map names exists, and no place of the package is left out."""
    house = page("contributing").partition("## The house")[2].partition("| Question")[0]
    named = set(re.findall(r"\b[\w/]+(?:\.py|/)(?=[`\s])", house))
    assert all((PACKAGE / place).exists() for place in named), named
    there = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir()}
    assert there - named - {"__pycache__/"} == {"__init__.py", "py.typed"}


def test_the_questions_of_a_stranger_are_answered_by_files_that_exist() -> None:
    """Each row names one file to open."""
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|$", page("contributing"), re.MULTILINE)
    assert len(rows) >= 9
    for question, answer in rows:
        (file, *_) = re.findall(r"`([\w/]+(?:\.py|/))`", answer)
        assert (PACKAGE / file).exists(), question


def test_the_table_of_extras_is_that_of_the_package() -> None:
    """Every extra for users has its row, with what it installs; so has an install without any."""
    rows = re.findall(r"^\| (?:`(\w+)`|\(none\)) \| .* \| (.*) \|$", page("install"), re.MULTILINE)
    table = {extra: re.findall(r"`([^`]+)`", libraries) for extra, libraries in rows}
    extras = PROJECT["optional-dependencies"]
    extras.pop("dev", None)  # tools
    assert table == extras | {"": PROJECT["dependencies"]}


def test_every_public_name_is_in_the_reference_once() -> None:
    """Also the tools for tests; grouped, so that none is looked for twice."""
    text = page("reference")
    found = re.findall(r"^\.\. auto\w+:: atlassian_auth_adapter\.(\w+)$", text, re.MULTILINE)
    public = sorted({*atlassian_auth_adapter.__all__} - {"__version__"})
    assert sorted(found) == public
    tools = re.findall(
        r"^\.\. auto\w+:: atlassian_auth_adapter\.testing\.(\w+)$", text, re.MULTILINE
    )
    assert {"AtlassianEmulator", "FakeClock", "TokenStoreContract", "AuthAdapterContract"} <= {
        *tools
    }
