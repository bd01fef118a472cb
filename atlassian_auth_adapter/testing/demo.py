"""What the package is for, shown offline against a local Atlassian.

    python -m atlassian_auth_adapter.testing.demo

Each scene sends real requests, then compares figures with the expected ones; the emulator counts
most of them. Emulator and clients share a clock, so that an hour passes at once. The exit status is
0 only if every figure is right.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from inspect import getdoc
from typing import Any
from urllib.parse import unquote

import httpx
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianOAuthClient,
    LoginRequiredError,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, Hold, LoggedRequest

__all__ = ["SCENES", "Check", "Stage", "main"]

WIDTH = 60  # columns of the narrowest terminal that can show the text
THREADS, TASKS = 64, 500
HOUR = 3600.0  # seconds; the lifetime of an access token
PAUSE = 60.0  # seconds; longer than a forced refresh delays the next one
MYSELF, ECHO = "/rest/api/2/myself", "/rest/echo"
INTRODUCTION = """
Programs that use Jira or Confluence send an access token, which expires after an hour. A refresh
token, which can be used once, gets the next one. A program that uses it twice, or loses the answer,
is logged out until a person logs in again.

This demonstration runs the real package against a local Atlassian. The figures are measured, most
of them by its servers.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that was measured, and the expected one."""

    text: str
    found: object
    expected: object

    @property
    def held(self) -> bool:
        """Whether both are equal."""
        return self.found == self.expected

    def __str__(self) -> str:
        return f"{self.text}: {self.found}" + ("" if self.held else f", not {self.expected}")


class Stage:
    """The servers, the clock, a client of Cloud and one of Data Center, HTTP clients for both.

    Counts are those of the current scene.
    """

    def __init__(self, stack: ExitStack) -> None:
        self.clock: FakeClock = FakeClock()
        self.log: io.StringIO = io.StringIO()
        logging.getLogger("atlassian_auth_adapter").setLevel(logging.DEBUG)
        logging.getLogger().addHandler(handler := logging.StreamHandler(self.log))
        stack.callback(logging.getLogger().removeHandler, handler)
        self.emulator: AtlassianEmulator = stack.enter_context(AtlassianEmulator(self.clock))
        self.cloud: AtlassianOAuthClient = self.emulator.cloud.client(signed_in=False)
        self.server: AtlassianOAuthClient = self.emulator.data_center.client(signed_in=False)
        self.clients: tuple[AtlassianOAuthClient, ...] = (self.cloud, self.server)
        self.httpx_family: list[tuple[Any, Any]] = [(httpx, AtlassianHTTPXAuth)]
        if find_spec("httpx2"):
            import httpx2

            from atlassian_auth_adapter import AtlassianHTTPX2Auth

            self.httpx_family.append((httpx2, AtlassianHTTPX2Auth))
        self.loops: dict[str, Callable[..., object]] = {"asyncio": _run_in_asyncio}
        if find_spec("trio"):
            import trio

            self.loops["trio"] = trio.run
        self.http: dict[AtlassianOAuthClient, list[Any]] = {
            client: [*self._http_clients(client, stack)] for client in self.clients
        }

    def _http_clients(self, client: AtlassianOAuthClient, stack: ExitStack) -> Iterator[Any]:
        session = stack.enter_context(requests.Session())
        session.auth = AtlassianAuth(client)
        yield session
        for library, auth in self.httpx_family:
            options = {"timeout": 30, "follow_redirects": True}  # redirects as in requests
            yield stack.enter_context(library.Client(auth=auth(client), **options))

    def begin(self) -> None:
        """A new scene: its counts are 0, no fault is scripted, some time has passed."""
        self._requests = len(self.emulator.requests)
        self._token_requests = len(self.emulator.token_requests)
        self.emulator.faults.clear()
        self.clock.advance(PAUSE)

    def log_in(self, client: AtlassianOAuthClient) -> None:
        """A person opens the URL, agrees, and is redirected to the program."""
        side = self.emulator.cloud if client is self.cloud else self.emulator.data_center
        client.oauth_complete(side.authorize(client.oauth_start()))

    def ask(self, client: AtlassianOAuthClient) -> str:
        """The status of an answer, or why a person has to log in."""
        try:
            return str(self.http[client][0].get(client.base_url + MYSELF).status_code)
        except LoginRequiredError as error:
            return error.reason

    def seen(self, role: str, path: str) -> list[LoggedRequest]:
        """The requests to hosts of this role whose path ends so."""
        recent = self.emulator.requests[self._requests :]
        return [one for one in recent if one.role == role and one.path.endswith(path)]

    def answers(self, library: str = "") -> int:
        """How many requests for the account succeeded; `library` as in its User-Agent."""
        asked = self.seen("api", MYSELF) + self.seen("server", MYSELF)
        known = [one for one in asked if f"{library}/" in one.headers["user-agent"]]
        return sum(one.status == requests.codes.ok for one in known)

    def refreshes(self, outcome: str = "") -> int:
        """How many refresh requests there were, with this outcome."""
        recent = self.emulator.token_requests[self._token_requests :]
        ours = [one for one in recent if one.grant_type == "refresh_token"]
        return sum(outcome in ("", one.outcome) for one in ours)


def _run_in_asyncio(run: Callable[..., Any], *args: object) -> None:
    asyncio.run(run(*args))


def _together(*works: Callable[[], object]) -> None:
    """All at once, each on a thread, started by one barrier."""
    barrier = threading.Barrier(len(works))

    def work(do: Callable[[], object]) -> None:
        barrier.wait(30)
        do()

    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(work, works))  # raises their errors


# --- the scenes: a title, the story, what is measured --------------------------------------------


def _without_the_package(stage: Stage) -> Iterator[Check]:
    """The problem

    The access token has expired. Eight threads notice it, and each refreshes it, as scripts do.
    This scene is without the package; all others are with it.
    """
    side = stage.emulator.data_center
    form = {"grant_type": "refresh_token", "refresh_token": side.issue()["refresh_token"]}
    form |= {"client_id": side.app.client_id, "client_secret": side.app.client_secret}
    url = f"{side.url}/rest/oauth2/latest/token"
    _together(*[lambda: requests.post(url, form, timeout=30)] * 8)
    yield Check("Threads that got a token", stage.refreshes("issued"), 1)
    yield Check("Threads that were refused", stage.refreshes("reuse_after_grace"), 7)


def _log_in(stage: Stage) -> Iterator[Check]:
    """A person logs in

    Once at Jira Cloud, once at Jira Data Center.
    """
    for name, client in (("Cloud", stage.cloud), ("Data Center", stage.server)):
        stage.log_in(client)
        yield Check(f"Account at {name}", client.test_connection().name, "Ada Example")
    urls = [one.target for one in stage.seen("server", "/authorize") if one.method == "GET"]
    yield Check("Logins at Data Center", len(urls), 1)
    yield Check("of these with PKCE", sum("method=S256" in url for url in urls), 1)


def _every_library(stage: Stage) -> Iterator[Check]:
    """One login, every HTTP library

    Each one asks Cloud and Data Center for the account; all it needs is an auth object.
    """

    async def get(library: Any, auth: Any, url: str) -> None:
        async with library.AsyncClient(auth=auth, timeout=30) as http:
            await http.get(url)

    async def get_by_aiohttp(auth: Any, url: str) -> None:
        import aiohttp

        async with aiohttp.ClientSession(middlewares=(auth,)) as http, http.get(url):
            pass

    ways = {"requests": ["sync"]}
    for client in stage.clients:
        url = client.base_url + MYSELF
        for http in stage.http[client]:
            http.get(url)
        for library, auth in stage.httpx_family:
            ways[library.__name__] = ["sync", *stage.loops]
            for run in stage.loops.values():
                run(get, library, auth(client), url)
        if find_spec("aiohttp"):
            from atlassian_auth_adapter import AtlassianAiohttpAuth

            ways["aiohttp"] = ["asyncio"]
            _run_in_asyncio(get_by_aiohttp, AtlassianAiohttpAuth(client), url)
    for name, kinds in ways.items():
        expected = len(kinds) * len(stage.clients)
        yield Check(f"Answers to {name} ({', '.join(kinds)})", stage.answers(name), expected)
    yield Check("Refreshes", stage.refreshes(), 0)


def _many_at_once(stage: Stage) -> Iterator[Check]:
    """Many requests need a new token at once

    The token has expired when threads and tasks start together. The server delays its answer
    until all tasks wait for a token.
    """
    url = stage.cloud.base_url + MYSELF
    stage.clock.advance(HOUR)
    stage.emulator.faults.next("token", hold := Hold())

    async def release() -> None:  # runs when the tasks before it wait
        hold.wait_arrived()
        hold.release()

    async def tasks() -> None:
        # More would be slower: httpcore compares every waiting request with every connection.
        few = httpx.Limits(max_connections=8)
        auth = AtlassianHTTPXAuth(stage.cloud)
        async with httpx.AsyncClient(auth=auth, limits=few, timeout=30) as http:
            await asyncio.gather(*(http.get(url) for _ in range(TASKS)), release())

    both = [partial(http.get, url) for http in stage.http[stage.cloud][:2]]
    _together(*both * (THREADS // 2), partial(_run_in_asyncio, tasks))
    yield Check(f"Answers to {THREADS} threads, {TASKS} tasks", stage.answers(), THREADS + TASKS)
    yield Check("Refreshes", stage.refreshes(), 1)


def _ahead(stage: Stage) -> Iterator[Check]:
    """No request waits

    Five minutes before the token expires, the next one is fetched in the background. A server
    that does not answer delays no request.
    """
    stage.emulator.faults.next("token", hold := Hold())
    stage.clock.advance(HOUR - PAUSE - 300)
    for http in stage.http[stage.cloud]:
        http.get(stage.cloud.base_url + MYSELF)
    hold.wait_arrived()
    yield Check("Refreshes still without an answer", hold.arrived, 1)
    yield Check("Requests answered", stage.answers(), len(stage.http[stage.cloud]))
    hold.release()
    stage.clock.advance(300)
    yield Check("The answer after the hour", stage.ask(stage.cloud), "200")
    yield Check("Refreshes in all", stage.refreshes(), 1)


def _early_end(stage: Stage) -> Iterator[Check]:
    """A token is revoked early

    The server rejects a POST long before the token expires. Each library sends it again, with
    the same body and a new token.
    """
    body = ["all of it"]  # which every library encodes alike
    for http in stage.http[stage.cloud]:
        stage.clock.advance(PAUSE)
        stage.emulator.cloud.revoke_access_tokens()
        http.post(stage.cloud.base_url + ECHO, json=body)
    times, posts = len(stage.http[stage.cloud]), stage.seen("api", ECHO)
    statuses = " ".join(str(one.status) for one in posts)
    yield Check("Answers", statuses, " ".join(["401 200"] * times))
    digest = sha256(json.dumps(body).encode()).hexdigest()
    whole = sum(one.body_sha256 == digest for one in posts)
    yield Check("Bodies that arrived complete", whole, 2 * times)
    yield Check("Refreshes", stage.refreshes(), times)


def _lost_on_cloud(stage: Stage) -> Iterator[Check]:
    """A lost answer, Cloud

    The refresh token is used, then the connection breaks. For ten minutes Cloud accepts the same
    token again.
    """
    stage.clock.advance(HOUR)
    stage.emulator.faults.next("token", CloseAfter())
    yield Check("The program gets", stage.ask(stage.cloud), "200")
    yield Check("Refreshes with a lost answer", stage.refreshes("issued"), 1)
    yield Check("Refreshes sent again", stage.refreshes("replayed_in_grace"), 1)
    yield Check("Grants lost", len(stage.emulator.revoked_families), 0)


def _lost_on_data_center(stage: Stage) -> Iterator[Check]:
    """A lost answer, Data Center

    There the new token is lost. The program gets an error that says so, the server gets no
    further requests, and what is stored stays.
    """
    stage.clock.advance(HOUR)
    stage.emulator.faults.next("token", CloseAfter())
    yield from _end_of_login(stage, stage.server, "answer_lost", refreshes=2)


def _revoked(stage: Stage) -> Iterator[Check]:
    """The person revokes the grant

    Only a new login helps. The program gets an error that says so, and the server gets no further
    requests.
    """
    stage.emulator.cloud.revoke_grants()
    yield from _end_of_login(stage, stage.cloud, "refused", refreshes=1)


def _end_of_login(
    stage: Stage, client: AtlassianOAuthClient, reason: str, refreshes: int
) -> Iterator[Check]:
    before = client.status()
    told = {stage.ask(client) for _ in range(10)}
    yield Check("Ten requests get LoginRequiredError", ", ".join(sorted(told)), reason)
    yield Check("Refreshes for all ten", stage.refreshes(), refreshes)
    after = client.status()
    kept = (after.scopes, after.expires_at) == (before.scopes, before.expires_at)
    yield Check("What is stored", "unchanged" if kept else "changed", "unchanged")
    stage.log_in(client)
    yield Check("The answer after a new login", stage.ask(client), "200")


def _elsewhere(stage: Stage) -> Iterator[Check]:
    """Foreign servers

    Each library sends requests there, directly and by a redirect of Jira, and to a foreign site
    at the same gateway.
    """
    foreign, sent = stage.emulator.foreign_url, 0
    for client in stage.clients:
        for http in stage.http[client]:
            http.get(f"{foreign}/direct")
            http.get(f"{client.base_url}/rest/redirect?to={foreign}/redirected")
            http.get(f"{stage.emulator.cloud.api_url}/ex/jira/foreign-site")
            sent += 1
    for text, role, path in (
        ("Direct requests that arrived", "foreign", "/direct"),
        ("Redirected requests that arrived", "foreign", "/redirected"),
        ("Requests for the foreign site", "api", "/foreign-site"),
    ):
        seen = stage.seen(role, path)
        yield Check(text, len(seen), sent)
        yield Check("of these with a token", sum("authorization" in one.headers for one in seen), 0)


def _leaks(stage: Stage) -> Iterator[Check]:
    """Leaks

    Foreign requests and the log are searched for every code, token and client secret.
    """
    secrets = stage.emulator.secrets
    foreign = [one for one in stage.emulator.requests if one.role == "foreign"]
    texts = [unquote(f"{one.target} {[*one.headers.values()]} {one.body!r}") for one in foreign]
    logged = stage.log.getvalue().splitlines()
    for where, lines in (("foreign requests", texts), ("lines of log", logged)):
        found = sum(secret in line for secret in secrets for line in lines)
        yield Check(f"{len(secrets)} secrets, found in {len(lines)} {where}", found, 0)


Scene = Callable[[Stage], Iterator[Check]]
SCENES: tuple[Scene, ...] = (
    _without_the_package,
    _log_in,
    _every_library,
    _many_at_once,
    _ahead,
    _early_end,
    _lost_on_cloud,
    _lost_on_data_center,
    _revoked,
    _elsewhere,
    _leaks,
)


# --- output ---------------------------------------------------------------------------------------


def _play(scene: Scene, stage: Stage) -> Iterator[Check]:
    stage.begin()
    try:
        yield from scene(stage)
    except Exception as error:  # noqa: BLE001 - a scene that fails is a result; others follow
        yield Check("The scene ended with", f"{type(error).__name__}: {error}", "its end")


class _Output:
    """Prints WIDTH columns wide, in colour for terminals, with ticks that stdout can encode."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._ticks = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}"}
        try:
            "".join(self._ticks.values()).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            self._ticks = {True: "ok", False: "NO"}

    def text(self, text: str, colour: int = 0, mark: str = "") -> None:
        """A paragraph. With a mark in front, only the mark is coloured."""
        if self._silent:
            return
        first = f"  {mark} " if mark else ""
        text = " ".join(text.split())
        text = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
        if colour and self._in_colour:
            text = text.replace(mark or text, f"\x1b[{colour}m{mark or text}\x1b[0m", 1)
        print(text, flush=True)

    def tick(self, held: bool, text: str) -> None:
        """A line after a tick or a cross."""
        self.text(text, 32 if held else 31, self._ticks[held])


def main(*, as_json: bool = False) -> int:
    """Print the demonstration, or its figures as JSON; 0 if every figure was right, else 1."""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"  # everything is on this machine
    began, output = time.monotonic(), _Output(silent=as_json)
    for paragraph in INTRODUCTION.split("\n\n"):
        output.text(paragraph)
        output.text("")
    if missing := [name for name in ("aiohttp", "httpx2", "trio") if not find_spec(name)]:
        output.text(f"Not installed, therefore left out: {', '.join(missing)}.")
        output.text("")
    played = [*_all_scenes(output)]
    wrong = [(title, check) for title, check in played if not check.held]
    right, seconds = len(played) - len(wrong), time.monotonic() - began
    summary = f"{right} of {len(played)} figures are right ({seconds:.1f} s)."
    output.text(summary, 31 if wrong else 32)
    for title, check in wrong:
        output.tick(False, f"{title}: {check}")
    if as_json:
        figures = [
            {"scene": title, "figure": check.text, "found": str(check.found), "right": check.held}
            for title, check in played
        ]
        print(json.dumps({"figures": figures, "wrong": len(wrong)}, indent=2))
    return 1 if wrong else 0


def _all_scenes(output: _Output) -> Iterator[tuple[str, Check]]:
    """Each figure, after the title of its scene."""
    with ExitStack() as stack:
        stage = Stage(stack)
        for number, scene in enumerate(SCENES, 1):
            name, _, story = (getdoc(scene) or scene.__name__).partition("\n\n")
            title = f"{number}. {name}"
            output.text(title, colour=1)
            output.text(story)
            for check in _play(scene, stage):
                output.tick(check.held, str(check))
                yield title, check
            output.text("")


if __name__ == "__main__":
    raise SystemExit(main())
