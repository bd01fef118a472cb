"""Several logins in one process: no client gets what its own store would not have given it.

The clients of the tenants look alike: same issuer, same client id, account "default". What parts
them is where their stores look, which may change while the process runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianOAuthClient,
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    LoginRequiredError,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenStore,
    TokenStoreError,
)
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock, save_login, stored_login
from atlassian_auth_adapter.testing.emulator import Hold

from .stores import FragileStore

A, B = "acme", "beta"


@dataclass
class Form:
    """One way to keep tenants apart: their stores, and what makes one the tenant of the moment."""

    store: Callable[[str], TokenStore]
    at: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext()


@dataclass(eq=False)
class Contexts:
    """Integration contexts, of which two callables show that of the tenant of the moment."""

    tenant: contextvars.ContextVar[str] | None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    now: str = ""

    def _row(self) -> str:
        return self.tenant.get() if self.tenant else self.now

    def get(self) -> dict[str, Any] | None:
        return self.rows.get(self._row())

    def set(self, context: dict[str, Any]) -> None:
        self.rows[self._row()] = context

    @contextmanager
    def at(self, tenant: str) -> Iterator[None]:
        if self.tenant:
            token = self.tenant.set(tenant)
            yield
            self.tenant.reset(token)
        else:
            before, self.now = self.now, tenant
            yield
            self.now = before


_tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


def contexts(kind: str) -> Form:
    """Every tenant's store calls the same two functions."""
    all_of_them = Contexts(_tenant if kind == "context variable" else None)
    return Form(lambda _: ContextTokenStore(all_of_them.get, all_of_them.set), all_of_them.at)


@pytest.fixture(params=["global variable", "context variable"])
def moment(request: pytest.FixtureRequest) -> Form:
    """The two callables mean the tenant of the moment."""
    return contexts(request.param)


FORMS = ["global variable", "context variable", "directories", "memory", "schemas", "databases"]


@pytest.fixture(params=FORMS)
def form(
    request: pytest.FixtureRequest, tmp_path: Path, landed: Callable[[], None]
) -> Iterator[Form]:
    """Each way to keep two tenants apart: PostgreSQL schemas and Redis databases among them."""
    match request.param:
        case "directories":
            yield Form(lambda tenant: FileTokenStore(tmp_path / tenant))
        case "memory":
            yield Form(defaultdict(MemoryTokenStore).__getitem__)
        case "schemas":
            with schemas(request.getfixturevalue("postgres_url")) as engines:
                for engine in engines.values():
                    SQLTokenStore(engine).create_table()
                yield Form(lambda tenant: SQLTokenStore(engines[tenant]))
                landed()  # no flight uses a connection any more
        case "databases":
            prefix = f"test:{uuid.uuid4().hex}:"
            url = request.getfixturevalue("redis_url")
            with ExitStack() as stack:
                clients = {}
                for number, tenant in enumerate((A, B)):
                    database = f"{url.rpartition('/')[0]}/{number}"
                    clients[tenant] = stack.enter_context(redis_at(database, prefix))
                yield Form(lambda tenant: RedisTokenStore(clients[tenant], prefix=prefix))
        case _:
            yield contexts(request.param)


@contextmanager
def schemas(url: str) -> Iterator[dict[str, sqlalchemy.Engine]]:
    """Two engines whose URLs differ in the search path only."""
    names = {tenant: f"test_{uuid.uuid4().hex}_{tenant}" for tenant in (A, B)}
    admin = sqlalchemy.create_engine(url)
    engines = {
        tenant: sqlalchemy.create_engine(
            sqlalchemy.make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        )
        for tenant, name in names.items()
    }
    with admin.begin() as connection:
        for name in names.values():
            connection.execute(sqlalchemy.text(f"CREATE SCHEMA {name}"))
    try:
        yield engines
    finally:
        for engine in engines.values():
            engine.dispose()
        with admin.begin() as connection:
            for name in names.values():
                connection.execute(sqlalchemy.text(f"DROP SCHEMA {name} CASCADE"))
        admin.dispose()


@contextmanager
def redis_at(url: str, prefix: str) -> Iterator[redis.Redis]:
    """A Redis client; afterwards the keys with that prefix are gone."""
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        try:
            yield client
        finally:
            for key in client.scan_iter(f"{prefix}*"):
                client.delete(key)


@pytest.fixture(params=["load", "key", "role", "user"])
def same_place(
    request: pytest.FixtureRequest, landed: Callable[[], None]
) -> Iterator[tuple[TokenStore, TokenStore]]:
    """Two stores on one place, the second of which may not read what the first one keeps."""
    name = f"test_{uuid.uuid4().hex}"
    match request.param:
        case "load":
            place = MemoryTokenStore()
            refused = FragileStore(place)
            refused.fail("load")
            yield place, refused
        case "key":
            inner, keys = MemoryTokenStore(), [Fernet.generate_key().decode() for _ in range(2)]
            yield EncryptedTokenStore(inner, keys[0]), EncryptedTokenStore(inner, keys[1])
        case "role":
            url = request.getfixturevalue("postgres_url")
            admin = sqlalchemy.create_engine(url)
            guest = sqlalchemy.create_engine(
                sqlalchemy.make_url(url).set(username=name, password="secret")
            )
            owned = SQLTokenStore(admin, table=name)
            owned.create_table()
            with admin.begin() as connection:
                connection.execute(sqlalchemy.text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'"))
            yield owned, SQLTokenStore(guest, table=name)
            landed()
            guest.dispose()
            with admin.begin() as connection:
                connection.execute(sqlalchemy.text(f"DROP TABLE {name}"))
                connection.execute(sqlalchemy.text(f"DROP ROLE {name}"))
            admin.dispose()
        case _:
            url, prefix = request.getfixturevalue("redis_url"), f"{name}:"
            with redis_at(url, prefix) as own:
                rights = ("on", ">secret", "~other:*", "+@all")
                own.execute_command("ACL", "SETUSER", name, *rights)
                with redis.Redis.from_url(
                    url, username=name, password="secret", socket_timeout=5
                ) as guest:
                    yield RedisTokenStore(own, prefix=prefix), RedisTokenStore(guest, prefix=prefix)
                own.execute_command("ACL", "DELUSER", name)


@pytest.fixture
def family(emulator: AtlassianEmulator) -> Callable[[str], str]:
    """Which consent an access token comes from."""

    def find(access_token: str) -> str:
        token, _ = emulator.cloud.bearer(access_token)
        assert token, "not a token of this server"
        return token.family.id

    return find


@pytest.fixture
def two(form: Form, make_client: Any) -> dict[str, AtlassianOAuthClient]:
    """A client of each of two tenants, logged in; family-1 and family-2."""
    clients = {}
    for tenant in (A, B):
        with form.at(tenant):
            clients[tenant] = make_client(store=form.store(tenant))
    return clients


def test_each_tenant_gets_its_own_token(
    form: Form, two: Any, clock: FakeClock, family: Any, emulator: AtlassianEmulator, landed: Any
) -> None:
    """In turn, when a token is fresh, expired, rejected, and in the stale window."""
    families = {A: "family-1", B: "family-2"}
    for turn, seconds in enumerate((0, 3600, 0, 3600 - 300, 3600)):
        clock.advance(seconds)
        for tenant, client in two.items():
            with form.at(tenant):
                token = client.get_access_token()
                assert family(token) == families[tenant]
                if turn == 2:
                    token = client.token_set(rejected=token).access_token
                    assert family(token) == families[tenant]
                assert client.test_connection().name
                landed()  # a global variable says something else to a flight that still goes on
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 8


def test_a_new_client_of_one_tenant_never_begins_with_the_token_of_another(
    form: Form, two: Any, make_client: Any, clock: FakeClock, family: Any
) -> None:
    """A's client has a fresh token in the memory of this process when B's is made."""
    clock.advance(3600)
    with form.at(A):
        two[A].get_access_token()
    with form.at(B):
        client = make_client(store=form.store(B), login=False)
        assert family(client.get_access_token()) == "family-2"


def test_a_tenant_without_a_login_gets_none(
    form: Form, make_client: Any, clock: FakeClock, emulator: AtlassianEmulator
) -> None:
    """Before and after another tenant's client was used; and nothing is left in its place."""
    with form.at(A):
        signed_in = make_client(store=form.store(A))
    store = form.store(B)
    with form.at(B):
        other = make_client(store=store, login=False)
    for _ in range(2):
        with form.at(B), pytest.raises(LoginRequiredError) as caught:
            other.get_access_token()
        assert caught.value.reason == "no_token"
        clock.advance(3600)
        with form.at(A):
            assert signed_in.get_access_token()
    with form.at(B):
        assert other.current() is None
        assert stored_login(other) is None
    assert emulator.count("refresh_token") == 2


def test_a_tenant_whose_store_refuses_it_gets_nothing(
    same_place: tuple[TokenStore, TokenStore],
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
) -> None:
    """Same place and same login, but no right to read it, or another key: what other clients of
    this process have read there does not help.
    """
    allowed, refused = same_place
    signed_in = make_client(store=allowed)
    other = make_client(store=refused, login=False)
    for _ in range(2):
        with pytest.raises(TokenStoreError):
            other.get_access_token()
        assert other.current() is None
        clock.advance(3600)
        signed_in.get_access_token()
    assert emulator.count("refresh_token") == 2
    if isinstance(refused, FragileStore):
        refused.recover()
        assert other.get_access_token() == signed_in.get_access_token()


def test_what_could_not_be_saved_for_one_tenant_is_saved_in_its_row(
    moment: Form,
    make_client: Any,
    emulator: AtlassianEmulator,
    start: Any,
) -> None:
    """A's save fails for a moment, and B refreshes meanwhile: A's rotated token ends up in A's row,
    and B's row is B's.
    """
    clock = FakeClock(skip_sleeps=False)
    emulator.cloud.rotation_grace = 1e9
    clients, stores = {}, {}
    for tenant in (A, B):
        with moment.at(tenant):
            stores[tenant] = FragileStore(moment.store(tenant))
            clients[tenant] = make_client(store=stores[tenant], clock=clock)
    clock.advance(3600)
    stores[A].fail("answer")

    def let_time_pass(is_done: Callable[[], bool]) -> None:
        while not is_done():
            clock.advance(5)
            threading.Event().wait(0.01)

    with moment.at(A):
        unsaved = clients[A].token_set()
    with moment.at(B):
        context = contextvars.copy_context()
        refreshed = start(context.run, clients[B].token_set)
        let_time_pass(refreshed.done)
        assert stored_login(clients[B]).token_set == refreshed.result()  # type: ignore[union-attr]
        assert refreshed.result() != unsaved
        before = stored_login(clients[B])
    stores[A].recover()
    with moment.at(A):
        let_time_pass(lambda: unsaved in [login.token_set for login in stores[A].saves])
        assert stored_login(clients[A]).token_set == unsaved  # type: ignore[union-attr]
    with moment.at(B):
        assert stored_login(clients[B]) == before
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 2


def test_the_tenant_of_the_moment_changes_while_a_refresh_goes_on_beside_the_traffic(
    moment: Form,
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
    family: Callable[[str], str],
    landed: Callable[[], None],
) -> None:
    """A's stale token is renewed beside the traffic; before the answer comes it is B's turn: each
    goes on with its own login, and what was brought for A ends up in A's row.
    """
    clients = {}
    for tenant in (A, B):
        with moment.at(tenant):
            clients[tenant] = make_client(store=moment.store(tenant))
    clock.advance(3600 - 300)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with moment.at(A):
        assert clients[A].get_access_token()
        hold.wait_arrived()
    with moment.at(B):
        hold.release()
        landed()
        assert family(clients[B].get_access_token()) == "family-2"
        landed()
    for _ in range(2):
        with moment.at(A):
            assert family(clients[A].get_access_token()) == "family-1"
            assert family(stored_login(clients[A]).token_set.access_token) == "family-1"  # type: ignore[union-attr]
        with moment.at(B):
            assert family(stored_login(clients[B]).token_set.access_token) == "family-2"  # type: ignore[union-attr]
        clock.advance(3600)
    assert emulator.count(outcome="reuse_after_grace") == 0


@pytest.mark.parametrize("others_version", [None, 2])
def test_what_is_renewed_beside_the_traffic_is_never_saved_for_the_tenant_of_the_moment(
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
    family: Callable[[str], str],
    let_time_pass: Callable[..., None],
    others_version: int | None,
) -> None:
    """The moment is B's when the answer for A comes. B has no login, or one with the very version
    that the save for A expects: B's row stays as it is, and A has the answer when it is A's turn.
    """
    moment, clients = contexts("global variable"), {}
    for tenant, logins in ((A, 1), (B, others_version or 0)):
        with moment.at(tenant):
            clients[tenant] = make_client(store=moment.store(tenant), login=False)
            for _ in range(logins):
                clients[tenant].oauth_complete(
                    emulator.cloud.authorize(clients[tenant].oauth_start())
                )
    with moment.at(B):
        before = moment.store(B).load(clients[B].token_key.name)
    assert (before and before.version) == others_version
    clock.advance(3600 - 300)
    hold = Hold(after=True)
    emulator.faults.next("token", hold)
    with moment.at(A):
        assert family(clients[A].get_access_token()) == "family-1"
        hold.wait_arrived()
        journaled = moment.store(A).load(clients[A].token_key.name)
        assert journaled is not None
        assert journaled.version == 2
    with moment.at(B):
        hold.release()
        let_time_pass()
        assert moment.store(B).load(clients[B].token_key.name) == before
    with moment.at(A):
        assert family(clients[A].get_access_token()) == "family-1"
        login = stored_login(clients[A])
        assert login is not None
        # Hours have passed: what was brought first has been saved and renewed once more.
        assert login.generation == 3
        assert family(login.token_set.access_token) == "family-1"  # type: ignore[union-attr]
    assert emulator.count("refresh_token", "issued") == emulator.count("refresh_token") == 2


def test_a_login_from_before_this_package_stays_with_the_tenant_of_the_moment(
    make_client: Any,
    clock: FakeClock,
    emulator: AtlassianEmulator,
    family: Callable[[str], str],
    landed: Callable[[], None],
) -> None:
    """It has no name yet. A's stale token is to be renewed beside the traffic; before the store is
    looked at it is B's turn: A goes on with its own login, and gets nothing of B.
    """
    contexts, turned = Contexts(None), threading.Event()
    for tenant in (A, B):
        issued = emulator.cloud.issue()
        contexts.rows[tenant] = {
            "token": issued["access_token"],
            "refresh_token": issued["refresh_token"],
            "valid_until": clock.time() + 3600,
            "scopes": issued["scope"],
        }
    waits = False

    def get() -> dict[str, Any] | None:
        if waits:
            turned.wait(10)
        return contexts.get()

    client = make_client(login=False, store=ContextTokenStore(get, contexts.set))
    with contexts.at(A):
        assert family(client.get_access_token()) == "family-1"
        clock.advance(3600 - 300)
        waits = True
        assert family(client.get_access_token()) == "family-1"
    with contexts.at(B):
        turned.set()
        landed()
    assert emulator.count("refresh_token") == 0
    with contexts.at(A):
        assert family(client.get_access_token()) == "family-1"
        clock.advance(300)
        assert family(client.get_access_token()) == "family-1"
        assert emulator.count("refresh_token") == 1
        clock.advance(3600 - 300)
        client.get_access_token()
        landed()
    assert emulator.count("refresh_token") == 2


def test_a_login_from_before_this_package_is_renewed_beside_the_traffic(
    make_client: Any, clock: FakeClock, emulator: AtlassianEmulator, landed: Callable[[], None]
) -> None:
    """Also before it has a name: no caller waits for its first refresh."""
    issued, context = emulator.cloud.issue(), Contexts(None)
    context.rows[""] = {
        "token": issued["access_token"],
        "refresh_token": issued["refresh_token"],
        "valid_until": clock.time() + 3600,
        "scopes": issued["scope"],
    }
    client = make_client(login=False, store=ContextTokenStore(context.get, context.set))
    assert client.get_access_token() == issued["access_token"]
    clock.advance(3600 - 300)
    assert client.get_access_token() == issued["access_token"]
    landed()
    assert emulator.count("refresh_token") == 1
    assert client.get_access_token() == context.rows[""]["token"] != issued["access_token"]


def test_context_variables_of_the_caller_are_seen_by_the_store(
    make_client: Any, clock: FakeClock, landed: Callable[[], None], emulator: AtlassianEmulator
) -> None:
    """Also on the worker thread: for plain code, a task, and a refresh beside the traffic."""
    seen: set[str] = set()
    store = FragileStore()
    client = make_client(store=store)

    def look(_: object) -> None:
        assert threading.current_thread() is not threading.main_thread()
        seen.add(_tenant.get("nothing"))

    store.before |= dict.fromkeys(("load", "lock", "journal", "answer", "unlock"), look)
    asked: list[Callable[[], object]] = [
        client.get_access_token,
        lambda: asyncio.run(client.token_set_async()),
        client.refresh,
    ]
    for number, ask in enumerate(asked):
        clock.advance(3600)
        token = _tenant.set(f"tenant {number}")
        if ask == client.refresh:
            del store.before["load"]  # it also looks on the caller's thread
        ask()
        _tenant.reset(token)
        landed()
        assert seen == {f"tenant {number}"}
        seen.clear()
    clock.advance(3600 - 300)
    token = _tenant.set("stale")
    client.get_access_token()
    _tenant.reset(token)
    landed()
    assert seen == {"stale"}
    assert emulator.count("refresh_token") == 4


# --- many tenants, at random ----------------------------------------------------------------------


@dataclass
class Tenant:
    """One of many: its clients, and the consents that were given for it."""

    name: str
    store: FragileStore
    client: AtlassianOAuthClient
    families: set[str]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
)
@pytest.mark.parametrize("kind", ["global variable", "context variable"])
def test_many_tenants_never_see_a_token_of_another(
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    landed: Callable[[], None],
    family: Callable[[str], str],
    kind: str,
    seed: int,
) -> None:
    """20 tenants in one process, in random order: requests, expiries, rejections, saves that fail,
    sign-ins, sign-outs and new clients; with context variables on four threads at once.
    """
    form, emulator.cloud.rotation_grace = contexts(kind), 1e9
    signing_in, tenants = threading.Lock(), []

    def sign_in(tenant: Tenant) -> None:
        with signing_in:
            redirect = emulator.cloud.authorize(tenant.client.oauth_start())
            before = len(emulator.families)
            try:
                tenant.client.oauth_complete(redirect)
            finally:
                tenant.families |= {one.id for one in emulator.families[before:]}

    for number in range(20):
        name = f"tenant-{number}"
        with form.at(name):
            store = FragileStore(form.store(name))
            tenant = Tenant(name, store, make_client(store=store, login=False), set())
            sign_in(tenant)
            tenants.append(tenant)

    def act(tenant: Tenant, action: str) -> None:
        client = tenant.client
        match action:
            case "expiry":
                clock.advance(1800)
            case "rejection" if token_set := client.current():
                check(tenant, client.token_set(rejected=token_set.access_token).access_token)
            case "failing saves":
                tenant.store.fail("answer", times=3)
            case "failing saves for long":
                tenant.store.fail("answer", times=20)
            case "sign-in":
                sign_in(tenant)
            case "sign-out":
                client.forget()
            case "new client":
                tenant.client = make_client(store=tenant.store, login=False)
            case _:
                check(tenant, client.get_access_token())

    checked: list[str] = []

    def check(tenant: Tenant, access_token: str) -> None:
        checked.append(tenant.name)
        assert family(access_token) in tenant.families, f"{tenant.name} got the token of another"

    actions = [*["request"] * 8, *["expiry"] * 2, *["rejection"] * 2, "failing saves"]
    actions += ["failing saves for long", "sign-in", "sign-out", "new client"]

    def run(seed: int, mine: list[Tenant]) -> None:
        chance = random.Random(seed)
        for _ in range(120):
            tenant, action = chance.choice(mine), chance.choice(actions)
            with form.at(tenant.name):
                with suppress(AtlassianAuthError):
                    act(tenant, action)
                if kind == "global variable":
                    landed()  # flights look into the tenant of the moment

    if kind == "global variable":
        run(seed, tenants)
    else:
        with ThreadPoolExecutor(4) as pool:
            shares = [tenants[start::4] for start in range(4)]
            for done in [pool.submit(run, 10 * seed + n, share) for n, share in enumerate(shares)]:
                done.result()
    landed()
    for tenant in tenants:
        tenant.store.recover()
        with form.at(tenant.name):
            login = stored_login(tenant.client)
            assert login
            if login.token_set:
                check(tenant, login.token_set.access_token)
                check(tenant, tenant.client.get_access_token())
                landed()
    assert len(checked) > 60
    assert emulator.count(outcome="reuse_after_grace") == 0


# --- several logins in one store ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"account": "bob"}, {"client_id": "another"}, {"flavour": "data_center"}],
    ids=["account", "client_id", "issuer"],
)
def test_logins_in_one_store_never_touch_each_other(
    emulator: AtlassianEmulator, make_client: Any, clock: FakeClock, change: dict[str, str]
) -> None:
    """Two accounts, two client ids, two issuers: rotation, rejection and forgetting of one leave
    the other's record and memory as they are.
    """
    store = MemoryTokenStore()
    mine = make_client(store=store)
    other = make_client(store=store, login="client_id" not in change, **change)
    if "client_id" in change:
        login = stored_login(mine)
        assert login
        assert login.token_set
        save_login(other, login._replace(token_set=login.token_set._replace(scope="other")))
    token, before = other.get_access_token(), stored_login(other)
    clock.advance(60)
    mine.token_set(rejected=mine.get_access_token())
    clock.advance(60)
    mine.refresh()
    mine.forget()
    assert stored_login(other) == before
    assert other.get_access_token() == token
    with pytest.raises(LoginRequiredError):
        mine.get_access_token()
    assert emulator.count("refresh_token") == 2


def test_two_sites_of_one_account_share_its_login_and_nothing_else(
    emulator: AtlassianEmulator, make_client: Any, expired_client: Any
) -> None:
    """One consent covers several sites: one refresh for both; each client knows its own site only.
    (Sites with logins of their own have accounts of their own.)
    """
    store = MemoryTokenStore()
    other_site = "https://beta.atlassian.net"
    here = make_client(store=store)
    there = expired_client(store=store, login=False, cloud_id="beta-id", site_url=other_site)
    assert here.get_access_token() == there.get_access_token()
    assert emulator.count("refresh_token") == 1
    for client, foreign in (
        (here, other_site),
        (here, there.base_url),
        (there, emulator.cloud.sites[0].url),
        (there, here.base_url),
    ):
        location = Location.of(f"{foreign}/rest/api/3/myself")
        assert not client.resource_server.route(location).bearer


def test_a_person_who_signs_in_anew_is_who_all_clients_of_the_store_are(
    emulator: AtlassianEmulator,
    make_client: Any,
    another_process: Any,
    clock: FakeClock,
    family: Callable[[str], str],
) -> None:
    """Another process signs another person in: from the next look on, no client of this process
    gets a token of the former login, also none that shares memory with the one that has looked.
    """
    store = MemoryTokenStore()
    first, second = make_client(store=store), make_client(store=store, login=False)
    second.get_access_token()
    other = another_process(store=store)
    other.oauth_complete(emulator.cloud.authorize(other.oauth_start()))
    rejected = first.get_access_token()
    assert family(first.token_set(rejected=rejected).access_token) == "family-2"
    assert family(second.get_access_token()) == "family-2"
    assert emulator.count("refresh_token") == 0
