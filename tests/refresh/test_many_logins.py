"""Very many logins of one process: what they hold while they wait, and what others notice of it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenEndpointUnavailableError,
    TokenSet,
)
from atlassian_auth_adapter.events import Event
from atlassian_auth_adapter.expiry import ExpiryPolicy
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login, TokenKey, load, save
from atlassian_auth_adapter.refresh import driver
from atlassian_auth_adapter.refresh.driver import FLIGHTS, Parties
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.refresh.steps import Rules
from atlassian_auth_adapter.stores.base import TokenStore
from atlassian_auth_adapter.testing import FakeClock
from atlassian_auth_adapter.testing.contracts.world import PATIENCE
from atlassian_auth_adapter.threads import holding_exit

#: Threads that the flights to one authorization server have at most: half of all.
LANE = 24
LIFETIME = 3600.0
KEY = TokenKey("https://auth.example.com", "client", "default")


class TimerClock(FakeClock):
    """A clock that calls later: flights that wait occupy no thread, as with that of the machine."""

    def __init__(self) -> None:
        super().__init__(1_000_000.0, skip_sleeps=False)
        self.parked: list[tuple[float, Callable[[], object]]] = []
        self.changed = threading.Condition()

    def call_later(self, seconds: float, call: Callable[[], object]) -> bool:
        with self.changed:
            self.parked.append((self.monotonic() + seconds, call))
            self.changed.notify_all()
        return True

    def wait_parked(self, count: int) -> None:
        """Return when so many flights wait."""
        with self.changed:
            while (now := len(self.parked)) < count:
                assert self.changed.wait_for(lambda now=now: len(self.parked) > now, 5 * PATIENCE)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        with self.changed:
            due = [each for each in self.parked if each[0] <= self.monotonic()]
            self.parked = [each for each in self.parked if each[0] > self.monotonic()]
        for _, call in due:
            call()


class TokenServer:
    """An authorization server whose requests are answered without a network.

    Attributes:
        retry_after: Seconds that it asks to wait; None: it says no number; 0: it does not ask.
    """

    def __init__(self, clock: FakeClock, name: str = "auth") -> None:
        self.clock = clock
        self.properties = AuthorizationServer(
            issuer=f"https://{name}.example.com", authorization_endpoint="", token_endpoint=""
        )
        self.retry_after: float | None = 0.0
        self.open = threading.Event()
        self.open.set()
        self.sent: list[tuple[float, str]] = []
        self.before: Callable[[], object] = lambda: None
        self.most = self._now = 0
        self._lock = threading.Lock()

    def refresh(self, previous: TokenSet) -> TokenSet:
        """The answer to one token request."""
        with self._lock:
            self.sent.append((self.clock.monotonic(), previous.refresh_token))
            self._now += 1
            self.most = max(self.most, self._now)
        self.before()
        assert self.open.wait(PATIENCE)
        with self._lock:
            self._now -= 1
        if self.retry_after != 0:
            raise TokenEndpointUnavailableError(
                "wait", status=429, retry_after=self.retry_after, outcome="throttled"
            )
        now = self.clock.time()
        refresh_token = previous.refresh_token + "+"
        return TokenSet("new", refresh_token, now + LIFETIME, "", "Bearer", now)


@pytest.fixture
def clock() -> TimerClock:
    """The time of clients and servers."""
    return TimerClock()


@pytest.fixture
def server(clock: TimerClock) -> Iterator[TokenServer]:
    """The authorization server of most logins."""
    server = TokenServer(clock)
    yield server
    server.open.set()


def sources(
    server: TokenServer,
    count: int,
    *,
    age: float = LIFETIME,
    store: Any = None,
    process: Any = None,
    needs_login: bool = True,
    on_event: Any = None,
) -> list[RefreshingTokenSource]:
    """So many logins whose access tokens are so many seconds old."""
    store, began = store or MemoryTokenStore(), server.clock.time() - age
    parties = Parties(store, server.clock, server.refresh, 35.0, 255.0, 30 * PATIENCE, on_event)
    rules, made = Rules(KEY, server.properties, ExpiryPolicy(), needs_login), []
    for number in range(count):
        key = TokenKey(server.properties.issuer, "client", f"tenant {number}")
        made.append(RefreshingTokenSource(replace(rules, key=key), parties))
        if process is not None:
            made[-1].join_process(process)
        if needs_login and load(store, key, Login)[0] is None:
            tokens = TokenSet("old", f"refresh-{number}", began + LIFETIME, "", "Bearer", began)
            save(store, key, Login(1, token_hex(8), tokens), expected=None)
    return made


def all_ask(made: list[RefreshingTokenSource]) -> Callable[[], list[Any]]:
    """A task for each asks for a token, all at once. Gives what waits for the outcomes."""
    outcomes: list[Any] = []

    async def ask() -> None:
        tasks = (source.token_set_async() for source in made)
        outcomes.extend(await asyncio.gather(*tasks, return_exceptions=True))

    thread = threading.Thread(target=asyncio.run, args=(ask(),), daemon=True)
    thread.start()

    def result() -> list[Any]:
        thread.join(30 * PATIENCE)
        assert len(outcomes) == len(made)
        return outcomes

    return result


def flights() -> int:
    """Threads of flights."""
    return sum(thread.name == "atlassian-auth-flight" for thread in threading.enumerate())


@pytest.fixture(
    params=["memory", "file", "encrypted", "context", "sqlite", "redis_url", "postgres_url"]
)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, landed: Callable[[], None]
) -> Iterator[TokenStore]:
    """Each kind of store, with a place of its own."""
    kind, table = request.param, f"t{token_hex(4)}"
    context: dict[str, Any] = {}
    if kind == "memory":
        yield MemoryTokenStore()
    elif kind == "file":
        yield FileTokenStore(tmp_path / "tokens")
    elif kind == "encrypted":
        yield EncryptedTokenStore(FileTokenStore(tmp_path / "tokens"), [Fernet.generate_key()])
    elif kind == "context":
        yield ContextTokenStore(lambda: dict(context), context.update)
    elif kind == "redis_url":
        with redis.Redis.from_url(request.getfixturevalue(kind)) as client:
            yield RedisTokenStore(client, prefix=f"{table}:")
            landed()
            for key in client.scan_iter(f"*{table}:*"):
                client.delete(key)
    else:
        is_file = kind == "sqlite"
        url = f"sqlite:///{tmp_path / 'tokens'}" if is_file else request.getfixturevalue(kind)
        engine = sqlalchemy.create_engine(url)
        store = SQLTokenStore(engine, table=table)
        store.create_table()
        yield store
        landed()  # no flight uses a connection any more
        sqlalchemy.Table(table, sqlalchemy.MetaData()).drop(engine, checkfirst=True)
        engine.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("needs_login", [True, False], ids=["login", "service account"])
def test_429_for_very_many_accounts(
    clock: TimerClock,
    server: TokenServer,
    landed: Callable[[], None],
    store: TokenStore,
    needs_login: bool,
) -> None:
    """Each login sends one request and waits its Retry-After out, with neither thread nor lock, and
    gets its token then; never are more than 24 requests under way. They come back spread over a
    quarter of that time, and not before it.
    """
    count = 2000 if isinstance(store, MemoryTokenStore) else 150
    made = sources(server, count, store=store, needs_login=needs_login)
    server.retry_after = 10.0
    result = all_ask(made)
    clock.wait_parked(count)
    landed()
    assert flights() == 0
    for source in made[::100]:
        with store.lock(source.key.name, timeout=0.0):
            pass
    began = clock.monotonic()
    assert Counter(at for at, _ in server.sent) == {began: count}
    due = sorted(at - began for at, _ in clock.parked)
    assert 10 <= due[0] < 10.5
    assert 12 < due[-1] <= 12.5
    tenths = Counter(int(at * 10) for at in due)
    assert max(tenths.values()) < count / 5
    server.retry_after = 0.0
    clock.advance(9.99)
    landed()
    assert len(server.sent) == count
    clock.advance(2.51)
    assert all(isinstance(outcome, TokenSet) for outcome in result())
    assert len(server.sent) == 2 * count
    assert server.most <= LANE
    assert max(Counter(token for _, token in server.sent if token).values(), default=2) == 2


@pytest.mark.parametrize(("told", "most"), [(None, 1.5), (8.0, 10.0)])
def test_429_is_waited_for_and_spread(
    clock: TimerClock, server: TokenServer, told: float | None, most: float
) -> None:
    """Who is told when to come back comes up to a quarter of that time later; who is told nothing
    after 1 to 1.5 s, then 2 to 3 s, and so on: they do not come back together.
    """
    made = sources(server, 80)
    server.retry_after = told
    result = all_ask(made)
    clock.wait_parked(80)
    least = told or 1.0
    due = sorted((at - clock.monotonic() - least) / (most - least) for at, _ in clock.parked)
    assert 0 <= due[0] < 0.3
    assert 0.7 < due[-1] <= 1
    assert max(Counter(int(at * 10) for at in due).values()) < 40
    server.retry_after = 0.0
    clock.advance(most)
    assert all(isinstance(outcome, TokenSet) for outcome in result())


def test_429_that_stays_is_told_to_each_caller_and_asked_seldom(
    clock: TimerClock, server: TokenServer
) -> None:
    """After 20 s each caller is told when to come again; until then no request is sent."""
    made = sources(server, 30)
    server.retry_after = 15.0
    result = all_ask(made)
    clock.wait_parked(30)
    clock.advance(18.75)
    outcomes = result()
    assert {(type(each), each.outcome) for each in outcomes} == {
        (TokenEndpointUnavailableError, "throttled")
    }
    assert len(server.sent) == 60
    again = all_ask(made)()
    assert {each.outcome for each in again} == {"throttled"}
    assert len(server.sent) == 60


def test_429_disturbs_nobody_while_tokens_are_usable(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """In the stale window each login has its token at once, and asks once in the background."""
    made = sources(server, 30, age=LIFETIME - 300)
    server.retry_after = 10.0
    for source in made:
        assert source.token_set().access_token == "old"  # from the store
    for _ in range(3):
        for source in made:
            assert source.token_set().access_token == "old"
    clock.wait_parked(30)
    landed()
    assert len(server.sent) == 30
    server.retry_after = 0.0
    clock.advance(12.5)
    landed()
    assert {source.token_set().access_token for source in made} == {"new"}
    assert len(server.sent) == 60


def test_renewals_in_the_background_stay_behind_others_after_a_wait(
    clock: TimerClock,
    server: TokenServer,
    landed: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What nobody waits for is not urgent after a 429 either."""
    urgent: list[bool] = []
    start = FLIGHTS.start

    def watched(run: Any, lane: str, *, is_urgent: bool) -> bool:
        urgent.append(is_urgent)
        return start(run, lane, is_urgent=is_urgent)

    (source,) = sources(server, 1, age=LIFETIME - 300)
    source.token_set()
    monkeypatch.setattr(FLIGHTS, "start", watched)
    server.retry_after = 8.0
    source.token_set()
    clock.wait_parked(1)
    server.retry_after = 0.0
    clock.advance(10)
    landed()
    assert source.token_set().access_token == "new"
    assert urgent == [False, False]


def test_a_refresh_that_has_waited_sees_the_context_of_its_caller(
    clock: TimerClock, server: TokenServer
) -> None:
    """A store of the tenant of the moment is that of the caller's tenant after a 429 as well."""
    tenant = ContextVar("tenant", default="nobody")
    contexts: dict[str, dict[str, Any]] = {"acme": {}, "nobody": {}}

    def keep(new: dict[str, Any]) -> None:
        contexts[tenant.get()] = new

    store = ContextTokenStore(lambda: contexts[tenant.get()], keep)
    before = tenant.set("acme")
    (source,) = sources(server, 1, store=store)
    server.retry_after = 8.0
    outcomes: list[TokenSet] = []
    ask = partial(copy_context().run, lambda: outcomes.append(source.token_set()))
    tenant.reset(before)
    caller = threading.Thread(target=ask)
    caller.start()
    clock.wait_parked(1)
    server.retry_after = 0.0
    clock.advance(10)
    caller.join(PATIENCE)
    assert [outcome.access_token for outcome in outcomes] == ["new"]
    assert contexts["nobody"] == {}


def test_a_refresh_that_is_dropped_while_it_waits_reports_nothing(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """A forked child drops those of its parent: no hook is called there, and no lock taken."""
    events: list[Event] = []
    (source,) = sources(server, 1, age=LIFETIME - 300, on_event=events.append)
    source.token_set()
    server.retry_after = 8.0
    source.token_set()
    clock.wait_parked(1)
    landed()
    clock.parked.clear()
    gc.collect()
    assert not events


def test_another_process_waits_as_well_and_sends_nothing(
    clock: TimerClock, server: TokenServer
) -> None:
    """While a flight waits as it was asked to, those of other processes that share its store do not
    ask the token endpoint; one request brings the token for all.
    """
    store = MemoryTokenStore()
    first = sources(server, 1, store=store)
    server.retry_after = 5.0
    one = all_ask(first)
    clock.wait_parked(1)
    other = all_ask(sources(server, 1, store=store, process=object()))
    clock.wait_parked(2)
    assert len(server.sent) == 1
    server.retry_after = 0.0
    clock.advance(6.25)
    assert [each.access_token for each in [*one(), *other()]] == ["new", "new"]
    assert len(server.sent) == 2


def other_server(clock: TimerClock, server: TokenServer) -> TokenServer:
    """One whose flights have another lane."""
    mine = FLIGHTS.number_of(server.properties.issuer)
    servers = (TokenServer(clock, f"other{number}") for number in range(1000))
    return next(each for each in servers if FLIGHTS.number_of(each.properties.issuer) != mine)


def test_a_slow_authorization_server_does_not_delay_others(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """However many logins of it expire at once: half of the threads stay free."""
    server.open.clear()
    result = all_ask(sources(server, 60))
    (other,) = sources(other_server(clock, server), 1)
    while server.most < LANE:
        threading.Event().wait(0.01)
    assert other.token_set().access_token == "new"
    assert server.most == LANE
    server.open.set()
    assert {outcome.access_token for outcome in result()} == {"new"}


def test_locks_that_are_held_for_long_do_not_delay_other_logins(
    clock: TimerClock, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process hangs with the locks of very many logins: the next one is renewed."""
    monkeypatch.setattr(driver, "LOCK_SLICE", 0.05)
    store = MemoryTokenStore()
    made = sources(server, 51, store=store)
    with ExitStack() as stack:
        for source in made[:-1]:
            stack.enter_context(store.lock(source.key.name, timeout=1))
        result = all_ask(made[:-1])
        clock.wait_parked(1)
        assert made[-1].token_set().access_token == "new"
    clock.advance(1)
    while clock.parked:
        clock.advance(1)
    assert {outcome.access_token for outcome in result()} == {"new"}


def test_flights_that_wait_for_another_one_do_not_keep_it_from_a_thread(
    clock: TimerClock, server: TokenServer
) -> None:
    """A function for the client secret may use another login, whatever expires at once."""
    (vault,) = sources(TokenServer(clock, "auth"), 1)  # of the same authorization server
    server.before = vault.token_set
    outcomes = all_ask(sources(server, 50))()
    assert {outcome.access_token for outcome in outcomes} == {"new"}


def test_a_flight_that_waits_for_a_thread_says_so(clock: TimerClock, server: TokenServer) -> None:
    """After max_wait the caller is told what it has waited for; nothing was sent for it."""
    server.open.clear()
    result = all_ask(sources(server, LANE))
    while server.most < LANE:
        threading.Event().wait(0.01)
    parties = Parties(MemoryTokenStore(), clock, server.refresh, 35.0, 255.0, 0.05, None)
    key = TokenKey(server.properties.issuer, "client", "late")
    late = RefreshingTokenSource(Rules(key, server.properties, ExpiryPolicy()), parties)
    with pytest.raises(TokenEndpointUnavailableError, match=r"waits for its turn.*max_wait"):
        late.token_set()
    server.open.set()
    result()


def test_one_thread_holds_the_exit_for_all() -> None:
    """Hundreds of refreshes under way: one guard, which ends with the last of them."""

    def guards() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "atlassian-auth-exit"]

    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(holding_exit(100))
        (guard,) = guards()
    guard.join(PATIENCE)
    assert not guards()
    with holding_exit(100):
        assert len(guards()) == 1
