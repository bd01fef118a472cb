"""Several processes that a test plays in one: their time, the store they share, what each knows."""

from __future__ import annotations

import math
import os
import pickle
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    FileTokenStore,
    TokenStoreError,
    records,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.login import SharedLogin
from atlassian_auth_adapter.refresh.steps import Unsaved
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import FakeClock
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, forking
from atlassian_auth_adapter.testing.state import is_saving_later, shared_login

# --- time -----------------------------------------------------------------------------------------


class Time(FakeClock):
    """True time, which the server has. What saves later naps until the time is advanced; every
    other sleep makes time pass.
    """

    def __init__(self) -> None:
        super().__init__(1_800_000_000.0)
        self._changed_naps = threading.Condition()
        self._naps: dict[int, tuple[float, Clock]] = {}

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.wake(lambda until, _: until <= self.monotonic())

    def nap(self, seconds: float, sleeper: Clock) -> None:
        me = threading.get_ident()
        with self._changed_naps:
            self._naps[me] = self.monotonic() + seconds, sleeper
            self._changed_naps.wait_for(lambda: me not in self._naps)
        if sleeper.is_dead:
            raise SystemExit  # ends the thread and nothing else

    def wake(self, whom: Callable[[float, Clock], bool]) -> None:
        with self._changed_naps:
            self._naps = {
                thread: nap for thread, nap in self._naps.items() if not whom(nap[0], nap[1])
            }
            self._changed_naps.notify_all()

    def forget_sleepers(self) -> None:
        """A forked child has none of the threads of its parent."""
        self._naps.clear()

    def settle(self) -> None:
        """Wait until each flight has ended, or naps."""
        for thread in threading.enumerate():
            if thread.name == "atlassian-auth-flight":
                deadline = time.monotonic() + PATIENCE
                while thread.is_alive() and thread.ident not in self._naps:
                    thread.join(0.002)
                    assert time.monotonic() < deadline, "a flight does not end"


class Clock:
    """The clocks of one process; its wall clock may be wrong."""

    def __init__(self, true: Time) -> None:
        self._true, self.ahead, self.is_dead = true, 0.0, False
        self.monotonic = true.monotonic

    def time(self) -> float:
        return self._true.time() + self.ahead

    def sleep(self, seconds: float) -> None:
        if is_saving_later():
            self._true.nap(seconds, self)
        else:
            self._true.sleep(seconds)


# --- the store and the processes ------------------------------------------------------------------


@dataclass
class StoreFault:
    """What the store does not do, `left` times; for one process only, if it has that number."""

    steps: frozenset[str]
    error: type[TokenStoreError]
    left: float
    is_done_all_the_same: bool = False  # the work, of which only the acknowledgement is lost
    number: int | None = None

    def fail_if_due(self, step: str, number: int) -> None:
        if step in self.steps and self.left > 0 and self.number in (None, number):
            self.left -= 1
            raise self.error("broken by the test")


@dataclass(eq=False)
class Disk:
    """Where all processes keep the login."""

    path: Path
    fault: StoreFault | None = None

    @property
    def is_broken(self) -> bool:
        return self.fault is not None and self.fault.left > 0

    @property
    def refuses_all(self) -> bool:
        """Whether it will fail, until it recovers, before anything may be spent."""
        fault = self.fault
        return (
            fault is not None
            and (fault.left, fault.number) == (math.inf, None)
            and not fault.steps.isdisjoint({"load", "lock", "journal"})
        )

    def saved(self) -> list[str]:
        """Every refresh token that was ever saved, also by processes that are dead."""
        notes = self.path / "saved"
        return notes.read_text().split() if notes.exists() else []

    def note(self, login: Login) -> None:
        if login.token_set is not None and login.token_set.refresh_token not in self.saved():
            with (self.path / "saved").open("a") as notes:
                notes.write(f"{login.token_set.refresh_token}\n")


class Store:
    """A FileTokenStore that may fail."""

    def __init__(self, process: Process) -> None:
        self.process, self.disk = process, process.disk
        self.inner = FileTokenStore(self.disk.path / "tokens")
        self.delete = self.inner.delete

    def fail_if_due(self, step: str) -> None:
        if self.disk.fault:
            self.disk.fault.fail_if_due(step, self.process.number)

    def load(self, name: str) -> Entry | None:
        self.fail_if_due("load")
        return self.inner.load(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        key = self.process.client.token_key
        login = records.read(text, key, Login, "test") if name == key.name else None
        step = self.kind_of(login)
        self.process.reach(f"before {step}")
        fault = self.disk.fault
        if fault is None or not fault.is_done_all_the_same:
            self.fail_if_due(step)
        self.inner.save(name, text, expected=expected)
        if login:
            self.disk.note(login)
        self.process.reach(f"after {step}")
        self.fail_if_due(step)

    def kind_of(self, login: Login | None) -> str:
        if login is None:
            return "authorization"
        if login.journal or login.takeover:
            return "journal"
        if login.token_set and login.token_set.refresh_token not in self.disk.saved():
            return "rotated"
        return "note"

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        self.fail_if_due("lock")
        with self.inner.lock(name, timeout=timeout):
            yield
        self.fail_if_due("release")


@dataclass(eq=False)
class Process:
    """Clients that share a memory. `death` names the moment at which a forked one is killed."""

    number: int
    disk: Disk
    clock: Clock
    make: Callable[[Process], AtlassianOAuthClient]
    death: str = ""
    clients: list[AtlassianOAuthClient] = field(default_factory=list)
    #: What was seen of its memory: a client that has found another login leaves what it could not
    #: save with a thread.
    seen: set[SharedLogin] = field(default_factory=set)

    def reach(self, moment: str) -> None:
        if moment == self.death:
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def client(self) -> AtlassianOAuthClient:
        if not self.clients:
            self.clients.append(self.make(self))
        return self.clients[-1]

    def memory(self) -> list[SharedLogin]:
        """What its clients know, the one that acts first, and what is left to be saved."""
        now = [shared_login(client) for client in [self.client, *self.clients]]
        self.seen = {*now, *(shared for shared in self.seen if shared.unsaved)}
        return sorted(self.seen, key=lambda shared: shared is not now[0])

    def unsaved(self) -> list[Unsaved]:
        return [shared.unsaved for shared in self.memory() if shared.unsaved]

    def known(self) -> list[tuple[str, str]]:
        """The refresh tokens in its memory, each after the name of its login."""
        logins = [unsaved.login for unsaved in self.unsaved()]
        logins += [shared.snapshot.login for shared in self.memory() if shared.snapshot]
        return [
            (login.login_id, login.token_set.refresh_token) for login in logins if login.token_set
        ]


def forked(work: Callable[[], Any]) -> tuple[int, int]:
    """A child that does the work and is gone, and the pipe with what it returns."""
    read, write = os.pipe()
    with forking():
        child = os.fork()
    if not child:
        try:
            answer = pickle.dumps(work())
        except BaseException:
            answer = pickle.dumps(traceback.format_exc())
        try:
            with os.fdopen(write, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(write)
    return child, read


def answer_of(child: int, read: int) -> Any:
    """What the child returns, or None when it was killed."""
    with os.fdopen(read, "rb") as pipe:
        answer = b""
        try:
            while select.select([pipe], [], [], PATIENCE)[0]:
                if not (part := os.read(pipe.fileno(), 1 << 16)):
                    break
                answer += part
            else:
                raise AssertionError("a child hangs")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return pickle.loads(answer) if answer else None
