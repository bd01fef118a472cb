"""Any sequence of events: the next request works, or a person truly has to log in.

A machine of hypothesis plays processes that share a FileTokenStore against the emulator; judge.py
says what must be true after each step.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import select
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuthError,
    TokenSet,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, together
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    CloseAfter,
    CloseBefore,
    CutBody,
    Hold,
    Status,
    TruncatedJSON,
)
from atlassian_auth_adapter.testing.state import shared_login

from .judge import HOUR, JudgedLogin
from .processes import Process, StoreFault, answer_of, forked
from .stores import outcome_of

DAY = 24 * HOUR

which = st.integers(0, 2)
spans = st.sampled_from([20.0, 61.0, 601.0, HOUR - 300, HOUR, 2 * HOUR, DAY, 40 * DAY, 91 * DAY])
jumps = st.sampled_from([-DAY, -2 * HOUR, -700.0, -60.0, 60.0, 700.0, 2 * HOUR, DAY])
after_rotation = [
    CloseAfter(),
    CutBody(),
    TruncatedJSON(),
    HTML(after=True),
    HTML(502, after=True),
    Status(500, after=True),
]
before_rotation = [CloseBefore(), HTML(), Status(500), Status(502)]
throttles = [Status(429, retry_after=3), Status(429, retry_after=900), Status(503, retry_after=60)]
faults = st.sampled_from(after_rotation + before_rotation + throttles)
failing_steps = st.sampled_from(
    [
        *({step} for step in ("load", "lock", "journal", "rotated", "note", "release")),
        {"journal", "rotated", "note", "authorization"},
        {"load", "lock", "journal", "rotated", "note", "authorization"},
    ]
)
store_errors = st.sampled_from(
    [TokenStoreError, TokenStoreUnavailableError, TokenStoreTimeoutError]
)
deaths = st.sampled_from(
    ["before journal", "after journal", "on its way", "answered", "before rotated", "after rotated"]
)


class AnySequence(JudgedLogin):
    """Processes that share one login, and what may happen to them."""

    # --- time -------------------------------------------------------------------------------------

    @rule(seconds=spans)
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(number=which, seconds=jumps)
    def a_wall_clock_jumps(self, number: int, seconds: float) -> None:
        self.clocks_agree = False
        self.processes[number % len(self.processes)].clock.ahead += seconds

    # --- requests ---------------------------------------------------------------------------------

    @rule(number=which)
    def request(self, number: int) -> None:
        self.succeeds(self.one(number))

    @rule(number=which)
    def request_with_an_expired_token(self, number: int) -> None:
        self.pass_time(HOUR)
        self.succeeds(self.one(number))

    @rule(all_expired=st.booleans())
    def all_at_once(self, all_expired: bool) -> None:
        """Threads of all processes ask; when nothing is broken, an expiry costs one refresh."""
        self.acting = list(self.processes)
        if all_expired:
            self.pass_time(HOUR)
        was_healthy, before = self.is_healthy, self.emulator.count("refresh_token")
        stored = self.stored()
        is_throttled = stored is not None and stored.throttled_until > self.time.time() - HOUR
        if not was_healthy or self.has_just_recovered or is_throttled or not self.clocks_agree:
            return
        callers = [process for process in self.processes for _ in range(2)]
        ends = together(len(callers), lambda i: outcome_of(callers[i].client.token_set))
        for process, end in zip(callers, ends, strict=True):
            assert isinstance(end, TokenSet) or not self.judge(end, process.known(), True)
        self.time.settle()
        assert self.emulator.count("refresh_token") - before <= 1

    @rule(number=which)
    def refresh(self, number: int) -> None:
        process, start = self.one(number), self.time.time()
        was_healthy = self.is_healthy
        end = self.attempt(process, process.client.refresh)
        if was_healthy and not isinstance(end, Exception):
            self.assert_issued_since(start)

    @rule(number=which, days=st.sampled_from([1 / 24, 7, 30]))
    def keep_alive(self, number: int, days: float) -> None:
        process = self.one(number)
        was_healthy = self.is_healthy
        end = self.attempt(process, lambda: process.client.refresh(older_than=days * DAY))
        if was_healthy and not isinstance(end, Exception) and self.clocks_agree:
            self.assert_issued_since(self.time.time() - days * DAY)

    def assert_issued_since(self, instant: float) -> None:
        stored = self.stored()
        assert stored is not None
        assert stored.token_set is not None
        token = self.side.grants.refresh_token(stored.token_set.refresh_token)
        assert token.issued_at >= instant, "it was not refreshed"

    @rule(number=which)
    def a_task_is_cancelled(self, number: int) -> None:
        """A task that waits for a refresh is cancelled; the refresh is not."""
        process = self.one(number)
        self.pass_time(HOUR)
        hold = Hold(after=True)
        self.emulator.faults.next("token", hold)

        async def main() -> None:
            task = asyncio.create_task(process.client.token_set_async())
            while not hold.arrived and not task.done():
                await asyncio.sleep(0.002)
            task.cancel()
            with suppress(asyncio.CancelledError, AtlassianAuthError):
                await task
            hold.release()

        assert outcome_of(lambda: asyncio.run(main())) is None
        self.the_server_recovers()

    # --- processes --------------------------------------------------------------------------------

    @precondition(lambda self: len(self.processes) < 3)
    @rule()
    def another_process(self) -> None:
        self.processes.append(self.process())

    @rule(number=which)
    def another_client(self, number: int) -> None:
        """It knows nothing until its own store gives it a login that its process knows."""
        process = self.one(number)
        first, second = process.client, process.make(process)
        process.clients.append(second)
        assert second.current() is None
        self.succeeds(process)
        states = shared_login(first), shared_login(second)
        has_loaded = states[0].login_id or states[1].login_id  # not while the store is broken
        share = states[0] is states[1]
        assert share or not has_loaded or states[0].login_id != states[1].login_id

    @rule(number=which)
    def restart(self, number: int) -> None:
        """A process ends, with what it could not save; a new one takes its place."""
        number %= len(self.processes)
        process = self.processes[number]
        self.end(process)
        gc.collect()
        self.processes[number] = self.process(process.number)
        assert self.processes[number].client.current() is None

    @rule(number=which, is_worker=st.booleans())
    def a_short_lived_process(self, number: int, is_worker: bool) -> None:
        """A forked child makes a request: with the memory of its parent, or with none."""
        process = self.one(number)
        if not is_worker:
            self.acting, process = [], self.process()
        was_healthy, start = self.is_healthy, self.time.monotonic()

        def work() -> Any:
            self.events.clear()
            self.time.forget_sleepers()
            end = outcome_of(process.client.test_connection)
            self.time.settle()
            slept = self.time.monotonic() - start
            return end, process.known(), bool(process.unsaved()), slept, self.events

        answer = answer_of(*forked(work))
        assert isinstance(answer, tuple), answer
        end, known, is_unsaved, slept, events = answer
        self.events += events
        self.pass_time(slept)
        if is_unsaved and known[0][1] not in {*self.held, *self.disk.saved()}:
            self.gone += 1
        if not was_healthy and isinstance(end, AccessDeniedError):
            return
        self.judge(end, known, was_healthy)

    @rule(death=deaths)
    def a_process_is_killed(self, death: str) -> None:
        """A forked child is killed in mid-refresh."""
        self.pass_time(HOUR)
        self.emulator.faults.clear()
        self.is_outage = False
        victim = self.process()
        victim.death = death
        hold = Hold(after=death == "answered")
        if death in ("on its way", "answered"):
            self.emulator.faults.next("token", hold)
        seen = self.emulator.count()
        saved = len(self.disk.saved())

        def work() -> None:
            self.time.forget_sleepers()
            outcome_of(victim.client.test_connection)
            self.time.settle()

        child, read = forked(work)
        try:
            while not hold.arrived and not select.select([read], [], [], 0.005)[0]:
                pass
        finally:
            os.kill(child, signal.SIGKILL)
            answer_of(child, read)
        held_up = hold.arrived
        self.emulator.faults.clear()
        deadline = time.monotonic() + PATIENCE
        while held_up and self.emulator.count() == seen:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        delivered = sum(request.status == 200 for request in self.emulator.token_requests[seen:])
        died_with_it = delivered - (len(self.disk.saved()) - saved)
        assert died_with_it in (0, 1)
        self.gone += died_with_it

    # --- the server -------------------------------------------------------------------------------

    @initialize(siblings=st.booleans())
    def login(self, siblings: bool) -> None:
        self.side.siblings_stay_valid = siblings
        self.logs_in(self.processes[0])

    @rule(number=which)
    def another_login(self, number: int) -> None:
        self.logs_in(self.one(number))

    def logs_in(self, process: Process) -> None:
        client = process.client
        url = self.attempt(process, client.oauth_start)
        if isinstance(url, str):
            redirect = self.side.authorize(url)
            self.attempt(process, lambda: client.oauth_complete(redirect))

    @rule(number=which)
    def a_person_logs_in_if_need_be(self, number: int) -> None:
        process = self.one(number)
        if not self.succeeds(process):
            self.logs_in(process)

    @rule(number=which)
    def forget(self, number: int) -> None:
        process = self.one(number)
        end = self.attempt(process, process.client.forget)
        if not isinstance(end, Exception):
            stored = self.stored()
            assert stored is None or stored == Login(
                stored.generation, stored.login_id, taken_over=stored.taken_over
            )

    @rule(number=which)
    def revoke(self, number: int) -> None:
        process = self.one(number)
        self.attempt(process, process.client.revoke)

    @rule(number=which)
    def a_login_is_taken_over(self, number: int) -> None:
        client, given = self.one(number).client, self.side.issue()["refresh_token"]
        self.attempt(
            self.acting[0], lambda: client.oauth2_retrieve_access_token(refresh_token=given)
        )

    @rule()
    def access_tokens_are_revoked(self) -> None:
        self.side.revoke_access_tokens()

    @rule()
    def the_grant_is_revoked(self) -> None:
        self.side.revoke_grants()

    @rule(
        number=which,
        fault=faults,
        times=st.sampled_from([1, 1, 1, 2, 3]),
        is_noticed=st.booleans(),
    )
    def token_answers_fail(self, number: int, fault: Any, times: int, is_noticed: bool) -> None:
        process = self.one(number)
        self.emulator.faults.next("token", fault, times)
        if is_noticed:
            self.pass_time(HOUR)
            self.succeeds(process)

    @rule(first=st.none() | st.sampled_from(after_rotation), fault=st.sampled_from(before_rotation))
    def an_outage(self, first: Any, fault: Any) -> None:
        self.is_outage = True
        if first:
            self.emulator.faults.next("token", first)
        self.emulator.faults.next("token", fault, None)

    @precondition(lambda self: self.is_outage or self.emulator.faults.pending("token"))
    @rule()
    def the_server_recovers(self) -> None:
        self.is_outage = False
        self.emulator.faults.clear()

    # --- the store --------------------------------------------------------------------------------

    @precondition(lambda self: not self.disk.is_broken)
    @rule(
        number=which,
        is_alone=st.booleans(),
        steps=failing_steps,
        error=store_errors,
        left=st.sampled_from([1, 2, math.inf]),
        is_done_all_the_same=st.booleans(),
        is_noticed=st.booleans(),
    )
    def the_store_breaks(
        self,
        number: int,
        is_alone: bool,
        steps: set[str],
        error: type[TokenStoreError],
        left: float,
        is_done_all_the_same: bool,
        is_noticed: bool,
    ) -> None:
        process = self.one(number)
        if error is TokenStoreTimeoutError:
            steps = steps & {"lock"} or {"lock"}
        alone = process.number if is_alone else None
        self.disk.fault = StoreFault(frozenset(steps), error, left, is_done_all_the_same, alone)
        if is_noticed:
            self.pass_time(HOUR)
            self.refuses_all = self.disk.refuses_all
            self.succeeds(process)

    @precondition(lambda self: not self.disk.is_broken)
    @rule(number=which, step=st.sampled_from(["journal", "rotated"]), is_alone=st.booleans())
    def a_refresh_is_not_kept(self, number: int, step: str, is_alone: bool) -> None:
        process = self.one(number)
        alone = process.number if is_alone else None
        self.disk.fault = StoreFault(frozenset({step}), TokenStoreError, math.inf, number=alone)
        self.pass_time(HOUR)
        self.refuses_all = self.disk.refuses_all
        self.succeeds(process)

    @precondition(lambda self: self.disk.is_broken)
    @rule()
    def the_store_recovers(self) -> None:
        """The store works again, for long enough that what saves later has noticed."""
        self.disk.fault, self.refuses_all = None, False
        self.pass_time(16)

    @property
    def file(self) -> Path:
        return self.disk.path / "tokens" / f"{self.processes[0].client.token_key.name}.json"

    @precondition(lambda self: self.file.exists())
    @rule()
    def the_store_is_backed_up(self) -> None:
        self.backup = self.file.read_bytes()

    def witnesses(self) -> list[Process]:
        """The processes that know the newest token set on record, and that the backup is older."""
        stored = self.stored()
        if not self.backup or stored is None or stored.token_set is None:
            return []
        newer, now = stored, self.file.read_bytes()
        self.put(self.backup)
        older = self.stored()
        self.put(now)
        if older is None or not older.precedes(newer):
            return []
        return [
            process
            for process in self.processes
            if (snapshot := shared_login(process.client).snapshot)
            and snapshot.login.token_set == newer.token_set
        ]

    def put(self, data: bytes) -> None:
        temporary = self.file.with_suffix(".put")
        temporary.touch(0o600)
        temporary.write_bytes(data)
        temporary.replace(self.file)

    # A store that falls back while no process knows better, or the one that does comes second, ends
    # the login: its spent refresh token is sent in good faith. No client can help that.
    @precondition(lambda self: not self.disk.is_broken and self.witnesses())
    @rule(seconds=spans)
    def the_store_falls_back(self, seconds: float) -> None:
        process = self.witnesses()[0]
        self.acting = [process]
        self.put(self.backup)
        self.pass_time(seconds)
        self.attempt(process, process.client.refresh)


class Cloud(AnySequence):
    """A spent refresh token may be sent again for ten minutes; later it ends the login."""

    flavour = "cloud"


class DataCenter(AnySequence):
    """A refresh token is good for one request."""

    flavour = "data_center"


@pytest.fixture
def _threads_of_dead_processes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their SystemExit is not kept by pytest, and with its frames what those processes knew."""
    hook = threading.excepthook

    def without_exits(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            hook(args)

    monkeypatch.setattr(threading, "excepthook", without_exits)


@pytest.mark.longer
@pytest.mark.usefixtures("_threads_of_dead_processes_end")
@pytest.mark.parametrize("machine", [Cloud, DataCenter])
def test_any_sequence(
    machine: type[AnySequence], caplog: pytest.LogCaptureFixture, pytestconfig: pytest.Config
) -> None:
    """Expiry, revocation, lost answers, cancellation, kills, restarts, wrong clocks, stores that
    fail or fall back, in any order: no login is lost that need not be, and no secret is told.
    """
    caplog.set_level(logging.CRITICAL, "atlassian_auth_adapter")  # thousands of warnings
    examples = 50 if pytestconfig.getoption("slow") else 4
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30)
    )
