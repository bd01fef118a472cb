"""A login that several processes share, and what must be true of it after each step of a test.

The emulator is the judge: whether a login is lost is asked of the server's books, never of the
library. After each step, when every flight has ended:

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

import contextlib
import itertools
import math
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from atlassian_auth_adapter import (
    AccessDeniedError,
    AtlassianAuthError,
    AtlassianOAuthClient,
    CloudEnvironment,
    FileTokenStore,
    Identity,
    LoginRequiredError,
    TokenEndpointUnavailableError,
    TokenStoreError,
    create_atlassian_oauth_client,
    records,
)
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.refresh.source import REMEMBERED_FAILURE
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.state import separate_process_state

from .processes import Clock, Disk, Process, Store, Time
from .stores import outcome_of

HOUR = 3600.0
#: A token set by its place in the books of the server: family and generation.
Place = tuple[str, int]


class JudgedLogin(RuleBasedStateMachine):
    """Processes that share one login, and what must be true of them."""

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
        self.refuses_all = False
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

    def pass_time(self, seconds: float) -> None:
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
    def is_healthy(self) -> bool:
        """Whether nothing is broken."""
        return not (self.disk.is_broken or self.is_outage or self.emulator.faults.pending("token"))

    def judge(self, end: Any, known: list[tuple[str, str]], was_healthy: bool) -> bool:
        """Whether to ask again in a moment; fails when it is not what is expected."""
        if isinstance(end, Identity | None):
            return False
        if isinstance(end, LoginRequiredError):
            assert self.is_lost(known), f"no person has to log in: {end}"
            return False
        if isinstance(end, TokenEndpointUnavailableError | TokenStoreError) and not was_healthy:
            return False
        if isinstance(end, TokenEndpointUnavailableError) and end.outcome == "throttled":
            assert end.retry_after is not None
            assert 0 < end.retry_after <= HOUR
            self.pass_time(end.retry_after + 1)
            return True
        if isinstance(end, TokenEndpointUnavailableError) and self.has_just_recovered:
            self.pass_time(REMEMBERED_FAILURE)
            return True
        if isinstance(end, AccessDeniedError):  # the cool-down of a rejection
            self.pass_time(31)
            return True
        raise AssertionError(f"nothing is broken, but: {end!r}") from end

    @property
    def has_just_recovered(self) -> bool:
        """Whether an outage is so recent that its failure may be told without a request."""
        since = self.time.time() - REMEMBERED_FAILURE
        return any(request.fault and request.at > since for request in self.emulator.token_requests)

    def succeeds(self, process: Process) -> bool:
        """A request that works, or says the truth; whether it works."""
        for _ in range(3):
            was_healthy, start = self.is_healthy, self.time.monotonic()
            end = outcome_of(process.client.test_connection)
            assert self.time.monotonic() - start < 600, "no caller waits that long"
            if not self.judge(end, process.known(), was_healthy):
                return isinstance(end, Identity)
        raise AssertionError(f"does not work after waiting: {end!r}")

    def attempt(self, process: Process, work: Callable[[], Any]) -> Any:
        """Something else than a request; an error must have a reason."""
        was_healthy = self.is_healthy
        end = outcome_of(work)
        if isinstance(end, AtlassianAuthError):
            with suppress(AssertionError) if not was_healthy else contextlib.nullcontext():
                self.judge(end, process.known(), was_healthy)
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
                assert not self.refuses_all, f"{request}, and nothing can be saved"
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
        self.refuses_all = self.disk.refuses_all
        events, self.events = "\n".join(self.events), []
        if events:
            assert not [secret for secret in self.emulator.secrets if secret[:28] in events]

    def is_successor(self, refresh_token: str, spent: str) -> bool:
        grants = self.side.grants
        return grants.refresh_token(refresh_token) in grants.refresh_token(spent).children

    def teardown(self) -> None:
        """In the end everything recovers, and each process works."""
        try:
            if sys.exception() is None:
                self.all_processes_work()
        finally:
            self.emulator.close()
            for process in self.processes:
                self.end(process)
            shutil.rmtree(self.disk.path)

    def all_processes_work(self) -> None:
        self.the_store_recovers()
        self.the_server_recovers()
        self.nothing_is_lost_or_told()
        stored = self.stored()
        for unsaved in itertools.chain(*map(Process.unsaved, self.processes)):
            # What another login has replaced is kept for a while: that one may go away.
            assert stored is not None, "the store is empty, and a token set is not saved"
            assert unsaved.login.login_id != stored.login_id, "the store works, and it is not saved"
        for number in range(len(self.processes)):
            self.succeeds(self.one(number))
            self.nothing_is_lost_or_told()

    def end(self, process: Process) -> None:
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
