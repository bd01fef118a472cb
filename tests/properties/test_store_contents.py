"""Contents of stores that no release of this package has written, for each kind of record.

Records are mutated, swapped, truncated, made giant or deeply nested, at random, and put into the
places of stores as they are. A client then does all that a program can do. Of each:

1.  What leaves the package is an AtlassianAuthError that says what to do, and no secret is in it.
2.  What cannot be read is left as it is, to the letter: it may be the login of a newer release.
3.  After `forget()` a sign-in succeeds.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import random
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import sqlalchemy as sa
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    TokenStoreError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.records import (
    Journal,
    Login,
    TokenKey,
    read,
    write,
)
from atlassian_auth_adapter.records.authorizations import Authorizations
from atlassian_auth_adapter.records.client_secret import ClientSecret
from atlassian_auth_adapter.records.sites import Sites
from atlassian_auth_adapter.testing import FakeClock, separate_process_state
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, Transport

#: Contents: only read; of programs with stores in memory, in other places of this machine, at
#: servers.
READ, IN_MEMORY, IN_FILES, AT_SERVERS = {
    24: (1_000, 30, 6, 3),
    150: (3_000, 100, 30, 10),
}.get(settings.default.max_examples, (100_000, 6_000, 2_000, 500))
#: Contents of one example, where they are only read.
BATCH = 50
seeds = st.integers(0, 2**63)

NOW = 1_800_000_000.0
SECRET = "s3cret"
CALLBACK = "http://localhost:8080/callback"
KINDS = ("login", "authorizations", "sites", "service_account")
SERVER = "http://127.0.0.1:9"
HOSTS = CloudEnvironment(SERVER, SERVER, "audience")
SITE = "https://acme.atlassian.net"
CLOUD_ID = "11111111-1111-1111-1111-111111111111"

#: Which acts of a program need the record. Sites are a memory that can be done without.
_OF_TOKENS = {"status", "token", "rejected", "refresh", "older"}
USES: dict[str, set[str]] = {
    "login": {*_OF_TOKENS, "take over", "sign in"},
    "service_account": _OF_TOKENS,
    "authorizations": {"start", "redirect", "sign in"},
    "sites": set(),
}

#: What an error about something unreadable tells to do.
ADVICE = re.compile(
    r"forget\(\)|Upgrade|[Mm]ove it away|[Dd]elete|Remove the key|Add that key|sign in again|"
    r"Look at|find out which program|give the store another prefix"
)


# --- contents -------------------------------------------------------------------------------------


def key_for(server: str, kind: str) -> TokenKey:
    """The key of the record that a client of that server looks for."""
    account = (
        "default (WRITE)" if (server, kind) == ("data_center", "service_account") else "default"
    )
    return TokenKey(SERVER, "client", account, kind)  # type: ignore[arg-type]


RECORDS: dict[str, list[Any]] = {
    "login": [
        Login(
            7,
            "5a1f",
            TokenSet("s3cret-a", "s3cret-r", NOW + 60, "READ", "bearer", NOW - 3600),
            Journal("hash", NOW - 30, "host:1"),
            Journal("hash", NOW - 30, "host:2"),
            NOW + 1,
            "dead",
            "answer_lost",
            NOW,
            "1f0e",
            NOW - 86400,
        ),
        Login(1, "5a1f", TokenSet("s3cret-a", "s3cret-r", NOW + 3600, "READ", "", NOW)),
        Login(1, "", TokenSet("s3cret-a", "s3cret-r", NOW - 5, "READ", "", NOW - 3600)),
        Login(3, "5a1f"),
    ],
    "authorizations": [
        Authorizations(
            (
                AuthorizationRequest("s3cret-state", "s3cret-verifier" * 4, NOW, "READ"),
                AuthorizationRequest("s3cret-other", "", NOW - 599, ""),
            )
        ),
        Authorizations(),
    ],
    "sites": [Sites("5a1f", {SITE: CLOUD_ID, "jira": CLOUD_ID}), Sites()],
    "service_account": [Login(1, "5a1f", TokenSet("s3cret-a", "", NOW + 60, "", "", NOW))],
    "client_secret": [ClientSecret("s3cret-of-the-client")],
}

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 2, 3, 2**63, 10**400, -(10**30), 0.5, -0.0, NOW + 60, NOW - 7),
    *(1e300, -1e300, math.inf, -math.inf, math.nan, "", " ", "s3cret", "s3cret\n", "\ud800", "é"),
    *("s3cret\x1b[2J", "\x00", "login", "refused", "answer_lost", "5a1f", "s3cret" * 20_000),
    *([], {}, [[]], ["s3cret"], {"s3cret": None}, {"state": "s3cret"}, [{"state": "\ud800"}] * 3),
]


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Each container within the value, and each of its keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(value, key) for key, _ in inner]
    for container, key in list(found):
        if isinstance(container[key], dict | list):
            found += places_in(container[key])
    return found


def changed(value: Any, changes: list[tuple[int, Any]]) -> Any:
    """The value with some of its parts replaced, left out (REMOVED) or swapped."""
    value = copy.deepcopy(value)
    for number, new in changes:
        if not (places := places_in(value)):
            return None if new is REMOVED or new is SWAPPED else new
        container, key = places[number % len(places)]
        if new is REMOVED:
            del container[key]
        elif new is SWAPPED:
            other, other_key = places[(number * 7 + 3) % len(places)]
            mine, others = copy.deepcopy(container[key]), copy.deepcopy(other[other_key])
            container[key], other[other_key] = others, mine
        else:
            container[key] = copy.deepcopy(new)
    return value


REMOVED, SWAPPED = object(), object()


def changes(rng: random.Random) -> list[tuple[int, Any]]:
    """At most three."""
    choices = [*STRANGE, *[REMOVED] * 8, *[SWAPPED] * 8]
    return [(rng.randrange(41), rng.choice(choices)) for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]


def edited(rng: random.Random, text: str) -> str:
    """The text, which mostly is that of an object, more or less."""
    place, depth = rng.randrange(len(text) + 1), rng.choice([100, 100_000])
    some = rng.choice(["", '"', "}", "\\", "\x00", "é", "\ud800", "9" * 5000, "s3cret"])
    match rng.choice(
        ["as it is"] * 16 + ["cut", "edit", "edit", "nested", "deep", "giant", "twice", ""]
    ):
        case "cut":
            return text[:place]
        case "edit":
            return text[:place] + some + text[place + 1 :]
        case "nested":
            return text[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}"
        case "deep":
            return '{"a":' * depth
        case "giant":
            return text[:-1] + ', "x": "' + "s3cret" * 200_000 + '"}'
        case "twice":
            return text[:-1] + ", " + text[1:]
        case "":
            return rng.choice(["", " ", "null", "[]", "7", '"s3cret"', "\ufeff{}", "{" * 9])
    return text


def hostile(rng: random.Random, key: TokenKey) -> str:
    """The text of a record of that key, or of another one, more or less."""
    kind = rng.choice([key.kind] * 6 + [*RECORDS])
    its_key = rng.choice([key] * 8 + [key._replace(account="s3cret-other")])
    stored = json.loads(write(its_key, rng.choice(RECORDS[kind])))
    stored["schema"] = rng.choice([2] * 12 + [3, 99, 1, 2.0, "2", None])
    return edited(rng, json.dumps(changed(stored, changes(rng))))


# --- what a client meets --------------------------------------------------------------------------


class Server:
    """In place of the network: a token endpoint, and what a client asks of its site."""

    def __init__(self) -> None:
        self.issued = 0
        self.valid: set[str] = set()

    def send(
        self, _: Transport, method: str, url: str, *, headers: Any = None, body: str | None = None
    ) -> Answer:
        if method == "POST" and "revoke" not in url:
            form = {name: each[0] for name, each in parse_qs(body or "").items()}
            spent = form.get("refresh_token") or form.get("code", "")
            if form["grant_type"] != "client_credentials" and spent not in self.valid:
                return self._answer(400, {"error": "invalid_grant", "error_description": spent})
            self.valid.discard(spent)
            return self._answer(200, self.tokens())
        if url.endswith("/tenant_info"):
            return self._answer(200, {"cloudId": CLOUD_ID})
        return self._answer(200, [])

    def tokens(self) -> dict[str, Any]:
        self.issued += 1
        self.valid.add(f"s3cret-refresh-{self.issued}")
        access, refresh = f"s3cret-access-{self.issued}", f"s3cret-refresh-{self.issued}"
        return {"access_token": access, "refresh_token": refresh, "expires_in": 3600}

    def _answer(self, status: int, body: object) -> Answer:
        return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """For all clients of this module."""
    made = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "send", lambda *a, **k: made.send(*a, **k))  # noqa: PLW0108
        patch.setattr(logging.getLogger("atlassian_auth_adapter"), "disabled", True)
        yield made


class Program:
    """A program whose store has been tampered with."""

    def __init__(self, store: Any, flavour: str, kind: str, server: Server) -> None:
        self.server, self.kind = server, kind
        where: dict[str, Any] = (
            {"cloud": HOSTS, "site_url": SITE} if flavour == "cloud" else {"server_url": SERVER}
        )
        arguments = {**where, "store": store, "clock": FakeClock(NOW), "on_event": self.on_event}
        self.shown: list[str] = []
        self.client: Any = (
            AtlassianServiceAccountClient("client", "s3cret-of-the-client", **arguments)
            if kind == "service_account"
            else create_atlassian_oauth_client(
                "client", "s3cret-of-the-client", CALLBACK, **arguments
            )
        )
        separate_process_state(self.client)

    def on_event(self, event: object) -> None:
        self.shown.append(f"{event} {event!r}")

    def acts(self) -> dict[str, Callable[[], object]]:
        """All that a program does with a client; signing in last, since that may repair it."""
        client = self.client
        acts: dict[str, Callable[[], object]] = {
            "status": client.status,
            "token": client.get_access_token,
            "rejected": lambda: client.token_set(rejected="s3cret-a"),
            "refresh": client.refresh,
            "older": lambda: client.refresh(older_than=60.0),
            "base_url": lambda: client.base_url,
        }
        if self.kind != "service_account":
            acts |= {
                "start": client.oauth_start,
                "redirect": lambda: client.oauth_complete(f"{CALLBACK}?code=c&state=s3cret-state"),
                "take over": lambda: client.oauth2_retrieve_access_token(refresh_token="s3cret-g"),
                "sign in": self.sign_in,
            }
        return acts

    def sign_in(self) -> None:
        """A person does."""
        state = parse_qs(urlsplit(self.client.oauth_start()).query)["state"][0]
        code = f"s3cret-code-{uuid.uuid4().hex}"
        self.server.valid.add(code)
        self.client.oauth_complete(f"{CALLBACK}?code={code}&state={state}")
        assert self.client.get_access_token()

    def check(self, raw: Callable[[], object], *, is_readable: bool) -> None:
        """The three properties."""
        before = raw()
        for name, act in self.acts().items():
            is_refused = not is_readable and name in USES[self.kind]
            try:
                act()
            except AtlassianAuthError as error:
                self.check_error(error, is_refused=is_refused)
            else:
                assert not is_refused, f"{name!r} has read what cannot be read"
            # A new login may reach other sites: what was known of them is forgotten.
            if not is_readable and not (self.kind == "sites" and name in ("redirect", "sign in")):
                assert raw() == before, f"{name!r} has changed what cannot be read"
        self.client.forget()
        if self.kind == "service_account":
            assert self.client.get_access_token()
        else:
            self.sign_in()
            assert self.client.base_url
        for shown in self.shown:
            assert SECRET not in shown

    def check_error(self, error: AtlassianAuthError, *, is_refused: bool) -> None:
        """Ours, with advice, and without a secret."""
        if is_refused:
            assert isinstance(error, TokenStoreError | ConfigurationError), repr(error)
            assert ADVICE.search(str(error)), str(error)
        below: BaseException | None = error
        while below:
            fields = {name: value for name, value in vars(below).items() if name != "token_set"}
            assert SECRET not in f"{below} {below!r} {below.args!r} {fields!r}"
            below = below.__cause__ or below.__context__


KIND_OF: dict[str, Any] = {"authorizations": Authorizations, "sites": Sites}


def is_readable(store: Any, key: TokenKey) -> bool:
    """Whether it is a record, however strange."""
    try:
        entry = store.load(key.name)
        return entry is None or bool(read(entry.text, key, KIND_OF.get(key.kind, Login), "here"))
    except TokenStoreError:
        return False


def a_case(rng: random.Random) -> tuple[str, str, TokenKey]:
    """A kind of server, a kind of record, and its key."""
    flavour, kind = rng.choice(["cloud", "data_center"]), rng.choice(KINDS)
    flavour = "cloud" if kind == "sites" else flavour
    return flavour, kind, key_for(flavour, kind)


many: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.too_slow],
    "phases": [Phase.generate],  # a smaller seed is not a smaller content
}


def check_text(error: TokenStoreError) -> None:
    """It shows no secret and says what to do."""
    shown = f"{error!r} {error} {vars(error)} {error.__cause__!r} {error.__context__!r}"
    assert SECRET not in shown
    assert ADVICE.search(str(error)), str(error)


@given(seed=seeds)
@settings(max_examples=READ // BATCH, **many)
@pytest.mark.longer
def test_whatever_a_text_says_it_is_read_or_refused(seed: int) -> None:
    """Each kind of record: what is read can be written and read again; what is refused is told."""
    for number in range(BATCH):
        rng = random.Random(seed + number)
        _, _, key = a_case(rng)
        text = hostile(rng, key)
        try:
            record = read(text, key, KIND_OF.get(key.kind, Login), "here")
        except TokenStoreError as error:
            check_text(error)
        else:
            assert read(write(key, record), key, type(record), "here") == record


@given(seed=seeds)
@settings(max_examples=IN_MEMORY, **many)
@pytest.mark.longer
def test_texts_that_no_release_has_written(seed: int, server: Server) -> None:
    """A store holds them, as it holds any text."""
    rng = random.Random(seed)
    (flavour, kind, key), store = a_case(rng), MemoryTokenStore()
    store.save(key.name, hostile(rng, key), expected=None)
    program = Program(store, flavour, kind, server)
    program.check(lambda: store.load(key.name), is_readable=is_readable(store, key))


# --- places of this machine -----------------------------------------------------------------------


@given(seed=seeds)
@settings(max_examples=READ // BATCH // 2, **many)
@pytest.mark.longer
def test_whatever_a_file_says_it_is_read_or_refused(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """FileTokenStore: and it can be deleted, after which a login can be saved."""
    store = FileTokenStore(tmp_path_factory.getbasetemp() / "read-or-refused")
    for number in range(BATCH):
        rng = random.Random(seed + number)
        _, _, key = a_case(rng)
        file = planted(rng, store, key)
        before = file.read_bytes()
        try:
            entry = store.load(key.name)
        except TokenStoreError as error:
            check_text(error)
        else:
            assert entry
        if number == 0:  # takes a lock
            with pytest.raises(TokenStoreError):
                store.save(key.name, "x", expected=None)
        assert file.read_bytes() == before


def planted(rng: random.Random, store: FileTokenStore, key: TokenKey) -> Path:
    """The file of that key: {"version": ..., "text": ...}, more or less."""
    content = {"version": rng.randrange(1, 9), "text": hostile(rng, key)}
    text = edited(rng, json.dumps(changed(content, changes(rng))))
    store.path.mkdir(mode=0o700, exist_ok=True)
    file = store.path / f"{key.name}.json"
    file.touch(mode=0o600)
    file.write_bytes(text.encode(rng.choice(["utf-8"] * 9 + ["utf-16"]), "replace"))
    return file


@given(seed=seeds)
@settings(max_examples=IN_FILES, **many)
@pytest.mark.longer
def test_files_that_no_release_has_written(
    seed: int, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """FileTokenStore, in a program."""
    rng = random.Random(seed)
    flavour, kind, key = a_case(rng)
    store = FileTokenStore(tmp_path_factory.getbasetemp() / f"contents-{flavour}")
    for other in KINDS:
        store.delete(key_for(flavour, other).name)
    file = planted(rng, store, key)
    program = Program(store, flavour, kind, server)
    program.check(
        lambda: file.read_bytes() if file.exists() else None, is_readable=is_readable(store, key)
    )


@given(seed=seeds)
@settings(max_examples=IN_FILES, **many)
@pytest.mark.longer
def test_encrypted_texts_that_no_release_has_written(seed: int, server: Server) -> None:
    """EncryptedTokenStore: of another key, name or version, changed, or not encrypted."""
    rng = random.Random(seed)
    (flavour, kind, key), inner, sealing = a_case(rng), MemoryTokenStore(), MemoryTokenStore()
    name = rng.choice([key.name] * 5 + [f"{key.name}.other"])
    version = rng.choice([1] * 5 + [2])
    sealer = EncryptedTokenStore(sealing, rng.choice([FERNETS[0]] * 5 + [FERNETS[1]]))
    for before in range(version):
        sealer.save(name, hostile(rng, key), expected=before or None)
    sealed = sealing.load(name)
    assert sealed
    inner.save(key.name, edited(rng, sealed.text), expected=None)
    store = EncryptedTokenStore(inner, FERNETS[0])
    program = Program(store, flavour, kind, server)
    program.check(lambda: inner.load(key.name), is_readable=is_readable(store, key))


FERNETS = Fernet.generate_key(), Fernet.generate_key()


@given(seed=seeds)
@settings(max_examples=IN_FILES, **many)
@pytest.mark.longer
def test_contexts_that_no_release_has_written(seed: int, server: Server) -> None:
    """ContextTokenStore: a dictionary of any values, also those of other integrations."""
    rng = random.Random(seed)
    flavour, kind, key = a_case(rng)
    entry = {"version": 3, "text": hostile(rng, key)}
    ours = {"schema": 2, "owner": key.name, "seen": "hash", "entries": {key.name: entry}}
    old = {"token": "s3cret-a", "refresh_token": "s3cret-r", "valid_until": NOW, "scopes": "READ"}
    context = {**rng.choice([old, {}]), "atlassian_auth_adapter": ours}
    box = [json.loads(json.dumps(changed(context, changes(rng) + changes(rng))))]
    whole = json.dumps(box[0])
    store = ContextTokenStore(lambda: box[0], lambda new: box.__setitem__(0, new))
    program = Program(store, flavour, kind, server)
    failure = damage_of(store, key)
    if isinstance(failure, str):
        # The whole dictionary, and not one entry, is none of this package: what to do is told.
        for name, act in program.acts().items():
            if name != "base_url":
                with pytest.raises(
                    TokenStoreError, match=r"Remove the key|Upgrade|not a dictionary"
                ):
                    act()
            assert json.dumps(box[0]) == whole
        return

    def raw() -> object:
        there = box[0] or {}
        entries = there.get("atlassian_auth_adapter", {}).get("entries", {})
        return json.dumps(
            [entries.get(key.name), [there.get(name) for name in old if kind == "login"]]
        )

    program.check(raw, is_readable=failure)


def damage_of(store: ContextTokenStore, key: TokenKey) -> bool | str:
    """Whether the record can be read; the error if the context as a whole cannot."""
    try:
        store.load(key.name)
    except TokenStoreError as error:
        if "the entry" not in str(error):
            return str(error)
    return is_readable(store, key)


# --- databases ------------------------------------------------------------------------------------


@contextlib.contextmanager
def table_in(url: str) -> Iterator[tuple[SQLTokenStore, Callable[..., Any]]]:
    """A store on a new table, and what runs a statement on it."""
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    store = SQLTokenStore(engine, table=name)
    store.create_table()

    def run(statement: str, **values: Any) -> Any:
        with engine.connect() as connection:
            result = connection.execute(sa.text(statement.format(table=name)), values)
            return [tuple(row) for row in result.all()] if result.returns_rows else None

    try:
        yield store, run
    finally:
        run("DROP TABLE {table}")
        engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def table(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SQLTokenStore, Callable[..., Any]]]:
    """In a file, and at a server."""
    url = f"sqlite:///{tmp_path_factory.mktemp('contents')}/tokens.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with table_in(url) as made:
        yield made


@given(seed=seeds)
@settings(max_examples=AT_SERVERS, **many)
@pytest.mark.longer
def test_rows_that_no_release_has_written(seed: int, table: Any, server: Server) -> None:
    """SQLTokenStore: columns of any value that the database takes."""
    rng = random.Random(seed)
    (flavour, kind, key), (store, run) = a_case(rng), table
    run("DELETE FROM {table}")
    text = hostile(rng, key).replace("\0", "").encode("utf-8", "replace").decode()
    columns = {
        "name": key.name,
        "version": rng.choice([1, 1, 1, 7, None, 0, -1, 2**31 - 20]),
        "text": rng.choice([text] * 7 + [None, ""]),
        "save_id": rng.choice([None, "", "s3cret"]),
        "lock_owner": rng.choice([None, None, "somebody"]),
        "lock_until": rng.choice([None, 0.0, -1e300]),
    }
    names, marks = ", ".join(columns), ", ".join(f":{name}" for name in columns)
    run(f"INSERT INTO {{table}} ({names}) VALUES ({marks})", **columns)
    program = Program(store, flavour, kind, server)
    rows = "SELECT version, text FROM {table} WHERE name = :name"
    program.check(lambda: run(rows, name=key.name), is_readable=is_readable(store, key))


@pytest.fixture(scope="module")
def hashes(redis_url: str) -> Iterator[tuple[RedisTokenStore, redis.Redis, str]]:
    """A store, its client, and its prefix."""
    prefix = f"test:{uuid.uuid4().hex}:"
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        yield RedisTokenStore(client, prefix=prefix), client, prefix
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@given(seed=seeds)
@settings(max_examples=AT_SERVERS, **many)
@pytest.mark.longer
def test_hashes_that_no_release_has_written(seed: int, hashes: Any, server: Server) -> None:
    """RedisTokenStore: fields of any bytes, and keys of another type."""
    rng = random.Random(seed)
    (flavour, kind, key), (store, client, prefix) = a_case(rng), hashes
    for used in client.scan_iter(f"{prefix}*"):
        client.delete(used)
    place, text = f"{prefix}{{{key.name}}}", hostile(rng, key).encode("utf-8", "replace")
    fields = {
        b"version": rng.choice([b"1"] * 5 + [b"0", b"-1", b"x", b"9" * 18, b""]),
        b"text": rng.choice([text] * 7 + [b"", b"\xff\xfe", b"s3cret"]),
        b"save": rng.choice([b"id", b"", b"\xff"]),
        rng.choice([b"generation", b"record", b"\xff"]): b"s3cret",
    }
    if rng.randrange(6) == 0:
        del fields[rng.choice([b"version", b"text"])]
    if rng.randrange(10) == 0:
        client.set(place, text)
    else:
        client.hset(place, mapping=fields)
    program = Program(store, flavour, kind, server)
    program.check(lambda: client.dump(place), is_readable=is_readable(store, key))
