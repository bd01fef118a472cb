"""Killed at any step of a refresh: what the next process finds. Writes docs/crash-matrix.md."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import AtlassianAuth, LoginRequiredError, records
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    begin_child,
    forking,
    in_forked_child,
)
from atlassian_auth_adapter.testing.emulator import Hold
from atlassian_auth_adapter.testing.state import forget_process_state

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

MYSELF = {"cloud": "/rest/api/3/myself", "data_center": "/rest/api/2/myself"}

#: The failpoints of the first save of a flight, the journal's, and of the second, the token set's:
#: when it is called, before it counts, when it counts, when it has returned.
SAVES = (
    (
        "",
        "in the middle of the journal",
        "in the middle of the journal, done",
        "after the journal",
    ),
    (
        "after the answer was read",
        "in the middle of the save",
        "in the middle of the save, done",
        "after the save",
    ),
)
#: These two are up to the server.
SENT, ROTATED = "after the POST was sent", "after the server rotated"


def die() -> None:
    """What kill -9 does: no handler, no `finally`, no `atexit`."""
    os.kill(os.getpid(), signal.SIGKILL)


class MortalStore:
    """A store whose process dies at one step of its flight."""

    def __init__(self, place: Any, step: str) -> None:
        self._place, self._step = place, step
        self._store: TokenStore = place.store()
        self._saves = iter(SAVES)

    def reach(self, step: str) -> None:
        if step == self._step:
            die()

    def load(self, name: str) -> Entry | None:
        return self._store.load(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        called, before, done, after = next(self._saves)
        self.reach(called)
        if self._step in (before, done):
            self._place.set_trap(die, done=self._step == done)
        self._store.save(name, text, expected=expected)
        self.reach(after)

    def delete(self, name: str) -> None:
        self._store.delete(name)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        self.reach("before the lock")
        with self._store.lock(name, timeout=timeout):
            self.reach("after the lock")
            yield
            self.reach("before release")


@dataclass(frozen=True)
class Found:
    """What a process gets for a request.

    Attributes:
        answer: The status, or the reason of a LoginRequiredError.
        sent: What the server did to the token requests of the process.
        text: The error's.
    """

    answer: str
    sent: tuple[str, ...] = ()
    text: str = ""


class World:
    """A login that has expired, and the processes that share it.

    The process that forks them uses no store itself: a thread of its own might just be in a library
    whose locks no fork renews, such as SQLite's.
    """

    def __init__(
        self, server: str, place: Any, emulator: AtlassianEmulator, clock: FakeClock, make: Any
    ) -> None:
        self.server, self.place, self.emulator, self.clock = server, place, emulator, clock
        self._make, self._account = make, uuid.uuid4().hex
        if server == "cloud":
            emulator.cloud.siblings_stay_valid = False  # it is documented nowhere that they do
        self.log_in()
        clock.advance(3600)

    def _client(self, store: Any) -> Any:
        # A clock of its own: another thread may hold the test's lock at the moment of a fork.
        return self._make(
            self.server,
            store=store,
            login=False,
            account=self._account,
            clock=FakeClock(self.clock.time()),
        )

    def log_in(self) -> None:
        """A person does, in a process of its own."""

        def work() -> None:
            self._begin()
            client = self._client(self.place.store())
            side = getattr(self.emulator, self.server)
            client.oauth_complete(side.authorize(client.oauth_start()))

        in_forked_child(work)

    def victim(self, step: str) -> int:
        """The id of a process that makes a request and dies at that step, or when it is killed."""
        with forking():
            process = os.fork()
        if process:
            return process
        begin_child()
        try:
            self._begin()
            answer = self._get(self._client(MortalStore(self.place, step)))
            print("it has got", answer, file=sys.stderr, flush=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def left(self, *, after_the_lease: bool) -> tuple[int, bool]:
        """The generation in the store, and whether the journal has an entry; if wished, when no
        process holds the lock any more.
        """

        def work() -> tuple[int, bool]:
            self._begin()
            store = self.place.store()
            key = self._client(store).token_key
            with store.lock(key.name, timeout=PATIENCE) if after_the_lease else nullcontext():
                login, _ = records.load(store, key, Login)
                return login.generation, login.journal is not None

        return in_forked_child(work)

    def request(self) -> Found:
        """What another process gets for a request."""
        before = len(self.emulator.token_requests)

        def work() -> tuple[str, str]:
            self._begin()
            return self._get(self._client(self.place.store()))

        answer, text = in_forked_child(work)
        sent = self.emulator.token_requests[before:]
        return Found(answer, tuple(request.outcome for request in sent), text)

    def _get(self, client: Any) -> tuple[str, str]:
        with requests.Session() as session:
            session.auth = AtlassianAuth(client)
            try:
                answer = session.get(client.base_url + MYSELF[self.server])
            except LoginRequiredError as error:
                return error.reason, str(error)
            return str(answer.status_code), ""

    def _begin(self) -> None:
        """A process begins: it knows of no login, and ends if it hangs."""
        forget_process_state()
        signal.alarm(round(PATIENCE))


@pytest.fixture
def world(
    server: str, column: Any, emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> World:
    """A login that has expired, on this server and in this store."""
    return World(server, column.place, emulator, clock, make_client)


@pytest.fixture
def kill(world: World, emulator: AtlassianEmulator) -> Callable[[str], None]:
    """Has a process refresh and die at a step; returns when it is dead, and the server done."""

    def kill(step: str) -> None:
        hold = Hold(after=step == ROTATED)
        if step in (SENT, ROTATED):
            emulator.faults.next("token", hold)
        victim = world.victim(step)
        if step in (SENT, ROTATED):
            hold.wait_arrived()
            os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(victim, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it did not die at its step"
        if step in (SENT, ROTATED):
            hold.release()
            deadline = time.monotonic() + PATIENCE
            while not emulator.count("refresh_token"):
                assert time.monotonic() < deadline

    return kill


def test_a_killed_refresh(
    server: str,
    step: str,
    phase: Any,
    column: Any,
    world: World,
    kill: Callable[[str], None],
    emulator: AtlassianEmulator,
    clock: FakeClock,
    outcomes: Mapping[Any, str],
    observe: Callable[..., None],
) -> None:
    """A process is killed at a step, and the next one goes on with the login; or, where a server
    without grace had rotated and the answer was not saved, says that it was lost and what to do.
    """
    kill(step)
    assert emulator.count("refresh_token") == phase.requests
    left = world.left(after_the_lease=column.after_the_lease)
    assert left == (phase.generation, phase.journal)
    found = world.request()
    outcome = outcomes.get((found.answer, found.sent))
    assert outcome == getattr(phase, server), found
    if found.answer == "answer_lost":
        assert "the answer was lost" in found.text
        assert "accepts each refresh token once" in found.text
        assert "oauth_start()" in found.text
        assert world.request() == replace(found, sent=())  # known now, without a token request
        world.log_in()
    observe(server, step, column, outcome)
    # The login is alive: yet another process can renew it.
    clock.advance(3600)
    assert world.request() == Found("200", ("issued",))
    if server == "cloud":
        assert emulator.count(outcome="reuse_after_grace") == 0
        assert not emulator.revoked_families


@pytest.mark.parametrize("server", ["cloud"], indirect=True)
@pytest.mark.parametrize("column", [("FileTokenStore", False)], indirect=True)
def test_the_grace_has_an_end(
    world: World, kill: Callable[[str], None], clock: FakeClock, column: Any, server: str
) -> None:
    """No request comes within Cloud's ten minutes: a person has to log in, and can."""
    kill(ROTATED)
    clock.advance(600)
    found = world.request()
    assert found.answer == "answer_lost"
    assert "after 10 minutes" in found.text
    assert found.sent == ("reuse_after_grace",)
    world.log_in()
    assert world.request() == Found("200")


def test_the_document_is_what_its_test_writes(
    documented: dict[tuple[str, str, str], str], render: Callable[..., str], request: Any
) -> None:
    """docs/crash-matrix.md has each cell, and nothing that was written by hand."""
    if request.config.getoption("write_crash_matrix", False):
        pytest.skip("it is being written")
    path = request.config.rootpath / "docs" / "crash-matrix.md"
    assert path.read_text(encoding="utf-8") == render(documented)
