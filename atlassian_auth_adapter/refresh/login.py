"""What the sources of one process share that have read the same login from their stores.

A source begins with a state of its own. When *its own store* has given it a record, it joins the
state of that `login_id`. So a source never gets from memory what it could not have read by itself,
whatever the stores call their places.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.events import EventName
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.steps import Instant, Memory, Request, Snapshot, Unsaved
from atlassian_auth_adapter.threads import after_fork
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "AnotherLoginError",
    "Flight",
    "Membership",
    "SharedLogin",
    "decisions",
    "forget_process_state",
    "note_decision",
]


class AnotherLoginError(Exception):
    """The login that a flight was for was replaced or forgotten meanwhile: look again.

    Or the store is that of the tenant of the moment, which has changed since a refresh beside the
    traffic began. Only a flight that a caller waits for finds out.
    """


@dataclass(slots=True, eq=False)
class Flight:
    """A refresh under way, for all who wait for it.

    Only its own thread writes the fields below `waiters`, which is guarded by `SharedLogin.lock`.

    Attributes:
        request: What it was started for.
        owner: The source that has started it.
        began: Monotonic time of the client's clock, seconds.
        started: Monotonic time of this machine, seconds: what callers wait by.
        future: Has the answer as soon as there is one.
        waiters: Callers that have waited for it.
        thread: Identity of the one that performs it.
        doing: The step under way: a name of a class of `steps`.
        failure: The last failure of a token request.
        login_id: Of the login whose token set is the answer.
        events: What is to be reported.
    """

    request: Request
    owner: object
    began: float
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - by name
    future: Future[TokenSet] = field(default_factory=Future)
    waiters: int = 0
    thread: int = 0
    doing: str = ""
    failure: TokenEndpointError | None = None
    login_id: str = ""
    events: list[tuple[EventName, dict[str, Any]]] = field(default_factory=list)

    def answer(self, login: Login, token_set: TokenSet) -> None:
        """Who waits has this token set, unless there was an answer before."""
        if not self.future.done():
            self.login_id = login.login_id
            self.future.set_result(token_set)

    def seconds_left(self, max_wait: float) -> float:
        """How long a caller still waits for it; a moment also for one that comes late."""
        left = self.started + max_wait - time.monotonic()
        # Test libraries may stop that clock, or set it back.
        return min(max(left, 1.0), max_wait)

    def too_slow(self, account: str, max_wait: float) -> AtlassianAuthError:
        """What is told to a caller that has waited for so long; the flight goes on."""
        waited = f"it has not ended within {max_wait:g} s (max_wait) and goes on; try again"
        if isinstance(self.failure, TokenEndpointUnavailableError):
            error = self.failure.copied()
            error.args = (f"{self.failure} The refresh of {account!r}: {waited}.",)
            return error
        if self.doing == "Locked":
            return TokenStoreTimeoutError(
                f"another process or thread holds the lock of the login {account!r}; the refresh "
                f"waits for it: {waited}. Look for a process that hangs; nothing is lost."
            )
        if self.doing == "Send":
            return TokenEndpointUnavailableError(
                f"the token endpoint does not answer the refresh of {account!r}: {waited}.",
                outcome="ambiguous",
            )
        return TokenStoreUnavailableError(
            f"the store does not answer in the refresh of {account!r}: {waited}."
        )


_states: WeakSet[SharedLogin] = WeakSet()
_by_login_id: WeakValueDictionary[tuple[object, str, str], SharedLogin] = WeakValueDictionary()
_registry_lock = threading.RLock()  # guards _by_login_id; taken by threads of flights


class SharedLogin:
    """The state of one login in this process.

    Two locks, neither of which is held during I/O. `lock` is for callers: which flight to join. A
    signal handler may come back for it, and then waits for a flight; so no flight may need it
    before its answer is there. `writing` is for the threads of flights: what is known.
    `snapshot` is read without it: one assignment replaces it as a whole.
    """

    def __init__(self, login_id: str = "") -> None:
        self.login_id = login_id  # never changes
        self.snapshot: Snapshot | None = None  # guarded by writing, but for reads
        self.unsaved: Unsaved | None = None  # guarded by writing, but for reads
        self.quiet_until = 0.0  # guarded by lock; monotonic; no refresh beside the traffic before
        self.reminded_at = -float("inf")  # guarded by lock; monotonic; of reauthorization_due
        self.renew()
        _states.add(self)  # without a lock: only a forked child, which has one thread, reads it

    def renew(self) -> None:
        """No flight and free locks: how a forked child begins."""
        self.lock = threading.RLock()
        self.writing = threading.RLock()
        self.flight: Flight | None = None  # guarded by lock, but for that in `join`
        self.has_saver = False  # guarded by lock; whether a thread saves `unsaved`

    def memory(self) -> Memory:
        """What is known, as the protocol sees it."""
        with self.writing:
            return Memory(self.snapshot, self.unsaved)

    def flight_under_way(self) -> Flight | None:
        """The flight to join."""
        flight = self.flight
        return None if flight is None or flight.future.done() else flight

    def publish(self, login: Login | None, now: Instant) -> None:
        """What is handed out from now on; None: nothing."""
        with self.writing:
            known = self.snapshot
            if login is None:
                self.snapshot = None
            elif known is not None and known.login.token_set == login.token_set:
                self.snapshot = replace(known, login=login)  # its end is known better than stored
            else:
                self.snapshot = Snapshot.of(login, now, random.random())  # noqa: S311 - jitter

    def hold(self, unsaved: Unsaved | None) -> None:
        """What is not saved yet."""
        with self.writing:
            self.unsaved = unsaved

    def leave(self) -> None:
        """A source has found another login in its store: who shares this one looks there as well.

        What is not saved yet is in no store, and stays. Takes no lock, since callers do it: at
        worst something that was just published is looked up once more.
        """
        if self.unsaved is None:
            self.snapshot = None


#: How often a login was forgotten or replaced in this process. Only ever raised.
_decisions = 0


def decisions() -> int:
    """How often a login was forgotten or replaced in this process so far."""
    return _decisions


def note_decision() -> None:
    """A login is forgotten or replaced: what was loaded before, without the lock, is not used."""
    global _decisions  # noqa: PLW0603 - a count, of which only changes matter
    _decisions += 1


class Membership:
    """Which state a source shares; only flights of that source change it.

    Args:
        name: Of the login's key in the store.
        process: Sources share with those of the same one: None is this process, another object a
            process that a test plays.
    """

    def __init__(self, name: str, process: object = None) -> None:
        self._name, self._process = name, process
        self.shared = SharedLogin()

    def join(self, login: Login | None) -> SharedLogin:
        """Share the state of a login that the source's own store has given, or that it has made."""
        before = self.shared
        if login is None or not login.login_id or login.login_id == before.login_id:
            return before
        unsaved = before.unsaved
        if unsaved and unsaved.before and unsaved.before.login_id == login.login_id:
            return before  # what is not saved yet is about to replace that login
        with _registry_lock:
            key = self._process, self._name, login.login_id
            shared = _by_login_id.get(key)
            if shared is None:
                shared = _by_login_id[key] = SharedLogin(login.login_id)
        # Without the lock, see there: at worst a flight that has just begun is not joined.
        if shared.flight_under_way() is None:
            shared.flight = before.flight
        before.leave()
        self.shared = shared
        return shared


def forget_process_state() -> None:
    """Sources that join from now on share nothing with those that have joined before."""
    with _registry_lock:
        _by_login_id.clear()


def _renew_after_fork() -> None:
    global _registry_lock  # noqa: PLW0603 - a thread of the parent may have held it
    _registry_lock = threading.RLock()
    for state in list(_states):
        state.renew()


after_fork(_renew_after_fork)
