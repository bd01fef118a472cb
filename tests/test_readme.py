"""README is executed: what it shows works, what it lists exists."""

from __future__ import annotations

import asyncio
import builtins
import inspect
import os
import re
import runpy
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianAuthError,
    CloudEnvironment,
    Profile,
    create_atlassian_oauth_client,
    save_profile,
    scope_set,
)
from atlassian_auth_adapter.atlassian.products import PRODUCTS
from atlassian_auth_adapter.cli.main import main
from atlassian_auth_adapter.clients.environment import VARIABLES
from atlassian_auth_adapter.testing import AtlassianEmulator

README = Path(__file__).parent.parent.joinpath("README.md").read_text()
OFFLINE, REAL, PROFILE, DATA_CENTER, ASYNC, AIOHTTP, SDK, ACCOUNT = re.findall(
    r"```python\n(.*?)```", README, re.DOTALL
)

#: The scopes that README says to add to the app.
ADDED = tuple(re.findall(r"`(read:[a-z-]+)`", README.partition("(here ")[2].partition(")")[0]))


def test_the_named_sets_of_scopes_are_those_of_the_table() -> None:
    """README's table has the scopes of each set, without the two that every set has."""
    for column, product in ((1, "jira"), (2, "confluence")):
        listed: set[str] = set()
        for name in ("read", "write", "audit"):
            (row,) = re.findall(rf'^\| `"{name}"` \|.*', README, re.MULTILINE)
            scopes = set(re.findall(r"[a-z.-]+:[a-z:.-]+", row.split("|")[column + 1]))
            listed = listed | scopes if name == "write" else scopes
            always = {f"read:{product}-user", "offline_access"}
            assert listed | always == set(scope_set(product, name))


def test_the_ten_lines_work_offline(capsys: pytest.CaptureFixture[str]) -> None:
    """The first example runs as it stands and prints what README says."""
    exec(OFFLINE, {})
    printed = capsys.readouterr().out.strip()
    assert f"It prints `{printed}`" in README


def test_the_real_site_examples_work_against_the_emulator(
    atlassian_emulator: AtlassianEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The examples for a real site run with nothing but hosts, ids and paths replaced.

    The app has the scopes that README says to add, and no others.
    """
    cloud = atlassian_emulator.cloud
    cloud.app.scopes = ADDED
    opened: list[str] = []

    def person(prompt: str) -> str:
        url = capsys.readouterr().out.split()[-1]
        opened.append(url)
        return cloud.authorize(url)

    monkeypatch.setattr(builtins, "input", person)
    names: dict[str, Any] = {
        "cloud": CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    }
    replaced = {
        "your-client-id": cloud.app.client_id,
        "your-client-secret": cloud.app.client_secret,
        "http://localhost:8080/callback": cloud.app.callback_url,
        "https://acme.atlassian.net": cloud.sites[0].url,
        "~/.config/my-program/tokens": str(tmp_path / "tokens"),
        "    store=": "    cloud=cloud, store=",
    }
    real, later = _with(REAL, replaced), _with(ASYNC, replaced)
    exec(real, names)
    assert capsys.readouterr().out.strip() == "Ada Example"
    names["session"].close()
    exec(real, names)  # the second run finds the login
    names["session"].close()
    assert len(opened) == 1
    exec(later, names)
    exec(_with(AIOHTTP, replaced), names)
    for name in ("main", "with_aiohttp"):
        asyncio.run(names[name]())
        assert capsys.readouterr().out.split("\n")[-2] == "Ada Example"


def test_the_sdks_work_against_the_emulator(
    atlassian_emulator: AtlassianEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """The SDKs find all issues and say who we are, with the URL of the site."""
    cloud = atlassian_emulator.cloud
    cloud.app.scopes = ADDED
    client = create_atlassian_oauth_client(
        cloud.app.client_id,
        cloud.app.client_secret,
        cloud.app.callback_url,
        site_url=cloud.sites[0].url,
        scopes=scope_set("jira", "read"),
        cloud=CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
    )
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        names: dict[str, Any] = {"client": client, "session": session}
        exec(_with(SDK, {"https://acme.atlassian.net": cloud.sites[0].url}), names)
    assert capsys.readouterr().out.split("\n")[:2] == ["120", "Ada Example"]
    names["jira"].close()


def test_the_service_account_works_against_the_emulator(
    atlassian_emulator: AtlassianEmulator,
) -> None:
    """Without a login, from its credentials to an answer."""
    cloud = atlassian_emulator.cloud
    names: dict[str, Any] = {
        "cloud": CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    }
    replaced = {
        "its-client-id": cloud.service_account.client_id,
        "its-client-secret": cloud.service_account.client_secret,
        'site_url="https://acme.atlassian.net"': f'site_url="{cloud.sites[0].url}", cloud=cloud',
    }
    exec(_with(ACCOUNT, replaced), names)
    with names["session"] as session:
        answer = session.get(f"{cloud.sites[0].url}/rest/api/3/myself")
    assert answer.status_code == 200


def test_the_script_with_a_profile_works_against_the_emulator(
    atlassian_emulator: AtlassianEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Signed in once by the command above it, it runs as it stands: only the address is another."""
    monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
    cloud = atlassian_emulator.cloud
    profile = Profile(
        client_id=cloud.app.client_id,
        callback_url=cloud.app.callback_url,
        cloud=CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
        store="file",
    )
    save_profile(profile, cloud.app.client_secret)
    cloud.app.scopes = ADDED

    def sign_in(client: Any, **_: Any) -> None:
        client.oauth_complete(cloud.authorize(client.oauth_start()))

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", sign_in)
    (line,) = re.findall(r"^atlassian-auth (login --site .*)$", README, re.MULTILINE)
    assert main(_with(line, {"https://acme.atlassian.net": cloud.sites[0].url}).split()) == 0
    capsys.readouterr()
    names: dict[str, Any] = {}
    exec(_with(PROFILE, {"https://acme.atlassian.net": cloud.sites[0].url}), names)
    names["session"].close()
    assert capsys.readouterr().out.strip() == "Ada Example"


def test_the_help_is_that_of_the_program() -> None:
    """What README shows of the command is what it prints."""
    shown = re.search(r"\$ atlassian-auth --help\n(.*?)\n```", README, re.DOTALL)
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
    docs = Path(__file__).parent.parent / "docs"
    picture = unescape((docs / "atlassian-auth.svg").read_text()).replace("\xa0", " ")
    made_of = runpy.run_path(str(docs / "picture.py"))["COMMANDS"]
    assert "](docs/atlassian-auth.svg)" in README
    for command in made_of:
        assert f"$ atlassian-auth {command}" in picture
    assert "url(http" not in picture.replace("url(#", "")


def test_the_table_of_variables_is_complete() -> None:
    """Every variable that is read is explained, with the argument that it stands for."""
    table = dict(re.findall(r"^\| `(ATLASSIAN_\w+)`.*\| `(\w+)` \|$", README, re.MULTILINE))
    read = {variable: argument for variable, (argument, _) in VARIABLES.items()}
    assert table == read | {"ATLASSIAN_CLIENT_SECRET": "client_secret"}


def test_the_data_center_example_works_against_the_emulator(
    atlassian_emulator: AtlassianEmulator,
) -> None:
    """The Data Center example makes a client that logs in with PKCE."""
    server = atlassian_emulator.data_center
    names: dict[str, Any] = {}
    replaced = {
        "your-client-id": server.app.client_id,
        "your-client-secret": server.app.client_secret,
        "https://localhost/callback": server.app.callback_url,
        "https://jira.company.com/jira": server.url,
    }
    exec(_with(REAL.split("\n\n")[0] + "\n" + DATA_CENTER, replaced), names)
    client = names["client"]
    client.oauth_complete(server.authorize(client.oauth_start()))
    assert client.test_connection().name == "Ada Example"


def test_the_table_of_errors_is_complete() -> None:
    """Every error that can leave the package is explained, and none that does not exist."""
    table = set(re.findall(r"^\| `(\w+Error)` \|", README, re.MULTILINE))
    exported = {
        name
        for name in atlassian_auth_adapter.__all__
        if name.endswith("Error") and issubclass(getattr(atlassian_auth_adapter, name), Exception)
    }
    assert table == exported - {AtlassianAuthError.__name__, "TokenEndpointError"}


def test_the_table_of_stores_is_complete() -> None:
    """Every store has its row, with the extra that it needs."""
    table = dict(re.findall(r"^\| `(\w+TokenStore)\(.*\| ([^|]+) \|$", README, re.MULTILINE))
    stores = {name for name in atlassian_auth_adapter.__all__ if name.endswith("TokenStore")}
    assert table.keys() == stores - {"TokenStore"}
    for name, needs in table.items():
        home = Path(inspect.getfile(getattr(atlassian_auth_adapter, name))).read_text()
        extras = re.findall(r'optional_import\("\w+", "(\w+)"\)', home)
        assert needs == (f"`[{extras[0]}]`" if extras else "nothing more")


def test_the_table_of_products_is_true() -> None:
    """The default scopes in README are those of the products."""
    for product in PRODUCTS.values():
        on_server = " ".join(product.data_center_scopes)
        row = (
            f'| `"{product.name}"` | `{" ".join(product.cloud_scopes)}` '
            f"| {f'`{on_server}`' if on_server else 'there is none'} |"
        )
        assert row in README


def test_the_map_of_the_house_is_true() -> None:
    """Every place that README names exists, and no place of the package is left out."""
    package = Path(atlassian_auth_adapter.__file__).parent
    house = README.partition("## The house")[2].partition("| Question")[0]
    named = set(re.findall(r"\b[\w/]+(?:\.py|/)(?=[`\s])", house))
    assert all((package / place).exists() for place in named), named
    there = {path.name + "/" * path.is_dir() for path in package.iterdir()}
    assert there - named - {"__pycache__/"} == {"__init__.py", "py.typed"}


def test_the_questions_of_a_stranger_are_answered_by_files_that_exist() -> None:
    """Each row names one file to open."""
    package = Path(atlassian_auth_adapter.__file__).parent
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|$", README, re.MULTILINE)
    assert len(rows) >= 9
    for question, answer in rows:
        (file, *_) = re.findall(r"`([\w/]+(?:\.py|/))`", answer)
        assert (package / file).exists(), question


def _with(code: str, replaced: dict[str, str]) -> str:
    for old, new in replaced.items():
        code = code.replace(old, new)
    return code
