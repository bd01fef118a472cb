"""The crash matrix: its rows and columns, the places where logins are kept, and its document."""

from __future__ import annotations

import json
import re
import select
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from cryptography.fernet import Fernet
from keyrings.alt.file import PlaintextKeyring
from redis.connection import Connection

from atlassian_auth_adapter import (
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    KeyringTokenStore,
    RedisTokenStore,
    SQLTokenStore,
)
from atlassian_auth_adapter.stores.base import TokenStore

DOCUMENT = Path(__file__).parents[2] / "docs" / "crash-matrix.md"

#: Seconds. So short that no process waits for long; what is measured here does not depend on it.
LEASE = 0.15

SERVERS = {"cloud": "Cloud", "data_center": "Data Center"}


# --- rows -----------------------------------------------------------------------------------------

#: What becomes of the login: in the words of the document, by what the next process gets for its
#: request (a status, or the reason of a LoginRequiredError) and what the server did to its token
#: requests.
KEPT, RENEWED = "kept", "kept, renewed"
RESENT, LOST = "kept, resent in the grace", "**lost**, says so"
OUTCOMES = {
    ("200", ()): KEPT,
    ("200", ("issued",)): RENEWED,
    ("200", ("replayed_in_grace",)): RESENT,
    ("answer_lost", ("reuse_after_grace",)): LOST,
}


@dataclass(frozen=True)
class Phase:
    """What must be true of all steps at which a killed process leaves the same behind.

    Attributes:
        cloud, data_center: What becomes of the login.
        requests: How many token requests the victim has sent.
        generation: In the store.
        journal: Whether the store says that a refresh token may have been sent.
    """

    cloud: str
    data_center: str
    requests: int
    generation: int
    journal: bool


UNTOUCHED = Phase(RENEWED, RENEWED, requests=0, generation=1, journal=False)
JOURNALED = Phase(RENEWED, RENEWED, requests=0, generation=1, journal=True)
ROTATED = Phase(RESENT, LOST, requests=1, generation=1, journal=True)
SAVED = Phase(KEPT, KEPT, requests=1, generation=2, journal=False)

#: The rows, in the order of a flight.
STEPS = {
    "before the lock": UNTOUCHED,
    "after the lock": UNTOUCHED,
    "in the middle of the journal": UNTOUCHED,
    "in the middle of the journal, done": JOURNALED,
    "after the journal": JOURNALED,
    "after the POST was sent": ROTATED,
    "after the server rotated": ROTATED,
    "after the answer was read": ROTATED,
    "in the middle of the save": ROTATED,
    "in the middle of the save, done": SAVED,
    "after the save": SAVED,
    "before release": SAVED,
}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> str:
    """Cloud has a grace of ten minutes for a spent refresh token, Data Center has none."""
    return str(request.param)


@pytest.fixture
def step(request: pytest.FixtureRequest) -> str:
    """Where the victim dies."""
    return str(request.param)


@pytest.fixture
def phase(step: str) -> Phase:
    """What must be true when it has."""
    return STEPS[step]


@pytest.fixture
def outcomes() -> Mapping[tuple[str, tuple[str, ...]], str]:
    """The words for what the next process gets, and for what became of its token requests."""
    return OUTCOMES


# --- columns --------------------------------------------------------------------------------------


class Place(ABC):
    """Where a login is kept; every process makes store objects and connections of its own."""

    @abstractmethod
    def store(self) -> TokenStore:
        """A new store on this place."""

    @abstractmethod
    def set_trap(self, die: Callable[[], None], *, done: bool) -> None:
        """This process dies in the middle of its next save: right before or after it counts."""

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Nothing is left of it."""


def trapped(
    function: Callable[..., Any],
    die: Callable[[], None],
    *,
    done: bool,
    when: Callable[..., bool] = lambda *_: True,
) -> Callable[..., Any]:
    """The function, with an end before or after its work whenever `when` says so."""

    def call(*arguments: Any, **options: Any) -> Any:
        is_time = when(*arguments)
        if is_time and not done:
            die()
        result = function(*arguments, **options)
        if is_time:
            die()
        return result

    return call


class Files(Place):
    """A directory; a save counts with the renaming of a file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def store(self) -> TokenStore:
        return FileTokenStore(self.directory / "tokens")

    def set_trap(self, die: Callable[[], None], *, done: bool) -> None:
        Path.replace = trapped(Path.replace, die, done=done)  # type: ignore[method-assign]


class EncryptedFiles(Files):
    """The same, with sealed texts."""

    key = Fernet.generate_key()

    def store(self) -> TokenStore:
        return EncryptedTokenStore(super().store(), self.key)


class Context(Files):
    """An integration context: a JSON file, which its owner replaces by renaming."""

    def store(self) -> TokenStore:
        return ContextTokenStore(self.get, self.set, lock=self.directory / "locks")

    @property
    def file(self) -> Path:
        return self.directory / "context.json"

    def get(self) -> Any:
        return json.loads(self.file.read_bytes()) if self.file.exists() else None

    def set(self, context: dict[str, Any]) -> None:
        written = self.file.with_suffix(".new")
        written.write_text(json.dumps(context))
        written.replace(self.file)


class Keyring(Files):
    """Files that are sealed with a key from a keyring, which another process has made."""

    def store(self) -> TokenStore:
        file = str(self.directory / "keyring.cfg")
        backend = PlaintextKeyring().with_properties(file_path=file)
        return KeyringTokenStore(backend=backend, directory=self.directory / "tokens")


class Redis(Place):
    """A Redis; a save counts when the script has run, whether the reply is read or not."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"crashes:{uuid.uuid4().hex}:"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def store(self) -> TokenStore:
        return RedisTokenStore(self.client(), prefix=self.prefix, lease=LEASE)

    def set_trap(self, die: Callable[[], None], *, done: bool) -> None:
        def send(connection: Any, *arguments: Any, **options: Any) -> None:
            send_command(connection, *arguments, **options)
            if is_save(connection, *arguments):
                select.select([connection._sock], [], [])  # the reply is there, and stays unread

        def is_save(_connection: Any, *arguments: Any) -> bool:
            return b"HSET" in arguments[1]

        send_command = Connection.send_command
        Connection.send_command = trapped(send, die, done=done, when=is_save)

    def close(self) -> None:
        with self.client() as client:
            for key in client.scan_iter(self.prefix + "*"):
                client.delete(key)


class Database(Place):
    """A table; a save counts with the commit of one UPDATE."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.table = f"crashes_{uuid.uuid4().hex}"
        self.engines: list[sa.Engine] = []
        self.store().create_table()

    def store(self) -> SQLTokenStore:
        self.engines.append(sa.create_engine(self.url))
        return SQLTokenStore(self.engines[-1], table=self.table, lease=LEASE)

    def set_trap(self, die: Callable[[], None], *, done: bool) -> None:
        def at(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("UPDATE") and "save_id=" in statement:
                die()

        moment = "after_cursor_execute" if done else "before_cursor_execute"
        sa.event.listen(sa.Engine, moment, at)

    def close(self) -> None:
        with self.engines[0].begin() as connection:
            connection.execute(sa.text(f"DROP TABLE {self.table}"))
        for engine in self.engines:
            engine.dispose()


#: How a place is made from the directory of a test and the URL of a server, by name.
PLACES: dict[str, Callable[[Path, str], Place]] = {
    "FileTokenStore": lambda path, _: Files(path),
    "EncryptedTokenStore": lambda path, _: EncryptedFiles(path),
    "ContextTokenStore": lambda path, _: Context(path),
    "KeyringTokenStore": lambda path, _: Keyring(path),
    "RedisTokenStore": lambda _, url: Redis(url),
    "SQLTokenStore, PostgreSQL": lambda _, url: Database(url),
    "SQLTokenStore, MariaDB": lambda _, url: Database(url),
    "SQLTokenStore, SQLite": lambda path, _: Database(f"sqlite:///{path}/tokens.db"),
}
URLS = {"RedisTokenStore": "redis_url", "SQLTokenStore, PostgreSQL": "postgres_url"}
URLS |= {"SQLTokenStore, MariaDB": "mysql_url"}
LEASED = [name for name in PLACES if name.startswith(("Redis", "SQL"))]

#: The rows that `make test` measures on Cloud, for all stores but MariaDB; it measures every row of
#: FileTokenStore on Data Center, where a login is lost most easily. `--slow` measures every cell.
SHORT = ("in the middle of the save", "in the middle of the save, done")


def is_short(server: str, step: str, name: str, *, after_the_lease: bool) -> bool:
    """Whether the cell is measured without `--slow`."""
    if server == "data_center":
        return name == "FileTokenStore"
    return step in SHORT and not after_the_lease and "MariaDB" not in name


@dataclass(frozen=True)
class Column:
    """A store, and when the next process comes: the kernel frees its locks at once, so there is
    only one moment for stores without leases.
    """

    name: str
    place: Place
    after_the_lease: bool


@pytest.fixture(scope="module")
def shared_place(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Place]]:
    """The places on servers: one for all tests, which log in under accounts of their own."""
    with ExitStack() as stack:

        @cache
        def shared(name: str) -> Place:
            place = PLACES[name](Path(), request.getfixturevalue(URLS[name]))
            stack.callback(place.close)
            return place

        yield shared


@pytest.fixture
def column(
    request: pytest.FixtureRequest, tmp_path: Path, shared_place: Callable[[str], Place]
) -> Iterator[Column]:
    """Where the login is kept, and when the next process comes."""
    name, after_the_lease = request.param
    if name in URLS:
        yield Column(name, shared_place(name), after_the_lease)
    else:
        with closing(PLACES[name](tmp_path, "")) as place:
            yield Column(name, place, after_the_lease)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All cells; most of them are slow."""
    if not {"server", "step", "column"} <= set(metafunc.fixturenames):
        return
    columns = [*((name, False) for name in PLACES), *((name, True) for name in LEASED)]
    cells = [
        pytest.param(
            server,
            step,
            (name, after_the_lease),
            id=f"{server}-{step}-{name}" + (" after its lease" if after_the_lease else ""),
            marks=()
            if is_short(server, step, name, after_the_lease=after_the_lease)
            else pytest.mark.slow,
        )
        for server in SERVERS
        for step in STEPS
        for name, after_the_lease in columns
    ]
    metafunc.parametrize(("server", "step", "column"), cells, indirect=True)


# --- the document ---------------------------------------------------------------------------------

Cells = dict[tuple[str, str, str], str]
OBSERVED = pytest.StashKey[Cells]()
COMMAND = "python -m pytest tests/crashes -q --slow --write-crash-matrix"

HEAD = f"""\
# Crash matrix

A refresh spends the refresh token at the server and puts a new one into the store. What if the
process is killed in between (`kill -9`, out of memory, power)? The tables tell it for each step of
a refresh and for each store. Each cell was measured: a process really refreshed and was really
killed at that step; then another process, which had nothing but the store, made a request.

*Kept* means that this request was answered with 200, and that the login could be renewed once more
an hour later, by yet another process:

- {KEPT}: the new token set was in the store; no token request was needed.
- {RENEWED}: the server had not rotated yet; one token request brought the new token set.
- {RESENT}: the server had rotated and its answer was gone. One token
  request with the same refresh token, which the server takes again for ten minutes, brought another
  new token set.
- {LOST}: the server had rotated, its answer was gone, and it accepts a refresh token
  only once: nothing can get this login back. The request raised `LoginRequiredError` with
  `reason="answer_lost"` and a text that says just that. A person logged in, and everything worked;
  nothing else had to be repaired.

This page is written by its test, and every run of the test compares it with what is observed:

    {COMMAND}

`make test` measures the cells of FileTokenStore on Data Center, and on Cloud those in the middle of
the save, MariaDB apart; `make slow` measures the others.
"""

NOTES = """
## Notes

- Time runs downwards. Before a refresh token is spent, a journal entry that it is about to be sent
  is saved, which proves as well that the store can be written: *the journal*. *The save* is that of
  the new token set.
- *In the middle of* a save is right before it counts, *done* is right after it, both inside of the
  store: before and after a file is renamed (FileTokenStore, EncryptedTokenStore and
  KeyringTokenStore around one, the file behind the callables of ContextTokenStore), a script runs
  (RedisTokenStore; its reply stays unread), an UPDATE is committed (SQLTokenStore; its result stays
  unread). *After* a save, the call has returned.
- *After the POST was sent*, the server had the request but had not looked at it when the process
  was killed; then it rotated all the same.
- On Data Center a kill costs the login from the moment the server rotates until the save counts:
  the way of one answer and one save, once per refresh. A process that ends by itself waits for
  both.
- On Cloud the login is kept if the next request comes within the ten minutes of grace. Later a
  person has to log in.
- Where the lock is a lease (RedisTokenStore, SQLTokenStore), it outlives its holder, by 60 s unless
  told otherwise. Their cells were measured twice, with a process that came at once and waited for
  the lease, and with one that came when the lease was over. The kernel frees the locks of all other
  stores at once.
- MemoryTokenStore has no column: its logins end with their process, wherever that is killed.
- ContextTokenStore had a directory for locks (`lock=`), KeyringTokenStore a keyring of keyrings.alt
  on a temporary file, with its key in it.
"""


def rendered(cells: Cells) -> str:
    """The document with these cells."""
    names = [column.replace(", ", ",<br>") for column in PLACES]
    parts = [HEAD]
    for server, title in SERVERS.items():
        parts += [f"\n## {title}\n\n", f"| Killed | {' | '.join(names)} |\n"]
        parts += ["|---" * (len(names) + 1) + "|\n"]
        for step in STEPS:
            row = [cells[server, step, column] for column in PLACES]
            parts += [f"| {step} | {' | '.join(row)} |\n"]
    return "".join(parts) + NOTES


def _cells(document: str) -> Cells:
    """The cells of the document."""
    cells: Cells = {}
    for server, title in SERVERS.items():
        _, _, section = document.partition(f"\n## {title}\n")
        table = re.match(r"\s*\|.*\|\n\|[-|]*\|\n((?:\|.*\|\n)*)", section)
        for line in table[1].splitlines() if table else ():
            name, *row = line.strip("| ").split(" | ")
            cells |= {
                (server, name, column): cell for column, cell in zip(PLACES, row, strict=False)
            }
    return cells


@pytest.fixture(scope="session")
def documented() -> Cells:
    """What the document says: by server, step and store."""
    return _cells(DOCUMENT.read_text(encoding="utf-8")) if DOCUMENT.exists() else {}


@pytest.fixture
def render() -> Callable[[Cells], str]:
    """Makes the document from its cells."""
    return rendered


@pytest.fixture
def observe(
    request: pytest.FixtureRequest, documented: Cells
) -> Callable[[str, str, Column, str], None]:
    """Compares what was observed with the document; or keeps it, to write the document anew."""
    config = request.config

    def observe(server: str, step: str, column: Column, outcome: str) -> None:
        cell = server, step, column.name
        if config.getoption("write_crash_matrix", False):
            config.stash.setdefault(OBSERVED, {})[cell] = outcome
        else:
            assert documented.get(cell) == outcome, f"{DOCUMENT} is stale; run: {COMMAND}"

    return observe


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes the document."""
    parser.addoption(
        "--write-crash-matrix",
        action="store_true",
        help=f"write {DOCUMENT.name} from what the tests in {Path(__file__).parent.name} observe",
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over what it has observed."""
    if hasattr(session.config, "workeroutput"):
        cells = session.config.stash.get(OBSERVED, {})
        session.config.workeroutput["crash_matrix"] = list(cells.items())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended."""
    observed = getattr(node, "workeroutput", {}).get("crash_matrix", ())
    node.config.stash.setdefault(OBSERVED, {}).update(
        (tuple(cell), text) for cell, text in observed
    )


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the document, if every cell was observed."""
    if not config.getoption("write_crash_matrix", False):
        return
    cells = config.stash.get(OBSERVED, {})
    missing = len(SERVERS) * len(STEPS) * len(PLACES) - len(cells)
    if missing:
        terminalreporter.write_line(f"{DOCUMENT} is as it was: {missing} cells are missing.")
    else:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(rendered(cells), encoding="utf-8")
        terminalreporter.write_line(f"{DOCUMENT} was written.")
