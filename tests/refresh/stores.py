"""Stores and clocks that do what a test says, for all tests of the refresh."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from atlassian_auth_adapter import MemoryTokenStore, TokenKey, TokenSet, TokenStoreError
from atlassian_auth_adapter.records import Login, read
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.testing import FakeClock
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE

Action = Callable[[Login | None], object]


def login_in(text: str) -> Login:
    """The login that a store was asked to keep."""
    return read(text, TokenKey(**json.loads(text)["key"]), Login, "")


def _is_journaled(login: Login) -> bool:
    return login.journal is not None or login.takeover is not None


class FragileStore:
    """A store that does something before each operation, or fails in it.

    The operations: "load", "loaded" (after it), "lock", "unlock", "save" of anything, and of a
    login "journal" (a save with a journal: the probe before a token request) and "answer" (one
    without, such as the save of a new token set); and "saved", after an answer was saved.

    Args:
        place: Where it really keeps its entries; several stores on one place are several hosts.
        leases_end: Whether its locks exclude no other process, as a lease that has ended.
    """

    def __init__(self, place: TokenStore | None = None, *, leases_end: bool = False) -> None:
        self.place = MemoryTokenStore() if place is None else place
        self.before: dict[str, Action] = {}
        self.saves: list[Login] = []
        self._locks = MemoryTokenStore() if leases_end else self.place

    def fail(
        self, *operations: str, error: Exception | None = None, times: int | None = None
    ) -> list[str]:
        """From now on they fail, that often, or until `recover`. What has failed is listed."""
        failure = error or TokenStoreError("broken by the test")
        failed: list[str] = []

        def action(operation: str) -> Action:
            def act(_: object) -> None:
                if times is None or len(failed) < times:
                    failed.append(operation)
                    raise failure.with_traceback(None)

            return act

        self.before |= {operation: action(operation) for operation in operations}
        return failed

    def recover(self) -> None:
        """Everything works again."""
        self.before = {}

    def _do(self, operation: str, login: Login | None = None) -> None:
        if action := self.before.get(operation):
            action(login)

    def load(self, name: str) -> Entry | None:
        self._do("load")
        entry = self.place.load(name)
        self._do("loaded")
        return entry

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        login = None if "." in name else login_in(text)
        self._do("save", login)
        if login:
            self._do("journal" if _is_journaled(login) else "answer", login)
        self.place.save(name, text, expected=expected)
        if login:
            self.saves.append(login)
            if not _is_journaled(login):
                self._do("saved", login)

    def delete(self, name: str) -> None:
        self.place.delete(name)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        self._do("lock")
        with self._locks.lock(name, timeout=timeout):
            yield
        self._do("unlock")


def outcome_of(work: Callable[[], Any]) -> Any:
    """What the work returns or raises, on a thread of its own; fails when it hangs."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert outcomes, "this waits for ever"
    return outcomes[0]


class Pause:
    """An action that stops here until `release()`; `wait_arrived()` tells the test that it does."""

    def __init__(self) -> None:
        self._arrived, self._released = threading.Event(), threading.Event()

    def __call__(self, _: object = None) -> None:
        self._arrived.set()
        assert self._released.wait(30), "the test does not release this"

    def wait_arrived(self) -> None:
        assert self._arrived.wait(20), "nothing has arrived here"

    def release(self) -> None:
        self._released.set()


class Sleeper:
    """A clock that does something during the first sleep after `during_sleep` was set."""

    def __init__(self, clock: FakeClock) -> None:
        self.time, self.monotonic, self._sleep = clock.time, clock.monotonic, clock.sleep
        self.during_sleep: Callable[[], object] | None = None

    def sleep(self, seconds: float) -> None:
        action, self.during_sleep = self.during_sleep, None
        if action:
            action()
        self._sleep(seconds)


def successor(login: Login | None, token_set: TokenSet, **changes: Any) -> Login:
    """What another process saves after a refresh."""
    assert login
    return login._replace(
        generation=login.generation + 1, token_set=token_set, journal=None, **changes
    )
