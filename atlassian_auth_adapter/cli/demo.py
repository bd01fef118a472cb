"""The demonstration: what the package is for, shown against a local Atlassian, offline.

    python -m atlassian_auth_adapter.cli.demo

Every scene makes real requests and returns checks; what is printed and ticked is what the emulator
counted. Time is a FakeClock, so a token's hour passes at once. The exit status is 0 only if every
figure is the expected one.
"""

from __future__ import annotations

import asyncio
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
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import httpx
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AtlassianOAuthClient,
    CloudEnvironment,
    LoginRequiredError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, Hold, LoggedRequest

__all__ = ["SCENES", "Check", "Story", "main"]

WIDTH = 60  # columns of the narrowest terminal that we write for
THREADS, TASKS = 64, 500
HOUR = 3600.0  # seconds; the lifetime of an access token
COOL_DOWN = 60.0  # seconds; longer than a token brought by a rejection is spared another refresh
MYSELF, ECHO = "/rest/api/2/myself", "/rest/echo"
INTRODUCTION = """\
Programs that use Jira or Confluence carry an access token that ends every hour. A refresh token
brings the next one, and each refresh token works once. Who spends it twice, or loses the answer,
is logged out, and a person has to log in again.

This is a local Atlassian and the real package. The figures are counted at the servers' end.
"""


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that was measured, beside the one that it should be."""

    text: str
    found: object
    expected: object

    @property
    def held(self) -> bool:
        """Whether it is as it should be."""
        return self.found == self.expected

    def __str__(self) -> str:
        return f"{self.text}: {self.found}" + ("" if self.held else f" (not {self.expected})")


@dataclass(frozen=True, slots=True)
class Story:
    """What a scene is about, in plain words, and the scene."""

    title: str
    text: str
    play: Callable[[Stage], Iterator[Check]]


@dataclass
class Stage:
    """The servers, the time, what the package logs, and a client of Cloud and of Data Center.

    `seen`, `answered` and `refreshes` count since the last `curtain`.
    """

    emulator: AtlassianEmulator
    clock: FakeClock
    log_lines: list[str]
    cloud: AtlassianOAuthClient = field(init=False)
    server: AtlassianOAuthClient = field(init=False)
    _start: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        cloud, server = self.emulator.cloud, self.emulator.data_center
        hosts = CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
        self.cloud = self._client(cloud.app, site_url=cloud.sites[0].url, cloud=hosts)
        self.server = self._client(server.app, server_url=server.url)

    def _client(self, app: Any, **where: Any) -> AtlassianOAuthClient:
        registered = (app.client_id, app.client_secret, app.callback_url)
        return create_atlassian_oauth_client(*registered, clock=self.clock, **where)

    def log_in(self, client: AtlassianOAuthClient) -> None:
        """A person opens the URL, agrees, and is sent back to us."""
        side = self.emulator.cloud if client is self.cloud else self.emulator.data_center
        client.oauth_complete(side.authorize(client.oauth_start()))

    def curtain(self) -> None:
        """A new scene: counting starts at 0, the weather is fine, some time has passed."""
        self._start = len(self.emulator.requests), len(self.emulator.token_requests)
        self.emulator.weather.clear()
        self.clock.advance(COOL_DOWN)

    def seen(self, role: str, path: str = "") -> list[LoggedRequest]:
        """What a host was asked in this scene, where the path ends so."""
        recent = self.emulator.requests[self._start[0] :]
        return [one for one in recent if one.role == role and one.path.endswith(path)]

    def answered(self, role: str, path: str, library: str = "") -> int:
        """How many of these were answered with 200; `library` as the User-Agent has it."""
        return sum(
            one.status == requests.codes.ok and f"{library}/" in one.headers["user-agent"]
            for one in self.seen(role, path)
        )

    def refreshes(self, outcome: str = "") -> int:
        """How many refresh tokens arrived in this scene, and were met with this outcome."""
        recent = self.emulator.token_requests[self._start[1] :]
        return sum(
            one.grant_type == "refresh_token" and one.outcome.startswith(outcome) for one in recent
        )


# --- HTTP libraries ---------------------------------------------------------------------------------


def _httpx_family() -> dict[ModuleType, Any]:
    """httpx, and httpx2 when it is installed, each with its auth class."""
    family: dict[ModuleType, Any] = {httpx: AtlassianHTTPXAuth}
    if find_spec("httpx2"):
        from atlassian_auth_adapter.adapters.httpx2 import AtlassianHTTPX2Auth, httpx2

        family[httpx2] = AtlassianHTTPX2Auth
    return family


def _loops() -> dict[str, Callable[..., object]]:
    """What runs an async function: asyncio, and trio when it is installed."""
    loops: dict[str, Callable[..., object]] = {
        "asyncio": lambda run, *args: asyncio.run(run(*args))
    }
    if find_spec("trio"):
        import trio

        loops["trio"] = trio.run
    return loops


def _sync_clients(stack: ExitStack, source: AtlassianOAuthClient) -> list[Any]:
    """A client of every library; each follows redirects."""
    session = stack.enter_context(requests.Session())
    session.auth = AtlassianAuth(source)
    return [session] + [
        stack.enter_context(library.Client(auth=auth(source), timeout=30, follow_redirects=True))
        for library, auth in _httpx_family().items()
    ]


def _together(*works: Callable[[], object]) -> None:
    """All at once, each on a thread, released by one barrier."""
    barrier = threading.Barrier(len(works))
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(lambda w=work: (barrier.wait(30), w())) for work in works]:
            future.result()


def _ask(client: AtlassianOAuthClient) -> str:
    """The status of an answer, or the reason why a person has to log in."""
    try:
        url = client.base_url + MYSELF
        return str(requests.get(url, auth=AtlassianAuth(client), timeout=30).status_code)
    except LoginRequiredError as error:
        return error.reason


# --- the scenes -------------------------------------------------------------------------------------


def _without_us(stage: Stage) -> Iterator[Check]:
    side = stage.emulator.data_center
    form = {
        "grant_type": "refresh_token",
        "refresh_token": side.issue()["refresh_token"],
        "client_id": side.app.client_id,
        "client_secret": side.app.client_secret,
    }
    url = f"{side.url}/rest/oauth2/latest/token"
    _together(*[lambda: requests.post(url, form, timeout=30)] * 8)
    yield Check("Threads that got a token", stage.refreshes("issued"), 1)
    yield Check("Threads that were turned away", stage.refreshes("refused"), 7)


def _log_in(stage: Stage) -> Iterator[Check]:
    stage.log_in(stage.cloud)
    yield Check("Cloud knows us as", stage.cloud.test_connection().name, "Ada Example")
    stage.log_in(stage.server)
    yield Check("Data Center knows us as", stage.server.test_connection().name, "Ada Example")
    urls = [one.target for one in stage.seen("server", "/authorize") if one.method == "GET"]
    yield Check("Logins there", len(urls), 1)
    yield Check("of these with PKCE", sum("method=S256" in url for url in urls), 1)


def _every_library(stage: Stage) -> Iterator[Check]:
    async def get(library: Any, auth: Any, url: str) -> None:
        async with library.AsyncClient(auth=auth, timeout=30) as client:
            await client.get(url)

    family, loops = _httpx_family(), _loops()
    for source in (stage.cloud, stage.server):
        url = source.base_url + MYSELF
        with ExitStack() as stack:
            for client in _sync_clients(stack, source):
                client.get(url)
        for library, auth in family.items():
            for run in loops.values():
                run(get, library, auth(source), url)
    for name, ways in {"requests": ["sync"]} | {
        library.__name__: ["sync", *loops] for library in family
    }.items():
        answers = sum(stage.answered(role, MYSELF, name) for role in ("api", "server"))
        yield Check(f"Answers to {name} ({', '.join(ways)})", answers, 2 * len(ways))
    yield Check("Refreshes", stage.refreshes(), 0)


def _crowd(stage: Stage) -> Iterator[Check]:
    url = stage.cloud.base_url + MYSELF
    stage.clock.advance(HOUR)
    stage.emulator.weather.next("token", hold := Hold())

    async def tasks() -> None:
        async def let_go() -> None:  # its turn comes when the tasks before it wait for the token
            hold.wait_arrived()
            hold.release()

        limits = httpx.Limits(max_connections=50)
        auth = AtlassianHTTPXAuth(stage.cloud)
        async with httpx.AsyncClient(auth=auth, limits=limits, timeout=30) as client:
            await asyncio.gather(*(client.get(url) for _ in range(TASKS)), let_go())

    with ExitStack() as stack:
        clients = _sync_clients(stack, stage.cloud)[:2]
        gets = [partial(client.get, url) for client in clients] * (THREADS // 2)
        _together(*gets, lambda: asyncio.run(tasks()))
    yield Check("Requests answered", stage.answered("api", MYSELF), THREADS + TASKS)
    yield Check("Refreshes", stage.refreshes(), 1)


def _ahead(stage: Stage) -> Iterator[Check]:
    stage.emulator.weather.next("token", hold := Hold())
    stage.clock.advance(HOUR - COOL_DOWN - 300)
    with ExitStack() as stack:
        clients = _sync_clients(stack, stage.cloud)
        for client in clients:
            client.get(stage.cloud.base_url + MYSELF)
    hold.wait_arrived()
    yield Check("Refreshes still without an answer", hold.arrived, 1)
    yield Check("Requests answered", stage.answered("api", MYSELF), len(clients))
    hold.release()
    stage.clock.advance(300)
    yield Check("Answer after the hour", _ask(stage.cloud), "200")
    yield Check("Refreshes in all", stage.refreshes(), 1)


def _early_end(stage: Stage) -> Iterator[Check]:
    body = ["every byte of it"]  # which all libraries spell alike
    with ExitStack() as stack:
        clients = _sync_clients(stack, stage.cloud)
        for client in clients:
            stage.clock.advance(COOL_DOWN)
            stage.emulator.cloud.revoke_access_tokens()
            client.post(stage.cloud.base_url + ECHO, json=body)
    echoes, digest = stage.seen("api", ECHO), sha256(json.dumps(body).encode()).hexdigest()
    statuses = " ".join(str(one.status) for one in echoes)
    yield Check("Answers, one after another", statuses, " ".join(["401 200"] * len(clients)))
    whole = sum(one.body_sha256 == digest for one in echoes)
    yield Check("Bodies that arrived whole", whole, 2 * len(clients))
    yield Check("Refreshes", stage.refreshes(), len(clients))


def _lost_on_cloud(stage: Stage) -> Iterator[Check]:
    stage.clock.advance(HOUR)
    stage.emulator.weather.next("token", CloseAfter())
    yield Check("The program sees", _ask(stage.cloud), "200")
    yield Check("Refreshes whose answer was lost", stage.refreshes("issued"), 1)
    yield Check("Refreshes sent again in time", stage.refreshes("replayed_in_grace"), 1)
    yield Check("Logins lost", len(stage.emulator.revoked_families), 0)


def _lost_on_data_center(stage: Stage) -> Iterator[Check]:
    stage.clock.advance(HOUR)
    stage.emulator.weather.next("token", CloseAfter())
    yield from _end_of_login(stage, stage.server, "answer_lost", attempts=2)


def _revoked(stage: Stage) -> Iterator[Check]:
    stage.emulator.cloud.revoke_grants()
    yield from _end_of_login(stage, stage.cloud, "refused", attempts=1)


def _end_of_login(
    stage: Stage, client: AtlassianOAuthClient, reason: str, attempts: int
) -> Iterator[Check]:
    before = client.status().generation
    told = [_ask(client) for _ in range(10)]
    yield Check("Ten requests are told", ", ".join(sorted(set(told))), reason)
    yield Check("Refreshes sent for all ten", stage.refreshes(), attempts)
    yield Check("Token sets deleted", before - client.status().generation, 0)
    stage.log_in(client)
    yield Check("After a new login, the answer", _ask(client), "200")


def _elsewhere(stage: Stage) -> Iterator[Check]:
    foreign, sent = stage.emulator.foreign_url, 0
    neighbour = f"{stage.emulator.cloud.api_url}/ex/jira/somebody-else/rest"
    for source in (stage.cloud, stage.server):
        with ExitStack() as stack:
            for client in _sync_clients(stack, source):
                client.get(f"{foreign}/direct")
                client.get(f"{source.base_url}/rest/redirect?to={foreign}/redirected")
                client.get(neighbour)
                sent += 1
    for text, seen in (
        ("Direct requests that arrived", stage.seen("foreign", "/direct")),
        ("Redirected requests that arrived", stage.seen("foreign", "/redirected")),
        ("Requests to a neighbour's site", stage.seen("api", "/somebody-else/rest")),
    ):
        yield Check(text, len(seen), sent)
        yield Check("of these with a token", sum("authorization" in one.headers for one in seen), 0)


def _leaks(stage: Stage) -> Iterator[Check]:
    secrets = stage.emulator.secrets
    arrived = [one for one in stage.emulator.requests if one.role == "foreign"]
    texts = [unquote(f"{one.target} {[*one.headers.values()]} {one.body!r}") for one in arrived]
    for where, lines in (("requests to the foreign host", texts), ("log lines", stage.log_lines)):
        found = sum(secret in line for secret in secrets for line in lines)
        yield Check(f"{len(secrets)} secrets sought in {len(lines)} {where}, found", found, 0)


SCENES = (
    Story(
        "The problem",
        "The token has ended. Eight threads notice, and each refreshes by itself, as scripts do. "
        "The refresh token works once. From here on it is with us.",
        _without_us,
    ),
    Story("A person logs in", "Once on Jira Cloud, once on Jira Data Center.", _log_in),
    Story(
        "One login, every HTTP library",
        "Each asks Cloud and Data Center who we are: auth=..., and nothing else to do.",
        _every_library,
    ),
    Story(
        "The token ends under a crowd",
        f"{THREADS} threads and {TASKS} tasks start at once, an hour later. The token endpoint "
        "does not answer before the tasks all wait.",
        _crowd,
    ),
    Story(
        "Nobody waits",
        "Five minutes before the end the next token is fetched beside the traffic. Even a token "
        "endpoint that hangs holds nobody up.",
        _ahead,
    ),
    Story(
        "A token ends early",
        "The server rejects a POST in the middle of the hour. It is sent again with a new token, "
        "once with each library.",
        _early_end,
    ),
    Story(
        "A lost answer, Cloud",
        "The refresh token is spent, then the connection breaks. For ten minutes Cloud gives the "
        "answer to the same token again.",
        _lost_on_cloud,
    ),
    Story(
        "A lost answer, Data Center",
        "There nothing gives it again. The program is told the truth, the server is left in "
        "peace, and what is stored stays.",
        _lost_on_data_center,
    ),
    Story("The person takes the grant back", "Only a person can change that.", _revoked),
    Story(
        "Other people's servers",
        "A direct request, a redirect by Jira, and somebody else's site at the same gateway, with "
        "each library.",
        _elsewhere,
    ),
    Story("Leaks", "Every code, token and client secret of this demonstration.", _leaks),
)


# --- on paper ---------------------------------------------------------------------------------------


class _Paper:
    """Prints within WIDTH columns; colours for a terminal only, ticks if it can show them."""

    def __init__(self) -> None:
        self.colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.ticks = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}"}
        try:
            "".join(self.ticks.values()).encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            self.ticks = {True: "ok", False: "NO"}

    def text(self, text: str, mark: str = "", colour: int = 0) -> None:
        """A paragraph; the mark at its start, or all of it without one, in colour."""
        indent = " " * (len(mark) + 3) if mark else ""
        first = f"  {mark} " if mark else ""
        filled = textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=indent)
        if colour and self.colours:
            coloured = mark or filled
            filled = filled.replace(coloured, f"\x1b[{colour}m{coloured}\x1b[0m", 1)
        print(filled, flush=True)

    def check(self, check: Check) -> None:
        """The check with its tick, green or red."""
        self.text(str(check), self.ticks[check.held], 32 if check.held else 31)


class _Lines(logging.Handler):
    """Keeps what the package logs, for the leak check; it would disturb the output."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _played(story: Story, stage: Stage) -> Iterator[Check]:
    stage.curtain()
    try:
        yield from story.play(stage)
    except Exception as error:  # noqa: BLE001 - a scene that breaks is a result, and others follow
        yield Check("The scene broke", f"{type(error).__name__}: {error}", "at all")


def main() -> int:
    """Everything is shown; the exit status: 0 if every figure is as expected, else 1."""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*"  # all of it is on this machine
    paper, log, began = _Paper(), _Lines(), time.monotonic()
    logger = logging.getLogger("atlassian_auth_adapter")
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    for paragraph in INTRODUCTION.split("\n\n"):
        paper.text(paragraph + "\n")
    for name in ("httpx2", "trio"):
        if not find_spec(name):
            paper.text(f"{name} is not installed: its requests are left out.")
    clock, failed, count = FakeClock(), [], 0
    with AtlassianEmulator(clock) as emulator:
        stage = Stage(emulator, clock, log.lines)
        for number, story in enumerate(SCENES, 1):
            print()
            paper.text(f"{number}. {story.title}", colour=1)
            paper.text(story.text)
            for check in _played(story, stage):
                count += 1
                paper.check(check)
                if not check.held:
                    failed.append(f"{number}. {story.title}: {check}")
    logger.removeHandler(log)
    print()
    paper.text(
        f"{count - len(failed)} of {count} figures are as they should be "
        f"({time.monotonic() - began:.1f} s).",
        colour=31 if failed else 32,
    )
    for line in failed:
        paper.text(line, paper.ticks[False], 31)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
