"""Very many logins of one process: what they hold while they wait, and what others notice of it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from secrets import token_hex
from typing import Any

import pytest

from atlassian_auth_adapter import MemoryTokenStore, TokenEndpointUnavailableError, TokenSet
from atlassian_auth_adapter.expiry import ExpiryPolicy
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.records import Login, TokenKey, load, save
from atlassian_auth_adapter.refresh import driver
from atlassian_auth_adapter.refresh.driver import FLIGHTS, Parties
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.refresh.steps import Rules
from atlassian_auth_adapter.testing import FakeClock
from atlassian_auth_adapter.testing.contracts.world import PATIENCE
from atlassian_auth_adapter.threads import holding_exit
from atlassian_auth_adapter.workers import Workers

#: Threads that the flights to one authorization server have at most: half of all.
LANE = 24
LIFETIME = 3600.0


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
) -> list[RefreshingTokenSource]:
    """So many logins whose access tokens are so many seconds old."""
    store, began = store or MemoryTokenStore(), server.clock.time() - age
    parties = Parties(store, server.clock, server.refresh, 35.0, 255.0, 30 * PATIENCE, None)
    made = []
    for number in range(count):
        key = TokenKey(server.properties.issuer, "client", f"tenant {number}")
        made.append(RefreshingTokenSource(Rules(key, server.properties, ExpiryPolicy()), parties))
        if process is not None:
            made[-1].join_process(process)
        if load(store, key, Login)[0] is None:
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


@pytest.mark.slow
def test_429_for_thousands_of_accounts(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """Each login sends one request and waits its Retry-After out, with neither thread nor lock, and
    gets its token then; never are more than 24 requests under way.
    """
    store = MemoryTokenStore()
    made = sources(server, 2000, store=store)
    server.retry_after = 10.0
    result = all_ask(made)
    clock.wait_parked(2000)
    landed()
    assert flights() == 0
    for source in made[::100]:
        with store.lock(source.key.name, timeout=0.0):
            pass
    began = clock.monotonic()
    assert Counter(at for at, _ in server.sent) == {began: 2000}
    server.retry_after = 0.0
    clock.advance(9.9)
    landed()
    assert len(server.sent) == 2000
    clock.advance(0.1)
    assert all(isinstance(outcome, TokenSet) for outcome in result())
    assert Counter(at for at, _ in server.sent) == {began: 2000, began + 10: 2000}
    assert server.most <= LANE
    assert max(Counter(token for _, token in server.sent).values()) == 2


def test_429_without_a_time_is_spread(clock: TimerClock, server: TokenServer) -> None:
    """Each login waits 1 to 1.5 s, then 2 to 3 s, and so on: they do not come back together."""
    made = sources(server, 500)
    server.retry_after = None
    result = all_ask(made)
    clock.wait_parked(500)
    due = sorted(at - clock.monotonic() for at, _ in clock.parked)
    assert 1.0 <= due[0] < 1.05
    assert 1.45 < due[-1] <= 1.5
    tenths = Counter(int(at * 10) for at in due)
    assert max(tenths.values()) < 200
    server.retry_after = 0.0
    clock.advance(1.5)
    assert all(isinstance(outcome, TokenSet) for outcome in result())


@pytest.mark.slow
def test_429_that_stays_is_told_to_each_caller_and_asked_seldom(
    clock: TimerClock, server: TokenServer
) -> None:
    """After 20 s each caller is told when to come again; until then no request is sent."""
    made = sources(server, 500)
    server.retry_after = 15.0
    result = all_ask(made)
    clock.wait_parked(500)
    clock.advance(15)
    outcomes = result()
    assert {(type(each), each.outcome) for each in outcomes} == {
        (TokenEndpointUnavailableError, "throttled")
    }
    assert len(server.sent) == 1000
    again = all_ask(made)()
    assert {each.outcome for each in again} == {"throttled"}
    assert len(server.sent) == 1000


def test_429_disturbs_nobody_while_tokens_are_usable(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """In the stale window each login has its token at once, and asks once in the background."""
    made = sources(server, 500, age=LIFETIME - 300)
    server.retry_after = 10.0
    for source in made:
        assert source.token_set().access_token == "old"  # from the store
    for _ in range(3):
        for source in made:
            assert source.token_set().access_token == "old"
    clock.wait_parked(500)
    landed()
    assert len(server.sent) == 500
    server.retry_after = 0.0
    clock.advance(10)
    landed()
    assert {source.token_set().access_token for source in made} == {"new"}
    assert len(server.sent) == 1000


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
    clock.advance(5)
    assert [each.access_token for each in [*one(), *other()]] == ["new", "new"]
    assert len(server.sent) == 2


def other_server(clock: TimerClock, server: TokenServer) -> TokenServer:
    """One whose flights have another lane."""

    def lane(issuer: str) -> int:
        return hash(issuer) % FLIGHTS._lanes

    names = (f"other{number}" for number in range(1000))
    servers = (TokenServer(clock, name) for name in names)
    mine = lane(server.properties.issuer)
    return next(each for each in servers if lane(each.properties.issuer) != mine)


def test_a_slow_authorization_server_does_not_delay_others(
    clock: TimerClock, server: TokenServer, landed: Callable[[], None]
) -> None:
    """However many logins of it expire at once: half of the threads stay free."""
    server.open.clear()
    result = all_ask(sources(server, 400))
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
    """Another process hangs with the locks of a hundred logins: the next one is renewed."""
    monkeypatch.setattr(driver, "LOCK_SLICE", 0.05)
    store = MemoryTokenStore()
    made = sources(server, 101, store=store)
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
    outcomes = all_ask(sources(server, 100))()
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


def test_a_lane_leaves_threads_for_others() -> None:
    """One lane has half of all threads; with a second one each has a third."""
    workers, go, running = Workers(12, lanes=2), threading.Event(), Counter[str]()
    begun = threading.Semaphore(0)

    def work(lane: str) -> None:
        running[lane] += 1
        begun.release()
        go.wait(PATIENCE)

    names = {hash(name) % 2: name for name in map(str, range(50))}
    for name in names.values():
        for _ in range(20):
            assert workers.start(lambda name=name: work(name), name)  # type: ignore[misc]
    for _ in range(9):
        assert begun.acquire(timeout=PATIENCE)
    assert sorted(running.values()) == [3, 6]
    go.set()
    for _ in range(31):
        assert begun.acquire(timeout=PATIENCE)


def test_what_callers_wait_for_comes_first() -> None:
    """Renewals in the background do not delay a login whose token has ended."""
    workers, go, done = Workers(1), threading.Event(), list[str]()
    assert workers.start(lambda: go.wait(PATIENCE))
    assert workers.start(lambda: done.append("background"), is_urgent=False)
    assert workers.start(lambda: done.append("urgent"))
    go.set()
    workers.run(lambda: None).result(PATIENCE)
    while len(done) < 2:
        threading.Event().wait(0.01)
    assert done == ["urgent", "background"]


def test_one_thread_holds_the_exit_for_all() -> None:
    """Hundreds of refreshes under way: one guard, which ends with the last of them."""

    def guards() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "atlassian-auth-exit"]

    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(holding_exit(100))
        (guard,) = guards()
    guard.join(PATIENCE)
    assert not guards()
    with holding_exit(100):
        assert len(guards()) == 1
