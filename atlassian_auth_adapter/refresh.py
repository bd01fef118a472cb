"""The refresh, once for everybody.

One *flight* per login and process renews a token set: a thread of ours that outlives whoever waits
for it. Under the store's lock it looks again, journals what it is about to spend, sends the token
request, saves the answer and publishes it. Sync callers wait for the flight, async callers await
it; nobody runs it, so nobody can cancel it.

Every client object of a process with the same store and key shares one login and its flights.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, cast
from weakref import WeakValueDictionary

from atlassian_auth_adapter.atlassian.gateway import ResourceServer
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    FreshTokenRejectedError,
    LoginRequiredError,
    StaleRecordError,
    TokenEndpointUnavailableError,
    TokenNotSavedError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.events import Event, EventName, OnEvent, report
from atlassian_auth_adapter.expiry import Clock, ExpiryPolicy, Freshness
from atlassian_auth_adapter.threads import (
    FlightThread,
    is_exiting,
    landed,
    prepared,
    result_of,
    take_off,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.sources import TokenSource
from atlassian_auth_adapter.stores.base import Pending, Record, TokenKey, TokenStore
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["RefreshingTokenSource", "own_goal"]

#: Seconds before a renewal beside the traffic is tried again after one has failed.
BACKGROUND_BACKOFF = 30.0
#: Seconds for which a token that was fetched because of a rejection is not replaced for another
#: one: a server that rejects whatever we send must not burn a rotation per request.
REJECTION_COOL_DOWN = 30.0
#: Longest Retry-After, and longest outage of the store, seconds, that a flight waits for; beyond it
#: the callers are told.
LONGEST_WAIT = 10.0
#: Seconds between the looks into the store after the server has refused a refresh token.
SECOND_LOOK = 1.0
#: Seconds between attempts; the last one repeats.
BACKOFF = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
DeadReason = Literal["refused", "answer_lost"]

#: Seconds of waiting for the store's lock between looks at whether the process wants to end.
LOCK_SLICE = 1.0
#: Token requests of one flight that never reach the server before it gives up.
UNSENT_ATTEMPTS = 3
#: Seconds ahead of the end of a login from which on it is announced, and between two announcements
#: of one process.
REAUTHORIZATION_NOTICE, REAUTHORIZATION_REMINDER = 14 * 86400.0, 86400.0
#: Times that somebody else may be faster in saving before the store is called broken.
MOST_OVERTAKINGS = 10


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The token set that this process hands out, with what its clocks say of the end."""

    token_set: TokenSet
    record: Record  # where it comes from
    deadline: float  # of the monotonic clock
    luck: float  # this process's share of the jitter for this token


@dataclass(slots=True)
class _Flight:
    """A renewal in progress, and what there will be to tell of it."""

    began: float  # of the monotonic clock
    rejected: str | None = field(default=None, repr=False)  # by a resource server
    obtained_before: float = -math.inf  # token sets up to then are renewed in any case
    future: Future[TokenSet] = field(default_factory=Future)
    waiters: int = 0
    thread: int = 0  # identity of the one that flies it
    ambiguous: int = 0  # token requests whose outcome is unknown
    outage_began: float = math.inf  # of the store; of the monotonic clock
    overtaken: int = 0  # times that somebody else was faster in saving
    notes: list[tuple[EventName, dict[str, Any]]] = field(default_factory=list)

    def note(self, name: EventName, **fields: Any) -> None:
        """Remember an event; it is reported after landing."""
        self.notes.append((name, fields))


class _Login:
    """What all sources of one process share that have the same store and key."""

    def __init__(self) -> None:
        self.snapshot: _Snapshot | None = None
        self.quiet_until = 0.0  # monotonic; no renewal beside the traffic before
        self.unsaved: tuple[Record, Record | None] | None = None  # rotated; what it follows
        self.reminded_at = -math.inf  # monotonic; of the last event reauthorization_due
        self.start_afresh()

    def start_afresh(self) -> None:
        """No flight and free locks: the state in which a forked child begins."""
        # Of this object's fields; never held during I/O. Signal handlers may come back for it.
        self.lock = threading.RLock()
        self.saving = threading.Lock()  # whoever writes a token set has it, and changes `unsaved`
        self.flight: _Flight | None = None  # in the air until its future is done
        self.is_saving = False

    def flight_in_the_air(self) -> _Flight | None:
        """The flight to join."""
        flight = self.flight
        return None if flight is None or flight.future.done() else flight


_logins: WeakValueDictionary[tuple[TokenStore, TokenKey], _Login] = WeakValueDictionary()
_logins_lock = threading.RLock()


def _login_of(store: TokenStore, key: TokenKey) -> _Login:
    with _logins_lock:
        login = _logins.get((store, key))
        if login is None:
            login = _logins[store, key] = _Login()
        return login


def _after_fork_in_child() -> None:
    global _logins_lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _logins_lock = threading.RLock()
    for login in list(_logins.values()):
        login.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class RefreshingTokenSource(TokenSource):
    """Hands out the token set of one login and renews it.

    Args:
        key: Which login.
        store: Where it is kept.
        server: Whose rules hold.
        renew: Sends one token request that succeeds the given token set.
        resource_server: Where the tokens are accepted.
        patience: Seconds after which one token request has ended.
        needs_login: Whether a person has to log in first; not for client credentials, where `renew`
            needs nothing of the token set that it succeeds.
        expiry: When a token is stale or expired.
        clock: Where instants come from.
        on_event: Called with every Event, on the flight's thread, outside every lock.
    """

    def __init__(
        self,
        key: TokenKey,
        store: TokenStore,
        server: AuthorizationServer,
        renew: Callable[[TokenSet], TokenSet],
        resource_server: Callable[[], ResourceServer],
        *,
        patience: float,
        needs_login: bool = True,
        expiry: ExpiryPolicy,
        clock: Clock,
        on_event: OnEvent | None = None,
    ) -> None:
        self.account = key.account
        self.on_event = on_event
        self._key = key
        self._store = store
        self._server = server
        self._renew = renew
        self._resource_server = resource_server
        self._needs_login = needs_login
        self._expiry = expiry
        self._clock = clock
        # Whoever holds the lock may resend for a while, each time with all patience.
        self._lock_timeout = server.resend_window + 3 * patience + 3 * LONGEST_WAIT
        self._login = _login_of(store, key)

    @property
    def resource_server(self) -> ResourceServer:
        """Where the tokens are accepted."""
        return self._resource_server()

    # --- what callers see -------------------------------------------------------------------------

    def current(self) -> TokenSet | None:
        """The token set known to this process. Never blocks."""
        snapshot = self._login.snapshot
        return snapshot.token_set if snapshot else None

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set`."""
        while True:
            at_hand = self._at_hand(rejected)
            token_set = at_hand if isinstance(at_hand, TokenSet) else result_of(at_hand)
            if token_set.access_token != rejected:
                return token_set

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """See `TokenSource.token_set_async`; it occupies no thread while it waits."""
        while True:
            at_hand = self._at_hand(rejected)
            token_set = at_hand if isinstance(at_hand, TokenSet) else await landed(at_hand)
            if token_set.access_token != rejected:
                return token_set

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return self._clock.time() >= token_set.expires_at

    def refresh(self, older_than: float = 0.0) -> TokenSet:
        """Renew, however fresh the token set is; not if it is no older than so many seconds.

        Raises as `token_set` does.
        """
        now = self._clock.time()
        before = now - older_than
        if older_than:
            token_set = self._newest()
            # What a clock that was ahead has obtained tells nothing of its age.
            if token_set is not None and before <= token_set.obtained_at <= now:
                return token_set
        return result_of(self._board(obtained_before=before))

    def install(self, obtain: Callable[[], TokenSet], taken_over: str = "") -> TokenSet:
        """Replace the login by what `obtain` brings, under the store's lock.

        Args:
            obtain: Sends the token request.
            taken_over: The refresh token that it spends, if the login comes from elsewhere and not
                from a person who has just consented.

        Raises:
            TokenNotSavedError: The token set is there, but could not be saved.
        """

        def work() -> TokenSet:
            with self._exclusive():
                record = self._store.load(self._key)
                if taken_over:
                    record = self._proven_writable(record)
                token_set = obtain()
                login = Record(
                    record.generation + 1 if record else 1,
                    token_set,
                    login=secrets.token_hex(8),
                    authorized_at=0.0 if taken_over else token_set.obtained_at,
                    taken_over=self._hash(taken_over) if taken_over else "",
                )
                if self._keep(login, record):
                    raise _not_saved(login)
                return token_set

        return result_of(take_off(work, self._keep_saving))

    def _proven_writable(self, record: Record | None) -> Record:
        """The record, saved as it is: a refresh token is about to be spent."""
        same = record or Record()
        self._store.save(self._key, same, expected=record.generation if record else None)
        return same

    def has_taken_over(self, refresh_token: str) -> bool:
        """Whether the login on record is the one that began with this refresh token."""
        record = self._store.load(self._key)
        return record is not None and record.taken_over == self._hash(refresh_token)

    def forget(self, first: Callable[[TokenSet], object] | None = None) -> None:
        """There is no login on record afterwards; `first` gets it while nobody can renew it.

        What stays is the number of its generation, so that a process that was paused in the middle
        of a refresh cannot bring it back.
        """

        def work() -> None:
            login = self._login
            with self._exclusive():
                if first is not None and (token_set := self._newest()):
                    first(token_set)
                with login.saving:
                    self._erase()
                    login.snapshot = login.unsaved = None

        result_of(take_off(work))

    def _erase(self) -> None:
        for _ in range(MOST_OVERTAKINGS):
            try:
                record = self._store.load(self._key)
            except TokenStoreError:  # damaged; or the store is gone, and says so once more
                self._store.delete(self._key)
                return
            if record is None:
                return
            with suppress(StaleRecordError):
                erased = Record(record.generation + 1)
                self._store.save(self._key, erased, expected=record.generation)
                return
        raise _overtaken()

    def _newest(self) -> TokenSet | None:
        unsaved = self._login.unsaved
        return _token_set_of(unsaved[0] if unsaved else self._store.load(self._key))

    def freshness_of(self, token_set: TokenSet) -> Freshness:
        """What may be done with a token set from the store, by the wall clock."""
        return self._freshness(self._snapshot(Record(token_set=token_set)))

    # --- boarding ---------------------------------------------------------------------------------

    def _at_hand(self, rejected: str | None) -> TokenSet | Future[TokenSet]:
        """A token set to use at once, or the future that brings one. Does no I/O."""
        snapshot = self._login.snapshot
        if snapshot is not None and snapshot.token_set.access_token != rejected:
            freshness = self._freshness(snapshot)
            if freshness is Freshness.STALE and self._is_calm():
                self._board(seen=snapshot, waiters=0)
            if freshness is not Freshness.EXPIRED:
                return snapshot.token_set
        return self._board(rejected, seen=snapshot)

    def _board(
        self,
        rejected: str | None = None,
        *,
        obtained_before: float = -math.inf,
        seen: _Snapshot | None = None,
        waiters: int = 1,
    ) -> Future[TokenSet]:
        """The future of the flight under way, or of one that starts now."""
        login = self._login
        flight = _Flight(self._clock.monotonic(), rejected, obtained_before, waiters=waiters)
        run = prepared(lambda: self._fly(flight), lambda: self._debrief(flight), flight.future)
        with login.lock:
            if under_way := login.flight_in_the_air():
                if under_way.thread == threading.get_ident():
                    raise own_goal()
                under_way.waiters += waiters
                return under_way.future
            landed_first = login.snapshot if login.snapshot is not seen else None
            if landed_first is not None and obtained_before == -math.inf:
                flight.future.set_result(landed_first.token_set)
                return flight.future
            # Nobody can join it before it flies: Ctrl-C at any line leaves nothing to wait for.
            if FlightThread.started(run):
                login.flight = flight
                return flight.future
        if waiters:
            run()
        return flight.future

    def _is_calm(self) -> bool:
        """Whether a renewal beside the traffic may start; at exit nobody would wait for it."""
        return (
            self._login.flight_in_the_air() is None
            and self._clock.monotonic() >= self._login.quiet_until
            and not is_exiting()
        )

    def _freshness(self, snapshot: _Snapshot) -> Freshness:
        """The end has come when either clock says so."""
        remaining = min(
            snapshot.token_set.expires_at - self._clock.time(),
            snapshot.deadline - self._clock.monotonic(),
        )
        return self._expiry.freshness(snapshot.token_set, remaining, snapshot.luck)

    # --- the flight, on a thread of its own -------------------------------------------------------

    def _fly(self, flight: _Flight) -> TokenSet:
        token_set = None
        flight.thread = threading.get_ident()
        try:
            token_set = self._first_look(flight)
            while token_set is None:
                try:
                    with self._exclusive():
                        token_set = self._look_again(flight)
                except TokenStoreUnavailableError:
                    if token_set is not None or not self._rides_out_an_outage(flight):
                        raise
        except TokenEndpointUnavailableError as error:
            flight.note(
                "throttled" if error.outcome == "throttled" else "unavailable", error=str(error)
            )
            raise
        except TokenStoreTimeoutError as error:
            flight.note("lock_timeout", error=str(error))
            if token_set is None:
                token_set = self._adopted(self._store.load(self._key), flight)
            if token_set is None:
                raise
        except Exception as error:
            if token_set is None:
                if isinstance(error, TokenStoreError):
                    flight.note("store_failed", error=str(error))
                    if unsaved := self._login.unsaved:
                        raise _not_saved(unsaved[0]) from None
                raise
            # Only the release failed: the token is there.
            flight.note("store_failed", error=f"lock not released: {type(error).__name__}")
        finally:
            backoff = BACKGROUND_BACKOFF if token_set is None else 0.0
            self._login.quiet_until = self._clock.monotonic() + backoff
        return token_set

    def _first_look(self, flight: _Flight) -> TokenSet | None:
        """What this process finds in the store when it knows nothing yet, if that will do.

        Reading takes no lock: a program that runs for a moment loads none, and one that may read
        the store, but not write to it, gets along until the token set ends.
        """
        if self._login.snapshot is not None:
            return None
        with suppress(TokenStoreError):  # told by the look under the lock
            return self._adopted(self._store.load(self._key), flight)
        return None

    def _rides_out_an_outage(self, flight: _Flight) -> bool:
        """Wait a moment for the store to come back, unless that was tried for long enough."""
        now = self._clock.monotonic()
        flight.outage_began = min(flight.outage_began, now)
        if now - flight.outage_began >= LONGEST_WAIT or is_exiting():
            return False
        self._clock.sleep(BACKOFF[0])
        return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """The store's lock. Waiting for it ends early with the process: nothing is spent yet."""
        with ExitStack() as stack:
            for attempt in itertools.count(1):
                try:
                    stack.enter_context(self._store.lock(self._key, timeout=LOCK_SLICE))
                    break
                except TokenStoreTimeoutError:
                    waited = attempt * LOCK_SLICE
                    if waited < self._lock_timeout and not is_exiting():
                        continue
                    raise TokenStoreTimeoutError(
                        f"somebody has held the lock of the login {self.account!r} for {waited:g} "
                        "s. Look for a process that hangs; nothing is lost."
                    ) from None
            yield

    def _debrief(self, flight: _Flight) -> None:
        """Report, with the waiters gone and no lock held; then see to what is not saved."""
        with self._login.lock:
            if self._login.flight is flight:
                self._login.flight = None
        now = self._clock.monotonic()
        duration = now - flight.began
        if (end := self._due_reauthorization(now)) is not None:
            flight.note("reauthorization_due", reauthorize_by=end)
        for name, fields in flight.notes:
            fields |= {"duration": duration, "waiters": flight.waiters}
            report(self.on_event, Event(name, self.account, MappingProxyType(fields)))
        self._keep_saving()

    def _due_reauthorization(self, now: float) -> float | None:
        """The end of the login (POSIX timestamp, seconds) if it is near and was not told today."""
        login = self._login
        with login.lock:  # a flight that landed before may be telling as well
            if login.snapshot is None or now - login.reminded_at < REAUTHORIZATION_REMINDER:
                return None
            record, token_set = login.snapshot.record, login.snapshot.token_set
            end = self._server.reauthorize_by(token_set.obtained_at, record.authorized_at)
            if end - self._clock.time() > REAUTHORIZATION_NOTICE:
                return None
            login.reminded_at = now
        return end

    def _look_again(self, flight: _Flight) -> TokenSet:
        """What the store holds by now, if that will do; else a new token set."""
        login = self._login
        if unsaved := self._still_unsaved():
            # Never spend a refresh token that cannot be replaced.
            if login.snapshot and self._will_do(login.snapshot, flight):
                return login.snapshot.token_set
            raise _not_saved(unsaved)
        record = self._restored(self._store.load(self._key), flight)
        if adopted := self._adopted(record, flight):
            return adopted
        record, token_set = self._spendable(record, flight)
        return self._spend(flight, record, token_set)

    def _look_again_after(self, flight: _Flight) -> TokenSet:
        """Somebody who does not hold the lock was faster, as often as that may happen."""
        flight.overtaken += 1
        if flight.overtaken == MOST_OVERTAKINGS:
            raise _overtaken()
        return self._look_again(flight)

    def _restored(self, record: Record | None, flight: _Flight) -> Record | None:
        """The record, or what this process knows to be newer: a backup was played back.

        The older refresh token is spent; past the grace, sending it would end the login. A record
        that is gone altogether was deleted by somebody, and stays so.
        """
        known = self._login.snapshot
        if known is None or record is None or not _is_older(record, known.record):
            return record
        self._store.save(self._key, known.record, expected=record.generation)
        flight.note(
            "store_failed",
            error=f"the store fell back to generation {record.generation}; put back what was newer",
            generation=known.record.generation,
        )
        return known.record

    def _adopted(self, record: Record | None, flight: _Flight) -> TokenSet | None:
        """The stored token set, published, if it will do: no token request."""
        if record is None or record.token_set is None:
            return None
        known = self._login.snapshot
        if known is not None and known.token_set == record.token_set:
            # What we have is what there is; a stale token does not renew itself.
            is_enough = self._freshness(known) is Freshness.FRESH
            snapshot = known
        else:
            snapshot, is_enough = self._snapshot(record), True
        if not is_enough or not self._will_do(snapshot, flight):
            return None
        if known is not None and snapshot is not known:
            flight.note("adopted", generation=record.generation)
        self._login.snapshot = snapshot
        return snapshot.token_set

    def _will_do(self, snapshot: _Snapshot, flight: _Flight) -> bool:
        obtained_at = snapshot.token_set.obtained_at
        return (
            (
                flight.obtained_before == -math.inf
                or flight.obtained_before < obtained_at <= self._clock.time()
            )
            and snapshot.token_set.access_token != flight.rejected
            and self._freshness(snapshot) is not Freshness.EXPIRED
        )

    def _spendable(self, record: Record | None, flight: _Flight) -> tuple[Record, TokenSet]:
        """The record and its token set, whose refresh token may be sent now.

        Raises what is known already, without a request.
        """
        token_set, now = _token_set_of(record), self._clock.time()
        if record is None or token_set is None:
            if self._needs_login:
                raise LoginRequiredError(
                    f"nobody has logged in as {self.account!r} yet: open the URL of "
                    "oauth_start(), then call oauth_complete().",
                    reason="no_token",
                )
            record, token_set = record or self._proven_writable(None), TokenSet("")
        if self._needs_login and not token_set.refresh_token:
            raise LoginRequiredError(
                f"the login {self.account!r} has ended and has no refresh token. Log in again; on "
                "Cloud request the scope offline_access.",
                reason="no_refresh_token",
            )
        if record.dead == self._hash(token_set.refresh_token):
            raise self._login_required(record.dead_reason)
        # A Retry-After is an hour at most: what lies further ahead is a clock that was set back.
        if 0 < record.throttled_until - now <= 3600:
            wait = record.throttled_until - now
            raise TokenEndpointUnavailableError(
                f"the token endpoint has asked to wait; try again in {wait:.0f} s.",
                retry_after=wait,
                outcome="throttled",
            )
        is_brand_new = 0 <= now - record.forced_at < REJECTION_COOL_DOWN
        if flight.rejected == token_set.access_token and is_brand_new:
            raise FreshTokenRejectedError(
                "the resource server rejects a token that a refresh brought seconds ago because it "
                "had rejected the one before: it is not the token. Check site, scopes and rights.",
                retry_after=REJECTION_COOL_DOWN - (now - record.forced_at),
            )
        return record, token_set

    def _spend(self, flight: _Flight, record: Record, token_set: TokenSet) -> TokenSet:
        """Send the refresh token, and keep what comes of it."""
        token_hash = self._hash(token_set.refresh_token)
        journal = record.pending
        if journal is None or journal.token_hash != token_hash:
            import socket

            journal = Pending(
                token_hash, self._clock.time(), f"{socket.gethostname()}:{os.getpid()}"
            )
        else:
            flight.ambiguous += 1  # sent before; nobody on record knows what came of it
        # Proves in one step that the store can be written, before anything is spent.
        clean = replace(record, pending=None, login=record.login or secrets.token_hex(8))
        record = replace(clean, pending=journal)
        try:
            self._store.save(self._key, record, expected=record.generation)
            renewed = self._request(flight, record, journal, token_set)
        except StaleRecordError:
            return self._look_again_after(flight)
        except TokenEndpointUnavailableError as error:
            if error.outcome == "throttled":
                wait = error.retry_after or BACKGROUND_BACKOFF
                record = replace(record, throttled_until=self._clock.time() + wait)
                clean = replace(record, pending=None)
            self._note_down(clean if not flight.ambiguous else record, flight)
            raise
        except ConfigurationError:  # nothing was sent
            self._note_down(clean if not flight.ambiguous else record, flight)
            raise
        except TokenRequestRefusedError as error:
            if not self._server.refuses_refresh_token(error.error, error.error_description):
                self._note_down(clean if not flight.ambiguous else record, flight)
                raise
            refusal = error
        else:
            flight.note(
                "replayed" if flight.ambiguous else "refreshed", generation=record.generation + 1
            )
            return self._saved(flight, record, renewed)
        return self._look_once_more(flight, record, journal, refusal)

    def _request(
        self, flight: _Flight, record: Record, journal: Pending, token_set: TokenSet
    ) -> TokenSet:
        """One token request, sent again as often as that can do no harm.

        Raises:
            StaleRecordError: Somebody else has rotated the token set in the meantime.
        """
        # By the monotonic clock: a wall clock that is set back would stretch the time.
        window_end = self._clock.monotonic() + self._server.resend_window
        left = journal.started_at + self._server.rotation_grace - self._clock.time()
        if left > 0:
            window_end = min(window_end, self._clock.monotonic() + left)
        unsent, waited = 0, False
        while True:
            try:
                return self._renew(token_set)
            except TokenEndpointUnavailableError as error:
                failure = error
            match failure.outcome:
                case "not_sent":
                    unsent += 1
                    delay = BACKOFF[min(unsent, len(BACKOFF)) - 1]
                    give_up = unsent >= UNSENT_ATTEMPTS
                case "throttled":
                    delay = failure.retry_after or BACKOFF[-1]
                    give_up = waited or delay > LONGEST_WAIT
                    waited = True
                case _:
                    delay = BACKOFF[min(flight.ambiguous, len(BACKOFF) - 1)]
                    flight.ambiguous += 1
                    give_up = (
                        self._clock.monotonic() + delay > window_end
                        if self._server.resend_window
                        else flight.ambiguous > 1  # no grace: once more, then the truth
                    )
            if give_up or is_exiting():
                raise failure
            self._clock.sleep(delay)
            # While we slept, or were paused, the lock may have ended and somebody else had it.
            self._check_generation(record)

    def _check_generation(self, record: Record) -> None:
        try:
            latest = self._store.load(self._key)
        except Exception:  # noqa: BLE001 - whatever a store raises: nobody else can save either
            return
        if latest is not None and latest.generation != record.generation:
            raise StaleRecordError(f"somebody else has rotated {self.account!r} meanwhile.")

    def _look_once_more(
        self, flight: _Flight, record: Record, journal: Pending, refusal: TokenRequestRefusedError
    ) -> TokenSet:
        """The server refused the refresh token. Whoever spent it may have left a better one."""
        for look in range(2):
            if look:
                self._clock.sleep(SECOND_LOOK)
            latest = self._store.load(self._key)
            if latest is not None and latest.generation != record.generation:
                flight.ambiguous = 0
                return self._look_again(flight)
        # Sent before, and never answered: inside the grace the server would have taken it again.
        is_over = self._clock.time() - journal.started_at >= self._server.rotation_grace
        reason: DeadReason = "answer_lost" if flight.ambiguous and is_over else "refused"
        dead = replace(record, pending=None, dead=journal.token_hash, dead_reason=reason)
        self._note_down(dead, flight)
        flight.note("refused", reason=reason, error=refusal.error)
        raise self._login_required(reason) from refusal.copied()

    # --- keeping what was brought -----------------------------------------------------------------

    def _saved(self, flight: _Flight, record: Record, token_set: TokenSet) -> TokenSet:
        """The token set, saved as the next generation of its login and published in any case."""
        rotated = Record(
            record.generation + 1,
            token_set,
            forced_at=self._clock.time() if flight.rejected else 0.0,
            taken_over=record.taken_over,
            login=record.login,
            authorized_at=record.authorized_at,
        )
        try:
            failure = self._keep(rotated, record)
        except StaleRecordError:  # somebody who does not hold the lock left something else there
            return self._look_again_after(flight)
        if failure:
            flight.note("store_failed", error=f"not saved: {failure}")
        return token_set

    def _keep(self, new: Record, before: Record | None) -> str:
        """Publish a record and save it: what went wrong, or "". A failed save is tried again later.

        Args:
            new: A rotation, or another login.
            before: What the store held when it was asked for.

        Raises:
            StaleRecordError: What the store holds by now counts more; nothing was done.
        """
        login, stands, failure = self._login, True, ""
        with login.saving:
            # First of all: whatever is raised from here on, the token stays.
            login.unsaved = new, before
            try:
                stands = self._save_unsaved(before)
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                failure = type(error).__name__
            finally:
                if stands:
                    login.snapshot = self._snapshot(new)
        if not stands:
            raise StaleRecordError(
                f"somebody else has changed the login {self.account!r} at the same moment, and "
                "theirs is kept. Use it, or log in again."
            )
        return failure

    def _save_unsaved(self, latest: Record | None) -> bool:
        """Whether what was not saved is saved now; not if `latest` counts more.

        The caller has `login.saving`. Raises what the store raises.
        """
        login = self._login
        assert login.unsaved is not None  # noqa: S101 - the callers' lock
        new, before = login.unsaved
        for _ in range(MOST_OVERTAKINGS):
            if not _may_replace(new, before, latest):
                break
            expected = latest.generation if latest else None
            new = replace(new, generation=max(new.generation, (expected or 0) + 1))
            with suppress(StaleRecordError):
                self._store.save(self._key, new, expected=expected)
                login.unsaved = None
                return True
            latest = self._store.load(self._key)
        else:
            raise _overtaken()
        login.unsaved = None
        return False

    def _still_unsaved(self) -> Record | None:
        """What cannot be saved, this time neither; None when everything is saved."""
        login = self._login
        with login.saving:
            if login.unsaved is None:
                return None
            new = login.unsaved[0]
            try:
                self._save_unsaved(self._store.load(self._key))
            except Exception:  # noqa: BLE001 - whatever a store raises, there will be another try
                return new
        return None

    def _keep_saving(self) -> None:
        """Returns when everything is saved, or with a last try when the process ends."""
        login = self._login
        with login.lock:
            if login.unsaved is None or login.is_saving:
                return
            login.is_saving = True
        try:
            for attempt in itertools.count():
                # A thread that is not ours has something else to do.
                is_ours = isinstance(threading.current_thread(), FlightThread)
                is_last = not is_ours or is_exiting()
                self._still_unsaved()
                with login.lock:  # whoever fails to save from now on keeps saving by himself
                    if login.unsaved is None or is_last:
                        login.is_saving = False
                        return
                self._clock.sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
        except BaseException:
            login.is_saving = False
            raise

    def _note_down(self, record: Record, flight: _Flight) -> None:
        """Keep what was learnt; the failure that is on its way to the callers matters more."""
        try:
            self._store.save(self._key, record, expected=record.generation)
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            flight.note("store_failed", error=f"not noted: {type(error).__name__}")

    def _snapshot(self, record: Record) -> _Snapshot:
        token_set = cast(TokenSet, record.token_set)
        # Saved by a clock that was ahead, it would seem to live longer than it was given.
        remaining = min(token_set.expires_at - self._clock.time(), token_set.lifetime)
        return _Snapshot(
            token_set,
            record,
            self._clock.monotonic() + remaining,
            random.random(),  # noqa: S311
        )

    def _hash(self, token: str) -> str:
        """Names a token without revealing it; the same for all who share the key."""
        return hashlib.sha256(f"{self._key.digest}:{token}".encode()).hexdigest()[:16]

    def _login_required(self, reason: DeadReason) -> LoginRequiredError:
        if reason == "answer_lost":
            text = (
                "the server answered a refresh, the answer was lost on its way, and this server "
                "takes no refresh token twice"
            )
            if grace := self._server.rotation_grace:
                text += f" after {grace / 60:.0f} minutes, in which nobody asked again"
        else:
            text = (
                "the server refuses the refresh token: the grant was revoked, was idle for 90 "
                "days, the password changed, or somebody who does not share this store has spent it"
            )
        return LoginRequiredError(
            f"the login {self.account!r} has to be renewed by a person: {text}. Open the URL of "
            "oauth_start(), then call oauth_complete(). Nothing was deleted.",
            reason=reason,
        )


def _token_set_of(record: Record | None) -> TokenSet | None:
    return record.token_set if record else None


def _is_older(record: Record, known: Record) -> bool:
    """Whether the record is a former state of the very login that is known."""
    is_same = record.login == known.login != ""
    return is_same and record.generation < known.generation


def _may_replace(new: Record, before: Record | None, latest: Record | None) -> bool:
    """Whether `new` may be saved over `latest`: nobody has decided anything since it was asked for.

    Args:
        new: A rotation, or another login.
        before: What it follows.
        latest: What the store holds now.
    """
    if latest is None or _is_older(latest, new):
        return True  # the store has lost what it held: forgetting would have left a record
    if before is None:
        return False
    if before.login != new.login and before.login == latest.login:
        return True  # another login replaces this one, rotated or not
    return (latest.generation, latest.token_set) == (before.generation, before.token_set)


def _overtaken() -> StaleRecordError:
    return StaleRecordError("somebody else is always faster in saving this login. Try again.")


def own_goal() -> ConfigurationError:
    """For whoever would wait for himself."""
    return ConfigurationError(
        "a token was asked for by what is fetching that token, and would wait for itself. A store, "
        "a client_secret function or a log handler must not use the client that it serves."
    )


def _not_saved(record: Record) -> TokenNotSavedError:
    return TokenNotSavedError(
        "the refresh token was rotated, but the new one cannot be saved. It is served from memory "
        "and saving it is tried again; repair the store before this process ends.",
        token_set=record.token_set,
    )
