"""Driver: performs the steps of a protocol with a store, a clock and a token endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from atlassian_auth_adapter import records
from atlassian_auth_adapter.clock import Clock
from atlassian_auth_adapter.errors import (
    StaleRecordError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.events import Event, OnEvent, report
from atlassian_auth_adapter.records import Login, TokenKey
from atlassian_auth_adapter.refresh import steps
from atlassian_auth_adapter.refresh.login import (
    AnotherLoginError,
    Flight,
    Membership,
    SharedLogin,
    count_replaced_login,
    replaced_logins,
)
from atlassian_auth_adapter.refresh.steps import Instant, Protocol
from atlassian_auth_adapter.stores.base import TokenStore, ask
from atlassian_auth_adapter.threads import holding_exit, is_exiting, rest
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.workers import Workers

__all__ = ["FLIGHTS", "Driver", "Parties", "finished"]

T = TypeVar("T")

#: Seconds to wait for the store's lock before looking whether the process ends.
LOCK_SLICE = 1.0
#: The threads of all flights: a lane for each authorization server. A thread more sends the request
#: of each, so that a process has 96 threads for refreshes at most.
FLIGHTS = Workers(48, lanes=64)
#: Seconds for which the exit of the process waits, so that the answer to a request is saved.
TIME_TO_SAVE = 10.0


@dataclass(frozen=True, slots=True)
class Parties:
    """What takes part in the refreshes of all logins of an app.

    Attributes:
        store: Where logins are kept.
        clock: The time.
        send: Sends one token request for a token set and returns the answer.
        send_timeout: Seconds after which it has ended.
        lock_timeout: Seconds to wait for the store's lock.
        max_wait: Seconds that a caller waits for a refresh at most.
        on_event: Called with every Event, outside every lock.
    """

    store: TokenStore
    clock: Clock
    send: Callable[[TokenSet], Any]
    send_timeout: float
    lock_timeout: float
    max_wait: float
    on_event: OnEvent | None

    def now(self) -> Instant:
        """The time by both clocks."""
        return Instant(self.clock.time(), self.clock.monotonic())


@dataclass(slots=True)
class Driver:
    """Performs one protocol, on the thread that calls `perform`.

    Attributes:
        parties: Store, clock, token endpoint.
        key: Which login.
        shared: What the process knows of the login.
        membership: Of the source; joins the login that is loaded. None: `shared` stays.
        flight: Gets the answer and the events.
        replaces: Whether the protocol replaces or forgets the login.
        on_callers_thread: Whether the caller's thread performs it, because no thread could be
            started: once the answer is there, it does not sleep.
        yields: Whether it may yield. Then a wait occupies no thread, unless the lock is held, which
            may belong to its thread.
    """

    parties: Parties
    key: TokenKey
    shared: SharedLogin
    membership: Membership | None
    flight: Flight
    on_callers_thread: bool = False
    yields: bool = False
    replaces: bool = False
    _replaced_logins: int = 0  # of the process, at the last load
    _stored: str = ""  # name of the login that was loaded or saved last
    _is_locked: bool = False
    _exit: ExitStack = field(default_factory=ExitStack)

    def perform(self, protocol: Protocol[T]) -> Generator[float, None, T]:
        """What the protocol returns; raises what it raises.

        Yields seconds, if it may: go on with it after that time, on any thread.
        """
        reply: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = protocol.send(reply) if failure is None else protocol.throw(failure)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = failure = None
            try:
                reply = yield from self._reply(step)
            except Exception as error:  # noqa: BLE001 - the protocol decides what it means
                failure = error

    def _reply(self, step: steps.Step) -> Generator[float, None, Any]:
        self.flight.doing = type(step).__name__
        rest()
        parties = self.parties
        match step:
            case steps.Recall():
                return steps.Seen(None, None, self._memory(), parties.now())
            case steps.Load(joins):
                self._replaced_logins = replaced_logins()
                login, version = self._load()
                self._stored = login.named(self.key) if login else ""
                if joins:
                    self._join(login)
                memory = self._memory() if joins else self.shared.memory()
                return steps.Seen(login, version, memory, parties.now())
            case steps.Save():
                self._check_place(step)
                records.save(parties.store, self.key, step.login, expected=step.expected)
                self._stored = step.login.named(self.key)
                return parties.now()
            case steps.Delete():
                return ask(parties.store, lambda: parties.store.delete(self.key.name))
            case steps.Send():
                return self._send(step)
            case steps.Sleep(seconds):
                if is_exiting() or (self.on_callers_thread and self.flight.future.done()):
                    return False
                if self.yields and not self._is_locked:
                    yield seconds
                else:
                    parties.clock.sleep(seconds)
                return not is_exiting()
            case steps.Hold(unsaved):
                self.flight.has_unsaved = unsaved is not None
                if unsaved:
                    self._join(unsaved.login)
                return self.shared.hold(unsaved)
            case steps.Publish(login):
                return self._publish(login)
            case steps.Report(name, fields):
                return self.flight.events.append((name, dict(fields)))
            case steps.Locked(attempt):
                return (yield from self._locked(attempt))

    def _load(self) -> tuple[Login | None, int | None]:
        parties = self.parties
        return records.load(parties.store, self.key, Login)

    def _check_place(self, step: steps.Save) -> None:
        """Raise if another login is stored than the one that was found there last.

        Compare-and-swap alone does not notice: a store of the current tenant may be another
        tenant's by now, with the same version or with no login.
        """
        if step.expected is None and not self.flight.request.only:
            return
        login, _ = self._load()
        if login is None:
            if self.flight.request.only:
                raise AnotherLoginError
            return
        self._check(login)
        if login.named(self.key) != self._stored:
            raise StaleRecordError("another login is stored by now. Nothing was changed.")

    def _check(self, login: Login) -> None:
        """Raise if the login is not the one that this flight is for."""
        request = self.flight.request
        # A login without a name gets that of the request with its journal.
        names = request.only, request.login_id
        if request.only and login.named(self.key) not in names:
            raise AnotherLoginError

    def _join(self, login: Login | None) -> None:
        if login is not None:
            self._check(login)
        if self.membership is not None:
            is_for_all = not (self.replaces or self.on_callers_thread)
            self.shared = self.membership.join(login, self.flight if is_for_all else None)

    def _memory(self) -> steps.Memory:
        membership = self.membership
        return membership.memory_of(self.shared) if membership else self.shared.memory()

    def _publish(self, login: Login | None) -> None:
        if self.replaces:
            count_replaced_login()
        elif not self._is_locked and self._replaced_logins != replaced_logins():
            raise AnotherLoginError
        self._join(login)
        self.shared.publish(login, self.parties.now(), self.parties.store)
        if login and login.token_set:
            self.flight.answer(login, login.token_set)

    def _send(self, step: steps.Send) -> Any:
        if step.since is not None and self.parties.now().since(step.since) > steps.FENCE:
            raise steps.PausedError
        # From here on the process does not end before the answer is saved.
        self._exit.enter_context(holding_exit(self.parties.send_timeout + TIME_TO_SAVE))
        # The main thread ends after this; for another one there may be no time to save the answer.
        if is_exiting() and threading.current_thread() is not threading.main_thread():
            raise TokenEndpointUnavailableError(
                "the process is ending, so that nothing was sent. Nothing is lost.",
                outcome="not_sent",
            )
        try:
            brought = self.parties.send(step.token_set)
        except TokenEndpointError as error:
            self.flight.failure = error
            raise
        self.flight.has_unsaved = True
        return brought

    def _locked(self, attempt: Callable[[Instant], Protocol[T]]) -> Generator[float, None, T]:
        results: list[T] = []
        try:
            with ExitStack() as stack:
                locked_at = yield from self._enter_lock(stack)
                self._is_locked = True
                with self._exit:
                    results.append((yield from self.perform(attempt(locked_at))))
        except Exception as error:
            if not results:
                raise
            text = f"lock not released: {type(error).__name__}"
            self.flight.events.append(("store_failed", {"error": text}))
        finally:
            self._is_locked = False
        if self.flight.future.done():
            self.report_events()
        return results[0]

    def _enter_lock(self, stack: ExitStack) -> Generator[float, None, Instant]:
        """Take the store's lock and return when it was asked for; gives up if the process ends.

        It may wait for the lock on its thread, unless other flights wait for a thread.
        """
        parties, waited = self.parties, 0.0
        while True:
            yields = self.yields and FLIGHTS.is_busy
            lock = partial(parties.store.lock, self.key.name, timeout=0.0 if yields else LOCK_SLICE)
            asked_at = parties.now()
            try:
                ask(parties.store, partial(_entered, stack, lock))
            except TokenStoreTimeoutError:
                waited += LOCK_SLICE
            else:
                return asked_at
            if yields:
                yield LOCK_SLICE
            if waited >= parties.lock_timeout or is_exiting():
                raise TokenStoreTimeoutError(
                    "another process or thread has held the lock of the login "
                    f"{self.key.account!r} for {waited:g} s. Look for a process that hangs; "
                    "nothing is lost."
                )

    def report_events(self) -> None:
        """Report what has happened; call it without a lock."""
        flight, clock = self.flight, self.parties.clock
        events, flight.events = flight.events, []
        for name, fields in events:
            fields |= {"duration": clock.monotonic() - flight.began, "waiters": flight.waiters}
            event = Event(name, self.key.account, MappingProxyType(fields))
            report(self.parties.on_event, event)


def _entered(stack: ExitStack, lock: Callable[[], AbstractContextManager[None]]) -> None:
    stack.enter_context(lock())


def finished(performance: Generator[float, None, T]) -> T:
    """What a driver that does not yield brings."""
    try:
        next(performance)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a driver has yielded that must not")
