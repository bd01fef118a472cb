"""Any sequence of events: the next request works, or a person truly has to log in.

A machine of hypothesis plays processes that share a FileTokenStore against the emulator, which is
also the judge: whether a login is lost is asked of the server's books, never of the library. After
each step, when every flight has ended:

1.  No process has sent a refresh token whose successor it could know: one that the store had held
    before the step, or that was in the sender's own memory. So no reuse after the grace reaches the
    server, with one exception, in which nothing was left to lose: the answer that carried the
    successor reached no process that lived long enough to save it, and for the whole grace no
    process asked again. The successor of a killed process cannot know that; it has to send what is
    on record. (Data Center has no grace, so there the exception is every lost answer.)
2.  Rotations and token sets saved are equal in number. Each token answer that reached a process
    whole has its token set saved once, unless it is still in that process's memory because the
    store does not take it or holds another login by now, died there with the process, or has come
    too late: another process had changed the login meanwhile, and the store says so.
3.  Nothing is spent while the store cannot be locked, read or written.
4.  No event holds a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import math
import os
import pickle
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuthError,
    AtlassianOAuthClient,
    CloudEnvironment,
    FileTokenStore,
    Identity,
    LoginRequiredError,
    TokenEndpointUnavailableError,
    TokenSet,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
    create_atlassian_oauth_client,
    records,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.login import SharedLogin
from atlassian_auth_adapter.refresh.source import REMEMBERED_FAILURE
from atlassian_auth_adapter.refresh.steps import Unsaved
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, forking
from atlassian_auth_adapter.testing.emulator import (
    HTML,
    CloseAfter,
    CloseBefore,
    CutBody,
    Hold,
    Status,
    TruncatedJSON,
)
from atlassian_auth_adapter.testing.state import (
    is_saving_later,
    separate_process_state,
    shared_login,
)

HOUR, DAY = 3600.0, 86400.0
#: A token set by its place in the books of the server: family and generation.
Place = tuple[str, int]


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
class Trouble:
    """What the store does not do, `left` times; for one process only, if it has that number."""

    steps: frozenset[str]
    error: type[TokenStoreError]
    left: float
    is_done_all_the_same: bool = False  # the work, of which only the acknowledgement is lost
    number: int | None = None

    def befalls(self, step: str, number: int) -> None:
        if step in self.steps and self.left > 0 and self.number in (None, number):
            self.left -= 1
            raise self.error("broken by the test")


@dataclass(eq=False)
class Disk:
    """Where all processes keep the login."""

    path: Path
    trouble: Trouble | None = None

    @property
    def is_broken(self) -> bool:
        return self.trouble is not None and self.trouble.left > 0

    @property
    def takes_nothing(self) -> bool:
        """Whether it will fail, until it is mended, before anything may be spent."""
        trouble = self.trouble
        return (
            trouble is not None
            and (trouble.left, trouble.number) == (math.inf, None)
            and not trouble.steps.isdisjoint({"load", "lock", "journal"})
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

    def befalls(self, step: str) -> None:
        if self.disk.trouble:
            self.disk.trouble.befalls(step, self.process.number)

    def load(self, name: str) -> Entry | None:
        self.befalls("load")
        return self.inner.load(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        key = self.process.client.token_key
        login = records.read(text, key, Login, "test") if name == key.name else None
        step = self.kind_of(login)
        self.process.meets(f"before {step}")
        trouble = self.disk.trouble
        if trouble is None or not trouble.is_done_all_the_same:
            self.befalls(step)
        self.inner.save(name, text, expected=expected)
        if login:
            self.disk.note(login)
        self.process.meets(f"after {step}")
        self.befalls(step)

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
        self.befalls("lock")
        with self.inner.lock(name, timeout=timeout):
            yield
        self.befalls("release")


@dataclass(eq=False)
class Process:
    """Clients that share a memory. `fate` names the moment at which a forked one is killed."""

    number: int
    disk: Disk
    clock: Clock
    make: Callable[[Process], AtlassianOAuthClient]
    fate: str = ""
    clients: list[AtlassianOAuthClient] = field(default_factory=list)
    #: What was seen of its memory: a client that has found another login leaves what it could not
    #: save with a thread.
    seen: set[SharedLogin] = field(default_factory=set)

    def meets(self, moment: str) -> None:
        if moment == self.fate:
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


def ended(work: Callable[[], Any]) -> Any:
    """What the work returns or raises; fails when it hangs."""
    ends: list[Any] = []

    def run() -> None:
        try:
            ends.append(work())
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert ends, "this waits for ever"
    return ends[0]


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


# --- the machine ----------------------------------------------------------------------------------

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
weathers = st.sampled_from(after_rotation + before_rotation + throttles)
troubles = st.sampled_from(
    [
        *({step} for step in ("load", "lock", "journal", "rotated", "note", "release")),
        {"journal", "rotated", "note", "authorization"},
        {"load", "lock", "journal", "rotated", "note", "authorization"},
    ]
)
store_errors = st.sampled_from(
    [TokenStoreError, TokenStoreUnavailableError, TokenStoreTimeoutError]
)
fates = st.sampled_from(
    ["before journal", "after journal", "on its way", "answered", "before rotated", "after rotated"]
)


class AnySequence(RuleBasedStateMachine):
    """Processes that share one login, and what may befall them."""

    flavour = ""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        is_cloud = self.flavour == "cloud"
        self.emulator = AtlassianEmulator(self.time, cloud=is_cloud, data_center=not is_cloud)
        self.side: Any = getattr(self.emulator, self.flavour)
        self.disk = Disk(Path(tempfile.mkdtemp(prefix="any-sequence-")))
        self.numbers = itertools.count()
        self.processes = [self.process()]
        self.events: list[str] = []
        self.backup: bytes = b""
        self.is_outage = False
        self.clocks_agree = True
        self.acting: list[Process] = []  # in this step
        # What has been counted up to the last step.
        self.seen = self.delivered = self.gone = 0
        self.takes_nothing = False
        self.held: dict[str, Process] = {}
        self.knew: dict[Process, set[Place]] = {}
        self.had: set[Place] = set()

    def process(self, number: int = -1) -> Process:
        number = next(self.numbers) if number < 0 else number
        return Process(number, self.disk, Clock(self.time), self.made)

    def made(self, process: Process) -> AtlassianOAuthClient:
        side = self.side
        arguments: dict[str, Any] = {
            "client_id": side.app.client_id,
            "client_secret": side.app.client_secret,
            "callback_url": side.app.callback_url,
            "clock": process.clock,
            "store": Store(process),
            "on_event": lambda event: self.events.append(f"{event} {event!r}"),
        }
        if self.flavour == "cloud":
            arguments |= {
                "cloud_id": side.sites[0].id,
                "site_url": side.sites[0].url,
                "cloud": CloudEnvironment(side.auth_url, side.api_url, side.audience),
            }
        else:
            arguments["server_url"] = side.url
        client = create_atlassian_oauth_client(**arguments)
        separate_process_state(client, process=process.number)
        return client

    def passes(self, seconds: float) -> None:
        """Time passes, and each thread that has waited for that has done what it was to do."""
        self.time.advance(seconds)
        self.time.settle()

    def one(self, number: int) -> Process:
        """One of the processes; it acts in this step."""
        process = self.processes[number % len(self.processes)]
        self.acting = [process]
        return process

    # --- the judge --------------------------------------------------------------------------------

    def stored(self) -> Login | None:
        store, key = FileTokenStore(self.disk.path / "tokens"), self.processes[0].client.token_key
        return records.load(store, key, Login)[0]

    def place_of(self, refresh_token: str) -> Place:
        token = self.side.grants.refresh_token(refresh_token)
        return token.family.id, token.generation

    def is_accepted(self, refresh_token: str) -> bool:
        """Whether the server would renew it now."""
        side, now = self.side, self.time.time()
        token = side.grants.refresh_token(refresh_token)
        absolute = side.absolute_lifetime or math.inf
        return not (
            token is None
            or token.family.revoked
            or token.replaced
            or now >= token.issued_at + side.refresh_token_lifetime
            or now >= token.family.created_at + absolute
            or (token.used_at is not None and now >= token.used_at + side.rotation_grace)
        )

    def is_lost(self, known: list[tuple[str, str]]) -> bool:
        """Whether there is no login on record, or none whose refresh token the server takes."""
        stored = self.stored()
        if stored is None or stored.token_set is None:
            return True
        mine = [refresh_token for login_id, refresh_token in known if login_id == stored.login_id]
        return not any(map(self.is_accepted, [stored.token_set.refresh_token, *mine]))

    @property
    def is_calm(self) -> bool:
        """Whether nothing is broken."""
        return not (self.disk.is_broken or self.is_outage or self.emulator.faults.pending("token"))

    def judge(self, end: Any, known: list[tuple[str, str]], was_calm: bool) -> bool:
        """Whether to ask again in a moment; fails when the answer is none to be expected."""
        if isinstance(end, Identity | None):
            return False
        if isinstance(end, LoginRequiredError):
            assert self.is_lost(known), f"no person has to log in: {end}"
            return False
        if isinstance(end, TokenEndpointUnavailableError | TokenStoreError) and not was_calm:
            return False
        if isinstance(end, TokenEndpointUnavailableError) and end.outcome == "throttled":
            assert end.retry_after is not None
            assert 0 < end.retry_after <= HOUR
            self.passes(end.retry_after + 1)
            return True
        if isinstance(end, TokenEndpointUnavailableError) and self.has_just_cleared:
            self.passes(REMEMBERED_FAILURE)
            return True
        if isinstance(end, AccessDeniedError):  # the cool-down of a rejection
            self.passes(31)
            return True
        raise AssertionError(f"in good weather: {end!r}") from end

    @property
    def has_just_cleared(self) -> bool:
        """Whether bad weather is so recent that its failure may be told without a request."""
        since = self.time.time() - REMEMBERED_FAILURE
        return any(request.fault and request.at > since for request in self.emulator.token_requests)

    def asks(self, process: Process) -> bool:
        """A request that works, or says the truth; whether it works."""
        for _ in range(3):
            was_calm, start = self.is_calm, self.time.monotonic()
            end = ended(process.client.test_connection)
            assert self.time.monotonic() - start < 600, "no caller waits that long"
            if not self.judge(end, process.known(), was_calm):
                return isinstance(end, Identity)
        raise AssertionError(f"does not work in spite of waiting: {end!r}")

    def does(self, process: Process, work: Callable[[], Any]) -> Any:
        """Something else than a request; what goes wrong must have a reason."""
        was_calm = self.is_calm
        end = ended(work)
        if isinstance(end, AtlassianAuthError):
            with suppress(AssertionError) if not was_calm else contextlib.nullcontext():
                self.judge(end, process.known(), was_calm)
        else:
            assert not isinstance(end, Exception), repr(end)
        return end

    # --- after each step --------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_or_told(self) -> None:
        self.time.settle()
        requests = self.emulator.token_requests[self.seen :]
        self.seen += len(requests)
        known = self.had.union(*(self.knew.get(process, set()) for process in self.acting))
        for request in requests:
            if request.grant_type == "refresh_token":
                assert not any(
                    family == request.family and generation > request.generation
                    for family, generation in known
                ), f"{request} was spent, and the sender could know"
                assert not self.takes_nothing, f"{request}, and nothing can be saved"
        self.delivered += sum(
            request.status == 200
            and request.outcome in ("issued", "replayed_in_grace")
            and request.fault in ("", "hold")
            for request in requests
        )
        saved = self.disk.saved()
        held = {}
        for process in self.processes:
            for unsaved in process.unsaved():
                if unsaved.login.token_set:
                    held[unsaved.login.token_set.refresh_token] = process
        stored = self.stored()
        for refresh_token in self.held.keys() - held.keys() - set(saved):
            # It came too late: the store does not hold what it was to follow.
            self.gone += 1
            assert (
                stored is None
                or stored.token_set is None
                or not self.is_successor(refresh_token, stored.token_set.refresh_token)
                or any(
                    unsaved.login.login_id != stored.login_id
                    for unsaved in self.held[refresh_token].unsaved()
                )
            ), "dropped, and the store holds a spent refresh token"
        self.held = {token: process for token, process in held.items() if token not in saved}
        assert self.delivered == len(saved) + len(self.held) + self.gone, (
            f"{self.delivered} answers, {len(saved)} saved, {len(self.held)} in memory, "
            f"{self.gone} gone"
        )
        self.had = set(map(self.place_of, saved))
        self.knew = {
            process: {self.place_of(refresh_token) for _, refresh_token in process.known()}
            for process in self.processes
        }
        self.acting = []
        self.takes_nothing = self.disk.takes_nothing
        events, self.events = "\n".join(self.events), []
        if events:
            assert not [secret for secret in self.emulator.secrets if secret[:28] in events]

    def is_successor(self, refresh_token: str, spent: str) -> bool:
        grants = self.side.grants
        return grants.refresh_token(refresh_token) in grants.refresh_token(spent).children

    def teardown(self) -> None:
        """In the end everything is mended, and each process gets on."""
        try:
            if sys.exception() is None:
                self.gets_on()
        finally:
            self.emulator.close()
            for process in self.processes:
                self.ends(process)
            shutil.rmtree(self.disk.path)

    def gets_on(self) -> None:
        self.mended()
        self.blue_sky()
        self.nothing_is_lost_or_told()
        stored = self.stored()
        for unsaved in itertools.chain(*map(Process.unsaved, self.processes)):
            # What another login has replaced is kept for a while: that one may go away.
            assert stored is not None, "the store is empty, and a token set is not saved"
            assert unsaved.login.login_id != stored.login_id, "the store is well, and it is not"
        for number in range(len(self.processes)):
            self.asks(self.one(number))
            self.nothing_is_lost_or_told()

    # --- time -------------------------------------------------------------------------------------

    @rule(seconds=spans)
    def time_passes(self, seconds: float) -> None:
        self.passes(seconds)

    @rule(number=which, seconds=jumps)
    def a_wall_clock_jumps(self, number: int, seconds: float) -> None:
        self.clocks_agree = False
        self.processes[number % len(self.processes)].clock.ahead += seconds

    # --- requests ---------------------------------------------------------------------------------

    @rule(number=which)
    def request(self, number: int) -> None:
        self.asks(self.one(number))

    @rule(number=which)
    def request_with_an_expired_token(self, number: int) -> None:
        self.passes(HOUR)
        self.asks(self.one(number))

    @rule(all_expired=st.booleans())
    def all_at_once(self, all_expired: bool) -> None:
        """Threads of all processes ask; when all is well, an expiry costs one refresh."""
        self.acting = list(self.processes)
        if all_expired:
            self.passes(HOUR)
        was_calm, before = self.is_calm, self.emulator.count("refresh_token")
        stored = self.stored()
        is_throttled = stored is not None and stored.throttled_until > self.time.time() - HOUR
        if not was_calm or self.has_just_cleared or is_throttled or not self.clocks_agree:
            return
        ends: list[Any] = []
        threads = [
            threading.Thread(target=lambda p=process: ends.append((p, ended(p.client.token_set))))
            for process in self.processes
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(ends) == len(threads)
        for process, end in ends:
            assert isinstance(end, TokenSet) or not self.judge(end, process.known(), True)
        self.time.settle()
        assert self.emulator.count("refresh_token") - before <= 1

    @rule(number=which)
    def refresh(self, number: int) -> None:
        process, start = self.one(number), self.time.time()
        was_calm = self.is_calm
        end = self.does(process, process.client.refresh)
        stored = self.stored()
        if was_calm and not isinstance(end, Exception):
            assert stored is not None
            assert stored.token_set is not None
            token = self.side.grants.refresh_token(stored.token_set.refresh_token)
            assert token.issued_at >= start, "refresh() did not refresh"

    @rule(number=which, days=st.sampled_from([1 / 24, 7, 30]))
    def keep_alive(self, number: int, days: float) -> None:
        process = self.one(number)
        was_calm = self.is_calm
        end = self.does(process, lambda: process.client.refresh(older_than=days * DAY))
        stored = self.stored()
        if was_calm and not isinstance(end, Exception) and self.clocks_agree:
            assert stored is not None
            assert stored.token_set is not None
            token = self.side.grants.refresh_token(stored.token_set.refresh_token)
            assert token.issued_at >= self.time.time() - days * DAY

    @rule(number=which)
    def a_task_is_cancelled(self, number: int) -> None:
        """A task that waits for a refresh is cancelled; the refresh is not."""
        process = self.one(number)
        self.passes(HOUR)
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

        assert ended(lambda: asyncio.run(main())) is None
        self.blue_sky()

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
        self.asks(process)
        states = shared_login(first), shared_login(second)
        assert states[0] is states[1] or states[0].login_id != states[1].login_id

    @rule(number=which)
    def restart(self, number: int) -> None:
        """A process ends, with what it could not save; a new one takes its place."""
        number %= len(self.processes)
        process = self.processes[number]
        self.ends(process)
        gc.collect()
        self.processes[number] = self.process(process.number)
        assert self.processes[number].client.current() is None

    def ends(self, process: Process) -> None:
        process.clock.is_dead = True
        self.time.wake(lambda _, sleeper: sleeper is process.clock)
        self.time.settle()
        mine = [token for token, holder in self.held.items() if holder is process]
        self.gone += len(mine)
        for token in mine:
            del self.held[token]
        self.knew.pop(process, None)
        process.clients.clear()
        process.seen.clear()

    @rule(number=which, is_worker=st.booleans())
    def a_short_lived_process(self, number: int, is_worker: bool) -> None:
        """A forked child makes a request: with the memory of its parent, or with none."""
        process = self.one(number)
        if not is_worker:
            self.acting, process = [], self.process()
        was_calm, start = self.is_calm, self.time.monotonic()

        def work() -> Any:
            self.events.clear()
            self.time._naps.clear()
            end = ended(process.client.test_connection)
            self.time.settle()
            slept = self.time.monotonic() - start
            return end, process.known(), bool(process.unsaved()), slept, self.events

        answer = answer_of(*forked(work))
        assert isinstance(answer, tuple), answer
        end, known, is_unsaved, slept, events = answer
        self.events += events
        self.passes(slept)
        if is_unsaved and known[0][1] not in {*self.held, *self.disk.saved()}:
            self.gone += 1
        if not was_calm and isinstance(end, AccessDeniedError):
            return
        self.judge(end, known, was_calm)

    @rule(fate=fates)
    def a_process_is_killed(self, fate: str) -> None:
        """A forked child is killed in mid-refresh."""
        self.passes(HOUR)
        self.emulator.faults.clear()
        self.is_outage = False
        victim = self.process()
        victim.fate = fate
        hold = Hold(after=fate == "answered")
        if fate in ("on its way", "answered"):
            self.emulator.faults.next("token", hold)
        seen = self.emulator.count()
        saved = len(self.disk.saved())

        def work() -> None:
            self.time._naps.clear()
            ended(victim.client.test_connection)
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
        url = self.does(process, client.oauth_start)
        if isinstance(url, str):
            redirect = self.side.authorize(url)
            self.does(process, lambda: client.oauth_complete(redirect))

    @rule(number=which)
    def a_person_logs_in_if_need_be(self, number: int) -> None:
        process = self.one(number)
        if not self.asks(process):
            self.logs_in(process)

    @rule(number=which)
    def forget(self, number: int) -> None:
        process = self.one(number)
        end = self.does(process, process.client.forget)
        if not isinstance(end, Exception):
            stored = self.stored()
            assert stored is None or stored == Login(stored.generation, stored.login_id)

    @rule(number=which)
    def revoke(self, number: int) -> None:
        process = self.one(number)
        self.does(process, process.client.revoke)

    @rule(number=which)
    def a_login_is_taken_over(self, number: int) -> None:
        client, given = self.one(number).client, self.side.issue()["refresh_token"]
        self.does(self.acting[0], lambda: client.oauth2_retrieve_access_token(refresh_token=given))

    @rule()
    def access_tokens_are_revoked(self) -> None:
        self.side.revoke_access_tokens()

    @rule()
    def the_grant_is_revoked(self) -> None:
        self.side.revoke_grants()

    @rule(
        number=which,
        fault=weathers,
        times=st.sampled_from([1, 1, 1, 2, 3]),
        is_noticed=st.booleans(),
    )
    def bad_weather(self, number: int, fault: Any, times: int, is_noticed: bool) -> None:
        process = self.one(number)
        self.emulator.faults.next("token", fault, times)
        if is_noticed:
            self.passes(HOUR)
            self.asks(process)

    @rule(first=st.none() | st.sampled_from(after_rotation), fault=st.sampled_from(before_rotation))
    def an_outage(self, first: Any, fault: Any) -> None:
        self.is_outage = True
        if first:
            self.emulator.faults.next("token", first)
        self.emulator.faults.next("token", fault, None)

    @precondition(lambda self: self.is_outage or self.emulator.faults.pending("token"))
    @rule()
    def blue_sky(self) -> None:
        self.is_outage = False
        self.emulator.faults.clear()

    # --- the store --------------------------------------------------------------------------------

    @precondition(lambda self: not self.disk.is_broken)
    @rule(
        number=which,
        is_alone=st.booleans(),
        steps=troubles,
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
        self.disk.trouble = Trouble(frozenset(steps), error, left, is_done_all_the_same, alone)
        if is_noticed:
            self.passes(HOUR)
            self.takes_nothing = self.disk.takes_nothing
            self.asks(process)

    @precondition(lambda self: not self.disk.is_broken)
    @rule(number=which, step=st.sampled_from(["journal", "rotated"]), is_alone=st.booleans())
    def a_refresh_is_not_kept(self, number: int, step: str, is_alone: bool) -> None:
        process = self.one(number)
        alone = process.number if is_alone else None
        self.disk.trouble = Trouble(frozenset({step}), TokenStoreError, math.inf, number=alone)
        self.passes(HOUR)
        self.takes_nothing = self.disk.takes_nothing
        self.asks(process)

    @precondition(lambda self: self.disk.is_broken)
    @rule()
    def mended(self) -> None:
        """The store is well again, for long enough that what saves later has noticed."""
        self.disk.trouble, self.takes_nothing = None, False
        self.passes(16)

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
        self.passes(seconds)
        self.does(process, process.client.refresh)


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


@pytest.mark.usefixtures("_threads_of_dead_processes_end")
@pytest.mark.parametrize("machine", [Cloud, DataCenter])
def test_any_sequence(machine: type[AnySequence], caplog: pytest.LogCaptureFixture) -> None:
    """Expiry, revocation, lost answers, cancellation, kills, restarts, wrong clocks, stores that
    fail or fall back, in any order: no login is lost that need not be, and no secret is told.
    """
    caplog.set_level(logging.CRITICAL, "atlassian_auth_adapter")  # thousands of warnings
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30))
