"""The ten most common bad days of a person at a terminal; writes docs/bad-days.md."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keyring.core
import pytest
import requests
from keyring.backends import fail

from atlassian_auth_adapter.atlassian.products import COMMERCIAL
from atlassian_auth_adapter.cli import terminal
from atlassian_auth_adapter.disk import files
from atlassian_auth_adapter.signin import login as signin, loopback
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import NotRedirectedError

DOCUMENT = Path(__file__).parents[2] / "docs/bad-days.md"
COMMAND = "python -m pytest tests/cli/test_bad_days.py --write-bad-days"
HEAD = """\
# Ten bad days, and what to do

What `atlassian-auth` prints when something is wrong, as a terminal of 80 columns shows it. Each
transcript ends with what to do. `$?` is the exit code, which scripts can rely on: the list is in
`atlassian-auth --help`. With `--json` the same is a JSON object, `{"error": {...}}`.

"""
FOOT = f"Written by `{COMMAND}`.\n"
#: Columns of the terminal that the document shows.
WIDTH = 80


@dataclass
class World:
    """A home with a profile, a local Atlassian and a person with a browser.

    Attributes:
        clicks: What the person does on the consent page.
    """

    local: AtlassianEmulator
    home: Path
    profile: Callable[..., Any]
    command: Callable[..., Any]
    monkeypatch: pytest.MonkeyPatch
    callback_port: int
    clicks: str = "authorize"

    def open_browser(self, url: str) -> bool:
        """Play the person; an error page never leads back."""
        try:
            redirect = getattr(self.local.cloud, self.clicks)(url)
        except NotRedirectedError:
            return True
        requests.get(redirect, timeout=30)
        return True

    def save_profile(self, **values: Any) -> None:
        """Save the profile that needs no -p."""
        self.profile("default", **values)

    def forget_all(self) -> None:
        """As on a new machine."""
        for name in ("config", "data"):
            shutil.rmtree(self.home / name, ignore_errors=True)


Day = Callable[[World], Iterator[str]]
DAYS: list[tuple[str, str, Day]] = []


def day(title: str) -> Callable[[Day], Day]:
    """Registers a bad day: it yields the command lines of the person; its docstring explains it."""

    def add(play: Day) -> Day:
        DAYS.append((title, " ".join((play.__doc__ or "").split()), play))
        return play

    return add


@day("No profile")
def no_profile(world: World) -> Iterator[str]:
    """Nothing was set up on this machine, or `ATLASSIAN_CONFIG_DIR` names another directory."""
    yield "status"


@day("Wrong client secret")
def wrong_secret(world: World) -> Iterator[str]:
    """The secret was mistyped, or the app got a new one. The page of the app shows it."""
    world.save_profile(login=False)
    world.local.cloud.app.client_secret = "another-secret"
    yield "login"


@day("You pressed Deny")
def denied(world: World) -> Iterator[str]:
    """On the consent page; or an administrator has to approve the app first."""
    world.save_profile(login=False)
    world.clicks = "deny"
    yield "login"


@day("A scope that was not added to the app")
def scope_missing(world: World) -> Iterator[str]:
    """Atlassian shows an error page and never sends the browser back, so the sign-in ends late."""
    world.save_profile(login=False)
    world.local.cloud.app.scopes = ("read:jira-user",)
    yield "login --timeout 1"


@day("The port is taken")
def port_taken(world: World) -> Iterator[str]:
    """Another program listens at the port of the callback URL, perhaps a sign-in in another tab."""
    world.save_profile(login=False)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", world.callback_port))
        other.listen()
        yield "login"


@day("A dead login")
def dead_login(world: World) -> Iterator[str]:
    """The access was revoked, or not used for 90 days, or the password has changed."""
    world.save_profile()
    world.local.cloud.revoke_grants()
    yield "refresh"
    yield "status"
    yield "token"


@day("An unreachable host")
def unreachable(world: World) -> Iterator[str]:
    """A mistyped name of a site, or no network."""
    world.save_profile(login=False, site_url="https://acmee.example")
    yield "login"
    yield "doctor"


@day("A proxy that does not answer")
def proxy(world: World) -> Iterator[str]:
    """The variable of the proxy is out of date, or the proxy asks for a password."""
    world.save_profile(login=False, cloud=COMMERCIAL, site_url="https://acme.atlassian.net")
    world.monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    yield "login"


@day("A store that cannot be written")
def read_only(world: World) -> Iterator[str]:
    """A volume that is mounted read-only. Nothing is asked for, and no browser is opened."""
    world.save_profile(login=False)
    shutil.rmtree(world.home / "data")

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    world.monkeypatch.setattr(files, "make_directory", refuse)
    yield "login"


@day("No keyring")
def no_keyring(world: World) -> Iterator[str]:
    """A server, a container or an SSH connection. Files are not chosen without being asked for."""
    world.save_profile(login=False)
    file = world.home / "config" / "profiles.toml"
    file.write_text(file.read_text().replace('store = "file"', 'store = "keyring"'))
    world.monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    yield "login"


# --- playing them ---------------------------------------------------------------------------------


@pytest.fixture
def world(
    local: AtlassianEmulator,
    home: Path,
    profile: Callable[..., Any],
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    no_proxies: None,
) -> World:
    """A world in which everything works, until a day begins."""
    port = int(local.cloud.app.callback_url.rpartition(":")[2].partition("/")[0])
    made = World(local, home, profile, command, monkeypatch, port)
    monkeypatch.setenv("BROWSER", "true")  # there is one, which this opens
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.delenv("ATLASSIAN_TOKEN_DIRECTORY")
    monkeypatch.setattr(webbrowser, "open", made.open_browser)
    monkeypatch.setattr(signin, "_is_container", lambda _: False)
    resolve = socket.getaddrinfo

    def resolved(host: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(host, str) and host.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return made


def test_every_bad_day_ends_with_what_to_do(world: World, request: pytest.FixtureRequest) -> None:
    """docs/bad-days.md has each of them, and nothing that was written by hand."""
    text = HEAD
    for title, what, play in DAYS:
        shown = [*_transcripts(world, play)]
        end = shown[-1].rpartition("\n$ echo")[0].rpartition(".\n")[2]
        assert re.search(r"atlassian-auth [a-z]|[Ss]et ATLASSIAN_", end), title
        blocks = "\n\n".join(shown)
        text += f"## {title}\n\n{what}\n\n```\n{blocks}\n```\n\n"
    text += FOOT
    if request.config.getoption("write_bad_days", False):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, f"it is stale: {COMMAND}"


def _runs(world: World, play: Day, *options: str) -> Iterator[Any]:
    """What the command prints on such a day, for each command line."""
    for receiver in tuple(loopback._receivers):  # answers a reload of its page for some seconds
        receiver.close()
    world.forget_all()
    cloud = world.local.cloud
    registered, world.clicks = (cloud.app.client_secret, cloud.app.scopes), "authorize"
    with world.monkeypatch.context() as patch:
        usual, world.monkeypatch = world.monkeypatch, patch
        for line in play(world):
            yield world.command(*line.split(), *options)
        world.monkeypatch = usual
    cloud.app.client_secret, cloud.app.scopes = registered


def _transcripts(world: World, play: Day) -> Iterator[str]:
    """What the terminal shows of a day, a text for each command."""
    for run in _runs(world, play):
        known = _normalized(run.err + run.out, world)
        shown = "\n".join(map(_broken, known.rstrip().splitlines()))
        yield f"$ atlassian-auth {run.arguments[0]}\n{shown}\n$ echo $?\n{run.code}"


def _broken(line: str) -> str:
    """As the command breaks it for a terminal."""
    labelled = re.match("[a-z][a-z ]*  +", line)
    mark = "  " if line[:1] in ("\u2713", "\u2717", "!") else ""
    return terminal._broken(line, WIDTH, " " * len(labelled[0]) if labelled else mark)


def _normalized(text: str, world: World) -> str:
    """Without what differs from run to run: ports, paths, times, states, codes."""
    cloud = world.local.cloud
    for found, shown in (
        (f"{cloud.auth_url}/authorize?", "https://auth.atlassian.com/authorize?"),
        (cloud.auth_url, "https://auth.atlassian.com"),
        (cloud.api_url, "https://api.atlassian.com"),
        (cloud.sites[0].url, "https://acme.atlassian.net"),
        (str(world.home / "config"), "~/.config/atlassian_auth_adapter"),
        (str(world.home / "data"), "~/.local/share"),
        (str(world.callback_port), "8080"),
        ("http://127.0.0.1:9", "http://proxy.company.com:8080"),
        ("within 1 seconds", "within 300 seconds"),
        ("ahead of 127.0.0.1", "ahead of auth.atlassian.com"),
        ("behind 127.0.0.1", "ahead of auth.atlassian.com"),
    ):
        text = text.replace(found, shown)
    for host in (cloud.auth_url, cloud.api_url, cloud.sites[0].url):
        name = {cloud.auth_url: "auth.atlassian.com", cloud.api_url: "api.atlassian.com"}
        place = host.removeprefix("http://")
        text = text.replace(place, f"{name.get(host, 'acme.atlassian.net')}:443")
    text = re.sub(r"(/authorize\?)\S+", r"\1...", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}", "2026-12-01 09:00 +0100", text)
    return re.sub(r"\d+ seconds? (ago|ahead of|behind)|\d+ s (?=ahead of|behind)", _still, text)


def _still(found: re.Match[str]) -> str:
    return "2 seconds ago" if "ago" in found[0] else "0 s "


@pytest.mark.parametrize(
    "width", [60, *(pytest.param(w, marks=pytest.mark.slow) for w in (80, 120))]
)
def test_a_bad_day_fits_the_terminal(world: World, width: int) -> None:
    """No line is longer than the terminal is wide, but for an address."""
    world.monkeypatch.setenv("FORCE_COLOR", "1")
    world.monkeypatch.setenv("COLUMNS", str(width))
    for title, _, play in DAYS:
        for run in _runs(world, play):
            shown = re.sub(r"\x1b\[[0-9;]*m", "", run.out + run.err)
            lines = [line for line in shown.splitlines() if " " in line.strip()]
            assert max(map(len, lines)) <= width, title


def test_a_bad_day_is_a_json_object(world: World) -> None:
    """With --json each error is one, with kind, message, advice and exit code, and no prose."""
    for title, _, play in DAYS:
        for run in _runs(world, play, "--json"):
            told = run.facts.get("error")
            assert run.code, title
            assert told is None or (told["exit_code"], bool(told["advice"])) == (run.code, True)
            assert "Error" not in run.err, title
