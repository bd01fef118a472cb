"""RefreshingTokenSource: hands out the token set of one login, and refreshes it."""

from __future__ import annotations

import contextvars
import math
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from atlassian_auth_adapter.clock import SYSTEM_CLOCK, Clock
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    FreshTokenRejectedError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.expiry import NO_LIMITS, Freshness
from atlassian_auth_adapter.records import Login, TokenKey, load as load_record
from atlassian_auth_adapter.refresh import protocol
from atlassian_auth_adapter.refresh.driver import FLIGHTS, Driver, Parties, finished
from atlassian_auth_adapter.refresh.login import AnotherLoginError, Flight, Membership, SharedLogin
from atlassian_auth_adapter.refresh.saving import not_saved
from atlassian_auth_adapter.refresh.steps import (
    Protocol,
    Request,
    Rules,
    Snapshot,
    token_set_of,
)
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.threads import (
    NotDoneError,
    is_exiting,
    may_rest,
    reentrancy_error,
    result_of,
    run_in_thread,
    started,
    wait,
    wait_async,
)
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["RefreshingTokenSource"]

T = TypeVar("T")

#: Seconds before a refresh in the background is tried again after one has failed.
BACKGROUND_BACKOFF = 30.0
#: Seconds for which requests fail at once with the error of the last flight, if the token endpoint
#: gave no usable answer for as long as it may be asked, refuses the registration, or cannot be
#: reached because something else answers.
REMEMBERED_FAILURE = 5.0
#: Seconds before the end of a login at which it is announced, and between two announcements.
REAUTHORIZATION_NOTICE, REAUTHORIZATION_REMINDER = 14 * 86400.0, 86400.0


class RefreshingTokenSource:
    """Hands out the token set of one login and refreshes it. Threads and event loops share it.

    Args:
        rules: Of the login and its authorization server.
        parties: Store, clock, token endpoint, and who is told of events.
    """

    __slots__ = ("_failure", "_membership", "_parties", "_rules")

    def __init__(self, rules: Rules, parties: Parties) -> None:
        self._rules, self._parties = rules, parties
        self._membership = Membership(rules.key, parties.store)
        # The error of the last flight of this source, and until when (monotonic) it is raised
        # again without a request. One assignment replaces both.
        self._failure: tuple[AtlassianAuthError, float] | None = None

    @property
    def key(self) -> TokenKey:
        """Which login."""
        return self._rules.key

    @property
    def known(self) -> Membership:
        """For `TokenSource.quick_look`."""
        return self._membership

    @property
    def _clock(self) -> Clock:
        return self._parties.clock

    @property
    def _max_wait(self) -> float:
        return self._parties.max_wait

    @property
    def _shared(self) -> SharedLogin:
        return self._membership.shared

    # --- what callers see -------------------------------------------------------------------------

    def current(self) -> TokenSet | None:
        """The token set known to this process. Never blocks."""
        snapshot = self._membership.snapshot
        return snapshot.login.token_set if snapshot else None

    def fresh(self) -> TokenSet | None:
        """As `TokenSource.fresh`."""
        membership = self._membership
        known, token_set, end, deadline = membership.limits
        is_fresh = time.time() < end and time.monotonic() < deadline
        if is_fresh and known is membership.shared.snapshot:  # as nearly always
            return token_set
        snapshot, clock, policy = membership.snapshot, self._parties.clock, self._rules.expiry
        if snapshot is None:
            return None
        if clock is SYSTEM_CLOCK and known is not snapshot:
            token_set, end, deadline, window = snapshot.limits(policy)
            window += 1.0  # so that rounding never makes it longer
            membership.limits = snapshot, token_set, end - window, deadline - window
        return snapshot.fresh(clock.time(), clock.monotonic(), policy)

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """As `TokenSource.token_set`."""
        rejected = rejected and SecretText(rejected)
        while True:
            found = self._token_set_or_flight(rejected)
            if isinstance(found, TokenSet):
                return found.checked()
            wait(found.future, found.seconds_left(self._max_wait))
            if token_set := self._answer_of(found, rejected):
                return token_set.checked()

    async def token_set_async(self, rejected: str | None = None) -> TokenSet:
        """As `TokenSource.token_set_async`; no thread is occupied while it waits."""
        rejected = rejected and SecretText(rejected)
        while True:
            found = self._token_set_or_flight(rejected)
            if isinstance(found, TokenSet):
                return found.checked()
            await wait_async(found.future, found.seconds_left(self._max_wait))
            if token_set := self._answer_of(found, rejected):
                return token_set.checked()

    def refresh(self, older_than: float = 0.0) -> TokenSet:
        """Refresh, however fresh the token set is, unless it is at most so many seconds old.

        Raises as `token_set` does.
        """
        now = self._clock.time()
        before = now - older_than
        if older_than:
            login, _ = load_record(self._parties.store, self._rules.key, Login)
            unsaved = self._shared.unsaved
            token_set = unsaved.login.token_set if unsaved else login and login.token_set
            # A token set from the future was obtained with a clock that was ahead: its age is not
            # known.
            if token_set and before <= token_set.obtained_at <= now:
                return token_set
        flight = self._join_or_start(self._request(obtained_before=before))
        wait(flight.future, self._max_wait)
        return (self._answer_of(flight, None) or self.token_set()).checked()

    def sign_in(self, exchange: Callable[[], TokenSet]) -> TokenSet:
        """Replace the login by the token set that `exchange` returns, under the store's lock.

        Raises:
            TokenNotSavedError: The token set is there, but could not be saved.
        """
        return self._perform(protocol.sign_in(self._request()), lambda _: exchange())

    def take_over(self, refresh_token: str, scope: str) -> TokenSet:
        """The token set of a login that began elsewhere with this refresh token; spent once.

        Raises:
            TokenRequestRefusedError: The server refuses it; what is stored stays as it is.
        """
        request = self._request()
        steps = protocol.take_over(refresh_token, scope, request, self._rules)
        return self._perform(steps, max_wait=self._max_wait).checked()

    def forget(self, revoke: Callable[[TokenSet], object] | None = None) -> None:
        """Forget the login; before that `revoke` is called with it, while nothing can renew it."""
        self._perform(protocol.forget(revoke is not None), revoke)

    def has_ended(self, token_set: TokenSet) -> bool:
        """Whether the token set is past its end by now, without any margin."""
        return self._clock.time() >= token_set.expires_at

    def freshness_of(self, login: Login) -> Freshness:
        """What may be done with the token set of a record, by the wall clock."""
        now = self._parties.now()
        return Snapshot.of(login, now).freshness(now.wall, now.monotonic, self._rules.expiry)

    def join_process(self, process: object) -> None:
        """Forget what is known, and share memory with the sources that join the same object.

        For tests, in which one process plays several.
        """
        self._membership.limits = NO_LIMITS  # auth objects look at both: they have to ask now
        self._membership.shared = SharedLogin()
        self._membership = Membership(self._rules.key, self._parties.store, process)

    # --- one flight for all who wait --------------------------------------------------------------

    def _token_set_or_flight(self, rejected: str | None) -> TokenSet | Flight:
        """A token set to use at once, or the flight that gets one. Does no I/O."""
        shared, snapshot = self._shared, self._membership.snapshot
        if snapshot is not None:
            token_set = token_set_of(snapshot.login)
            if token_set.access_token != rejected:
                freshness = snapshot.freshness(
                    self._clock.time(), self._clock.monotonic(), self._rules.expiry
                )
                if freshness is Freshness.FRESH:
                    return token_set
                if freshness is Freshness.STALE:
                    self._refresh_in_background(shared, snapshot)
                    return token_set
        remembered = self._failure  # read once: a flight may forget it at any moment
        if remembered is not None and self._is_ahead(remembered[1], REMEMBERED_FAILURE):
            raise remembered[0].copied()
        return self._join_or_start(self._request(rejected=rejected), seen=snapshot)

    def _refresh_in_background(self, shared: SharedLogin, seen: Snapshot) -> None:
        """Start a flight for which no caller waits, unless one is under way or has just failed."""
        may_start = not self._is_ahead(shared.quiet_until, BACKGROUND_BACKOFF)
        if shared.flight_under_way() is None and may_start and not is_exiting():
            self._join_or_start(self._request(only=seen.login.named(self._rules.key)), seen=seen)

    def _join_or_start(self, request: Request, *, seen: Snapshot | None = None) -> Flight:
        """The flight under way, or one that starts now.

        If another snapshot than `seen` is known by now, its token set is the answer at once.
        """
        waiters = 0 if request.only else 1
        flight = Flight(request, self, self._clock.monotonic(), waiters=waiters)
        shared = self._shared
        with shared.lock:
            if under_way := shared.flight_under_way():
                if under_way.thread == threading.get_ident():
                    raise reentrancy_error()
                under_way.waiters += waiters
                return under_way
            latest = self._membership.snapshot
            is_forced = request.obtained_before > -math.inf
            if latest is not None and latest is not seen and not is_forced:
                flight.answer(latest.login, token_set_of(latest.login))
                return flight
            # Other callers can join it only when its thread is sure to run: after Ctrl-C at any
            # line none of them waits for a flight that never ends.
            if self._start(flight):
                shared.flight = flight
                return flight
        if waiters:
            finished(self._run(flight, on_callers_thread=True))
        return flight

    def _start(self, flight: Flight) -> bool:
        """Let a thread perform the flight; False if no thread can be started."""
        if FLIGHTS.has_thread(threading.current_thread()):
            # Another flight is waiting for this one, such as that which fetches the client secret:
            # it must not wait for that thread.
            return started(lambda: finished(self._run(flight)))
        yields = hasattr(self._clock, "call_later")
        return self._go_on(self._run(flight, yields=yields), flight)

    def _go_on(self, performance: Generator[float, None, None], flight: Flight) -> bool:
        """Let a thread go on with a flight, as soon as one is free; False if none can start."""

        def go_on() -> None:
            flight.thread = threading.get_ident()
            before = may_rest.set(flight.may_rest)
            try:
                pause = next(performance, None)
            finally:
                flight.thread = 0
                may_rest.reset(before)
            if pause is None:
                return
            # In the caller's context: the store may be that of the tenant of the moment.
            if not later(pause, partial(contextvars.copy_context().run, resume)):
                self._clock.sleep(pause)
                resume()

        def resume() -> None:
            if not self._go_on(performance, flight):
                go_on()

        later: Callable[..., bool] = getattr(self._clock, "call_later", lambda *_: False)
        is_urgent = not flight.may_rest()
        return FLIGHTS.start(go_on, self._rules.server.issuer, is_urgent=is_urgent)

    def _run(
        self, flight: Flight, *, on_callers_thread: bool = False, yields: bool = False
    ) -> Generator[float, None, None]:
        """Perform the flight; yields seconds after which to go on with it, if it may."""
        flight.thread = threading.get_ident()
        driver = Driver(
            self._parties,
            self._rules.key,
            self._shared,
            self._membership,
            flight,
            on_callers_thread,
            yields,
        )
        backoff = 0.0
        try:
            token_set = yield from driver.perform(protocol.refresh(flight.request, self._rules))
            if not flight.future.done():
                flight.login_id = driver.shared.login_id
                flight.future.set_result(token_set)
            self._failure = None
        except GeneratorExit:
            raise  # of a forked child, which does not go on with it
        except BaseException as error:  # noqa: BLE001 - raised in the callers that wait
            backoff = BACKGROUND_BACKOFF
            self._end_with(flight, error, driver.shared)
        with driver.shared.lock:
            driver.shared.quiet_until = self._clock.monotonic() + backoff if backoff else 0.0
            if driver.shared.flight is flight:
                driver.shared.flight = None
        self._report_reauthorization_due(driver)
        driver.report_events()
        yield from self._save_later(driver)

    def _end_with(self, flight: Flight, error: BaseException, shared: SharedLogin) -> None:
        """Report the error, remember it if another request would end alike, and raise it."""
        match error:
            case FreshTokenRejectedError() | TokenStoreTimeoutError():
                pass  # nothing was sent for the first; the second was reported as lock_timeout
            case TokenRequestRefusedError():
                self._remember(error)
            case TokenEndpointUnavailableError(outcome="throttled"):
                flight.events.append(("throttled", {"error": str(error)}))
            case TokenEndpointUnavailableError():
                flight.events.append(("unavailable", {"error": str(error)}))
                if error.outcome == "ambiguous" or error.status:
                    self._remember(error)
            case TokenStoreError():
                flight.events.append(("store_failed", {"error": str(error)}))
                if shared.unsaved:
                    error = not_saved(shared.unsaved.login)
            case _:
                pass
        if not flight.future.done():
            flight.future.set_exception(error)

    def _remember(self, error: AtlassianAuthError) -> None:
        self._failure = error.copied(), self._clock.monotonic() + REMEMBERED_FAILURE

    def _answer_of(self, flight: Flight, rejected: str | None) -> TokenSet | None:
        """The answer of a flight, if it is for this source; None: ask again.

        Raises the error of the flight, or one that says why it takes so long.
        """
        try:
            token_set = result_of(flight.future)
        except NotDoneError:
            raise flight.too_slow(self._rules.key.account, self._max_wait) from None
        except (ConfigurationError, TokenRequestRefusedError):
            if flight.owner is self:
                raise
            return None  # another client's secret was wrong; this one has its own
        except AnotherLoginError:
            return None
        if flight.owner is not self:
            if flight.login_id != self._shared.login_id:
                self._shared.leave()  # the other client's store has another login: load our own
                return None
            if self._membership.snapshot is None:  # its store has brought it: look into our own
                return None
        return None if token_set.access_token == rejected else token_set

    # --- other protocols --------------------------------------------------------------------------

    def _perform(
        self,
        steps: Protocol[T],
        send: Callable[[TokenSet], object] | None = None,
        *,
        max_wait: float | None = None,
    ) -> T:
        """The result of another protocol, which runs on a thread of its own to its end."""
        parties = replace(self._parties, send=send) if send else self._parties
        flight = Flight(Request(), self, self._clock.monotonic())
        driver = Driver(
            parties, self._rules.key, self._shared, self._membership, flight, replaces=True
        )

        def work() -> T:
            try:
                return finished(driver.perform(steps))
            finally:
                self._failure = None
                driver.report_events()

        def save_later(_: object) -> None:
            if driver.shared.unsaved:
                driver.yields = hasattr(self._clock, "call_later")
                self._go_on(self._save_later(driver), flight)

        future = run_in_thread(work)
        future.add_done_callback(save_later)
        wait(future, max_wait)
        try:
            return result_of(future)
        except NotDoneError:
            raise driver.flight.too_slow(self._rules.key.account, max_wait or 0.0) from None

    def _save_later(self, driver: Driver) -> Generator[float, None, None]:
        """Return when everything is saved, or after a last try when the process ends."""
        shared = driver.shared
        while True:
            with shared.lock:
                unsaved = shared.unsaved
                if unsaved is None or shared.has_saver:
                    return
                shared.has_saver = True
            saver = Driver(
                driver.parties,
                driver.key,
                shared,
                None,
                driver.flight,
                driver.on_callers_thread,
                driver.yields,
            )
            try:
                yield from saver.perform(protocol.save_later(unsaved, self._request(), self._rules))
            finally:
                shared.has_saver = False  # no lock: perhaps a child that is being forked drops it
            if shared.unsaved is unsaved:
                return

    # --- details ----------------------------------------------------------------------------------

    def _is_ahead(self, until: float, most: float) -> bool:
        """Whether that monotonic time is to come, within so many seconds.

        What is further ahead was noted by another clock: a test library has replaced it since.
        """
        return 0 < until - self._clock.monotonic() <= most

    def _request(
        self,
        *,
        rejected: str | None = None,
        obtained_before: float = -math.inf,
        only: str = "",
    ) -> Request:
        return Request(
            rejected,
            obtained_before,
            only=only,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            login_id=secrets.token_hex(8),
            jitter_share=random.random(),  # noqa: S311 - it only spreads the load
        )

    def _report_reauthorization_due(self, driver: Driver) -> None:
        """Report once a day that a person has to sign in soon."""
        now, shared = self._parties.now(), driver.shared
        with shared.lock:
            snapshot, last = shared.snapshot, shared.reminded_at
            if snapshot is None or 0 <= now.monotonic - last < REAUTHORIZATION_REMINDER:
                return
            end = self._rules.server.reauthorize_by(
                token_set_of(snapshot.login).obtained_at, snapshot.login.authorized_at
            )
            if end - now.wall > REAUTHORIZATION_NOTICE:
                return
            shared.reminded_at = now.monotonic
        driver.flight.events.append(("reauthorization_due", {"reauthorize_by": end}))
