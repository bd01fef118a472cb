"""A home of its own for each test, with a profile for the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import CloudEnvironment
from atlassian_auth_adapter.cli.main import main
from atlassian_auth_adapter.cli.terminal import console
from atlassian_auth_adapter.profiles.client import client_from_profile
from atlassian_auth_adapter.profiles.file import save_profile
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.testing import AtlassianEmulator, save_login, stored_login

from .helpers import names_of_the_api


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes docs/bad-days.md."""
    parser.addoption("--write-bad-days", action="store_true", help="write docs/bad-days.md")


@dataclass(frozen=True)
class Run:
    """What a command has printed, and its exit code."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        """The JSON object on standard output."""
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where profiles and logins are; no variable of the machine gets in."""
    for name in ("PROFILE", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "SITE_URL"):
        monkeypatch.delenv(f"ATLASSIAN_{name}", raising=False)
    monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
    return tmp_path


@pytest.fixture
def command(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Runs `atlassian-auth` with arguments, in this process.

    What it prints never names a part of the Python API.
    """

    def run(*arguments: str) -> Run:
        console.cache_clear()
        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr()
        if "--debug" not in arguments and code != 1:  # else it shows what has failed, and where
            of_server = arguments[:1] == ("api",)  # what it prints is an answer
            assert names_of_the_api(printed.err + ("" if of_server else printed.out)) == []
        return Run(arguments, code, printed.out, printed.err)

    return run


@pytest.fixture
def local(free_port: Callable[[], int]) -> Iterator[AtlassianEmulator]:
    """A local Atlassian on the real clock, as another process sees it."""
    with AtlassianEmulator(sites=2) as running:
        callback_url = f"http://localhost:{free_port()}/callback"
        running.cloud.app.callback_url = running.data_center.app.callback_url = callback_url
        yield running


@pytest.fixture
def profile(home: Path, local: AtlassianEmulator) -> Callable[..., Profile]:
    """Saves a profile for the emulator: `profile("work")`; logged in if asked for."""

    def save(name: str = "work", *, login: bool = True, **changes: Any) -> Profile:
        cloud = local.cloud
        values: dict[str, Any] = {
            "client_id": cloud.app.client_id,
            "callback_url": cloud.app.callback_url,
            "site_url": cloud.sites[0].url,
            "scopes": ("read:jira-user", "read:jira-work", "offline_access"),
            "cloud": CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
            "store": "file",
        }
        saved = save_profile(Profile(name, **(values | changes)), cloud.app.client_secret)
        if login:
            client: Any = client_from_profile(name)
            client.oauth_complete(cloud.authorize(client.oauth_start()))
        return saved

    return save


@pytest.fixture
def end_token() -> Callable[[], None]:
    """The stored token of "work" ends, as if its hour had passed."""

    def end() -> None:
        client = client_from_profile("work")
        login = stored_login(client)
        assert login is not None
        assert login.token_set is not None
        save_login(client, login._replace(token_set=login.token_set._replace(expires_at=1.0)))

    return end
