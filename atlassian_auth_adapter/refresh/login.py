"""The state that sources of one process share when their stores hold the same login.

A source begins with a state of its own. When it has loaded a record from *its own store*, it joins
the state of that `login_id`. What another store has brought since, it knows only when its own store
has shown that login once more: rights may be taken away, and keys be changed. So a source never
gets from memory what it could not load itself.
"""

from __future__ import annotations

import math
import random
import threading
import time
import zlib
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
from atlassian_auth_adapter.expiry import NO_LIMITS, Limits
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.refresh.steps import Instant, Memory, Request, Snapshot, Unsaved
from atlassian_auth_adapter.threads import after_fork
from atlassian_auth_adapter.tokens import TokenSet

__all__ = [
    "AnotherLoginError",
    "Flight",
    "Membership",
    "SharedLogin",
    "replaced_logins",
    "forget_process_state",
    "count_replaced_login",
    "jitter_share",
]


class AnotherLoginError(Exception):
    """The login of a flight was replaced or forgotten meanwhile: ask again.

    Or it was a refresh in the background, and the store is that of another tenant by now.
    """


@dataclass(slots=True, eq=False)
class Flight:
    """A refresh under way, for all callers that wait for it.

    `SharedLogin.lock` guards `waiters`. Only the thread of the flight writes the fields below it.

    Attributes:
        request: What it was started for.
        owner: The source that has started it.
        began: Monotonic time of the client's clock, seconds.
        started: Monotonic time of this machine, seconds, from which callers count `max_wait`.
        future: Gets the answer, perhaps before the flight ends.
        waiters: How many callers have waited for it.
        thread: Identity of the thread that performs it.
        doing: The step under way: a name of a class of `steps`.
        failure: The last failure of a token request.
        has_unsaved: Whether a token request has brought what is not saved yet.
        login_id: Of the login whose token set is the answer.
        events: To be reported.
    """

    request: Request
    owner: object
    began: float
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - tests may replace it
    future: Future[TokenSet] = field(default_factory=Future)
    waiters: int = 0
    thread: int = 0
    doing: str = ""
    failure: TokenEndpointError | None = None
    has_unsaved: bool = False
    login_id: str = ""
    events: list[tuple[EventName, dict[str, Any]]] = field(default_factory=list)

    def may_rest(self) -> bool:
        """Whether it may pause between its steps: no caller waits, and all is saved."""
        return bool(self.request.only) and not self.waiters and not self.has_unsaved

    def answer(self, login: Login, token_set: TokenSet) -> None:
        """Give the waiting callers this token set, unless they have an answer."""
        if not self.future.done():
            self.login_id = login.login_id
            self.future.set_result(token_set)

    def seconds_left(self, max_wait: float) -> float:
        """Seconds that a caller still waits for it; at least one, if `max_wait` is not less."""
        left = self.started + max_wait - time.monotonic()
        # Test libraries may stop that clock or set it back.
        return min(max(left, 1.0), max_wait)

    def too_slow(self, account: str, max_wait: float) -> AtlassianAuthError:
        """The error for a caller that has waited for `max_wait`; the flight goes on."""
        waited = f"it has not ended within {max_wait:g} s (max_wait) and goes on; try again"
        if isinstance(self.failure, TokenEndpointUnavailableError):
            error = self.failure.copied()
            error.args = (f"{self.failure} The refresh of {account!r}: {waited}.",)
            return error
        if not self.doing:
            return TokenEndpointUnavailableError(
                f"so many logins are refreshed at this moment that {account!r} waits for its turn: "
                f"{waited}.",
                outcome="not_sent",
            )
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


#: Monotonic time of what has not happened yet.
NEVER = -math.inf

#: The states of sources that have joined none yet, or that share one no longer with new sources.
_others: WeakSet[SharedLogin] = WeakSet()
_by_login_id: WeakValueDictionary[tuple[object, TokenKey, str], SharedLogin] = WeakValueDictionary()
#: The locks of states, by their ids, while a thread holds one or waits for it.
_locks: WeakValueDictionary[int, threading.RLock] = WeakValueDictionary()
#: Guards _by_login_id and _locks. Held for a moment only.
_registry_lock = threading.RLock()
#: Guards what is known of every login, when flights write it. Held for a moment only.
_writing = threading.RLock()


class SharedLogin:
    """The state of one login in this process.

    Two locks, neither of which is held during I/O. `lock` is for callers: which flight to join. A
    signal handler of a thread that holds it may wait for a flight, so no flight needs it before its
    answer is there. `_writing`, of all logins, is for the threads of flights: what is known.
    `snapshot` is read without a lock: one assignment replaces it as a whole.
    """

    __slots__ = (
        *("__weakref__", "flight", "has_saver", "login_id", "quiet_until", "reminded_at"),
        *("snapshot", "unsaved"),
    )

    def __init__(self, login_id: str = "") -> None:
        self.login_id = login_id  # never changes
        self.snapshot: Snapshot | None = None  # guarded by _writing, but for reads
        self.unsaved: Unsaved | None = None  # guarded by _writing, but for reads
        self.quiet_until: float = 0.0  # guarded by lock; monotonic; no background refresh before
        self.reminded_at: float = NEVER  # as quiet_until; of reauthorization_due
        self.renew()
        if not login_id:
            # Without a lock: only a forked child, which has one thread, reads it.
            _others.add(self)

    def renew(self) -> None:
        """No flight, as a forked child begins."""
        self.flight: Flight | None = None  # guarded by lock, but for that in `join`
        self.has_saver = False  # guarded by lock; whether a thread saves `unsaved`

    @property
    def lock(self) -> threading.RLock:
        """The lock for callers. An idle login has none."""
        with _registry_lock:
            return _locks.setdefault(id(self), threading.RLock())

    def memory(self) -> Memory:
        """What is known, as the protocol sees it."""
        with _writing:
            return Memory(self.snapshot, self.unsaved)

    def flight_under_way(self) -> Flight | None:
        """The flight to join."""
        flight = self.flight
        return None if flight is None or flight.future.done() else flight

    def publish(self, login: Login | None, now: Instant, store: object) -> None:
        """Hand out this login from now on, which `store` has got; None: none."""
        with _writing:
            known = self.snapshot
            if login is None or login.token_set is None:
                self.snapshot = None
            elif known is not None and known.login.token_set == login.token_set:
                self.snapshot = replace(known, login=login)  # its end is known better than stored
            else:
                new = Snapshot.of(login, now, jitter_share(login.token_set))
                self.snapshot = replace(new, store=store)

    def hold(self, unsaved: Unsaved | None) -> None:
        """Remember what is not saved yet."""
        with _writing:
            self.unsaved = unsaved

    def leave(self) -> None:
        """Another login was found in a store: the sources that share this one load theirs again.

        A login that is not saved yet stays, since no store has it. Takes no lock, since callers do
        it: at worst something that was just published is loaded once more.
        """
        if self.unsaved is None:
            self.snapshot = None


def jitter_share(token_set: TokenSet) -> float:
    """That of a token, from 0 to 1, nearly the same in all processes.

    If each drew its own, the first of many would refresh early nearly always, and all logins with
    it; if all had the same, they would wait for the lock of the one that refreshes.
    """
    of_all = zlib.crc32(token_set.access_token.encode(errors="replace")) / 2**32
    return (15 * of_all + random.random()) / 16  # noqa: S311 - it only spreads the load


_replaced_logins = 0


def replaced_logins() -> int:
    """How often a login was forgotten or replaced in this process so far."""
    return _replaced_logins


def count_replaced_login() -> None:
    """A login is forgotten or replaced: what was loaded without the lock before is not used."""
    global _replaced_logins  # noqa: PLW0603 - a count, of which only changes matter
    _replaced_logins += 1


class Membership:
    """Which state a source shares; only flights of that source change it.

    `key` is that of the login in the `store`, with the resource server that gets its tokens.
    Sources share with those of the same `process`: None is this process, another object a process
    that a test plays. `limits` are those of a source, once it knows some; see there.
    """

    __slots__ = ("_key", "_process", "_shown", "_store", "limits", "shared")

    def __init__(self, key: TokenKey, store: object, process: object = None) -> None:
        self._key, self._store, self._process = key, store, process
        self._shown: TokenSet | None = None  # what was known when the store showed this login last
        self.shared: SharedLogin = SharedLogin()
        self.limits: Limits = NO_LIMITS

    @property
    def snapshot(self) -> Snapshot | None:
        """What is known and may be handed out by this source."""
        snapshot = self.shared.snapshot
        if snapshot is None or snapshot.store is self._store or self._may_know(snapshot):
            return snapshot
        return None

    def memory_of(self, shared: SharedLogin) -> Memory:
        """What is known in that state and may be known to this source, as the protocol sees it."""
        memory = shared.memory()
        return memory if self._may_know(memory.snapshot) else Memory()

    def _may_know(self, snapshot: Snapshot | None) -> bool:
        if snapshot is None or snapshot.store is self._store:
            return True
        return snapshot.login.token_set == self._shown

    def join(self, login: Login | None, flight: Flight | None) -> SharedLogin:
        """Share the state of a login that the source has loaded from its store, or has made.

        `flight` is that for whose sake it was loaded, if other callers may join it. It may be here
        before its caller has written it to the state that the source had.
        """
        before = self.shared
        if login is None or not login.login_id:
            return before
        if login.login_id == before.login_id:
            self._note_shown()
            return before
        unsaved = before.unsaved
        if unsaved and unsaved.before and unsaved.before.login_id == login.login_id:
            return before  # what is not saved yet is about to replace that login
        with _registry_lock:
            key = self._process, self._key, login.login_id
            shared = _by_login_id.get(key)
            if shared is None:
                shared = _by_login_id[key] = SharedLogin(login.login_id)
        # No flight takes `lock` here, see `SharedLogin`: at worst one that has just begun is not
        # joined.
        if shared.flight_under_way() is None:
            shared.flight = flight or before.flight
        before.leave()
        self.shared = shared
        self._note_shown()
        return shared

    def _note_shown(self) -> None:
        snapshot = self.shared.snapshot
        self._shown = snapshot.login.token_set if snapshot else None


def forget_process_state() -> None:
    """Sources that join from now on share nothing with those that have joined before."""
    with _registry_lock:
        _others.update(_by_login_id.values())
        _by_login_id.clear()


def _renew_after_fork() -> None:
    global _registry_lock, _writing
    _registry_lock, _writing = threading.RLock(), threading.RLock()
    _locks.clear()
    for state in [*_others, *_by_login_id.values()]:
        state.renew()


after_fork(_renew_after_fork)
