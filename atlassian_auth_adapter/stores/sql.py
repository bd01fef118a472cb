"""SQLTokenStore: one row per login in a database that hosts share.

Each statement runs alone, in autocommit mode, on a connection that goes back to the pool at once.
The lock is a lease that lives in the row, so nothing is open while it is held. Nor is a statement
prepared by psycopg, so a pooler that gives each of them another database session, such as PgBouncer
in transaction mode, does no harm.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

try:
    import sqlalchemy as sa
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(
        "SQLAlchemy is not installed: pip install 'atlassian-auth-adapter[sql]'"
    ) from error

from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreUnavailableError,
    without_frames,
)
from atlassian_auth_adapter.pickling import Unique, is_named
from atlassian_auth_adapter.stores.base import Record, TokenKey, record_in, stored_form
from atlassian_auth_adapter.stores.leases import LEASE, checked_lease, held

__all__ = ["SQLTokenStore"]

T = TypeVar("T")

#: POSIX timestamp by the database's clock. UTC: local time has an hour twice a year.
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}

_PORTS = {"postgresql": 5432, "mysql": 3306}

#: Seconds before each further try of a statement that lost against somebody else's.
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)

#: What PostgreSQL, MariaDB and MySQL, and SQLite call that.
_CONFLICTS = {
    *("40001", "40P01", "55P03"),
    *("1020", "1205", "1213"),
    *("SQLITE_BUSY", "SQLITE_LOCKED"),
}

#: Servers that start, stop or are full, and what is between us and them. (And all of SQLSTATE 08.)
_OUTAGES = {
    *("57P01", "57P02", "57P03", "53300"),
    *("1040", "1053", "1203", "2002", "2003", "2005", "2006", "2013", "2055"),
}

#: A refused connection has no SQLSTATE in psycopg. Words for what waiting does not mend, unless ...
_REFUSALS = re.compile("FATAL|ERROR|password|certificate|does not support")
_PASSING_REFUSALS = re.compile(
    "starting up|shutting down|recovery|not yet accepting|terminating|too many|connection slots|"
    "no more connections|try again|cannot connect|timeout|server conn"
)

#: What somebody else has made at the same moment: a row, in MySQL; a table, or one of its parts.
_DUPLICATE_ROW = {"1062"}
_DUPLICATE_TABLE = {"23505", "42P07", "1050"}
_NO_TABLE = {"42P01", "1146"}

_GRANT = "Grant this login SELECT, INSERT, UPDATE and DELETE on the table."
_READ_ONLY = "It is read-only here: name the primary, or a file that this process may write to."
_FULL = "Free some space."
_ADVICE = {
    **dict.fromkeys(("42501", "1142", "1044", "1143"), _GRANT),
    **dict.fromkeys(("25006", "1290", "1792", "1836", "SQLITE_READONLY"), _READ_ONLY),
    **dict.fromkeys(("53100", "1021", "1114", "SQLITE_FULL"), _FULL),
    **dict.fromkeys(("SQLITE_BUSY", "1205"), "Something holds its lock for long: look for it."),
}

_KEPT = "It was kept as it is; repair it, or forget() the login, and log in again."

#: Longest identifier that none of the databases truncates. Source: PostgreSQL, NAMEDATALEN.
_LONGEST_NAME = 63

#: The engines of all stores: what a fork has to separate.
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()

#: The engines that functions of the program have made, while a store has them.
_made: weakref.WeakValueDictionary[Callable[[], object], sa.Engine] = weakref.WeakValueDictionary()
_making = threading.Lock()

#: The parent's connections. Collecting them here would say good-bye to the parent's server.
_inherited: list[sa.Pool] = []


class SQLTokenStore(Unique):
    """Keeps each record in a row; threads, processes and hosts share it.

    PostgreSQL, MariaDB, MySQL, and SQLite in a file, which the processes of one host share. Call
    `create_table()` once, or let a migration create the same table. All methods block on the
    database, each statement on its own connection from the engine's pool; none is held while
    `lock` is. The lock is a lease by the database's clock; those of the hosts play no part.

    A database that does not answer is only noticed as fast as the driver does. So make the engine
    with timeouts (seconds; `tcp_user_timeout` milliseconds):

        create_engine("postgresql+psycopg://...",
                      connect_args={"connect_timeout": 5, "tcp_user_timeout": 10_000})
        create_engine("mysql+pymysql://...",
                      connect_args={"connect_timeout": 5, "read_timeout": 10, "write_timeout": 10})

    Tokens are in the table as plain text: who may read it, has them. That is for the database's
    access list to say, and for the mode of an SQLite file; `create_table` makes a new one 0600.
    The engine's log (`echo`) shows neither tokens nor states, and no error does.

    Two stores are equal when dialect, host, port, database (SQLite: file) and table are, as the
    engine's URL names them; an engine whose URL names no host or database equals only itself. A
    copy is the store itself. Made from a function of a module, a pickle holds the name of that
    function, and works in every process. Made from an engine, a pickle is a reference, which the
    same process and its forked children can follow; in any other process the store says on its
    first use that it cannot.

    Args:
        engine: A synchronous SQLAlchemy engine, or a function without arguments that returns one.
        table: Name of the table, also "schema.table".
        lease: Seconds after which the lock of a killed process is free; longer than the longest
            token request.

    Raises:
        ConfigurationError: An argument is none of these. The text names what to give.
    """

    def __init__(
        self,
        engine: sa.Engine | Callable[[], sa.Engine],
        *,
        table: str = "atlassian_auth_adapter",
        lease: float = LEASE,
    ) -> None:
        self._lease, self._table = checked_lease(lease), table
        columns = _table(table)
        self._function = engine if is_named(engine) else None
        own = _engine_of(engine)
        self._place = _place_of(own)
        self._rows = _Rows(own, self._place, columns)

    def create_table(self) -> None:
        """The table exists. It is left alone when it did; several processes may call this at once.

        Raises:
            TokenStoreError: It cannot be created.
        """
        self._rows.create()

    @without_frames
    def load(self, key: TokenKey) -> Record | None:
        """The record, or None when there is none. Takes no lock.

        Raises:
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses, or the row is damaged. The text names it and what to do;
                nothing was changed.
        """
        generation, text = self._rows.read(key.digest)
        if generation is None and text is None:
            return None
        return _parse(f"{key.digest} in {self._rows.where}", generation, text, key)

    @without_frames
    def save(self, key: TokenKey, record: Record, *, expected: int | None) -> None:
        """The record is committed when this returns, and was written whole or not at all.

        Args:
            key: Under which name.
            record: What to keep.
            expected: Generation that must be stored now; None: there must be no record.

        Raises:
            StaleRecordError: Somebody else was faster; nothing was written.
            TokenStoreUnavailableError: The database cannot be reached just now. The previous record
                still stands. (Only when the connection broke before the answer came, and again,
                the new one may do.)
            TokenStoreError: It refuses; the previous record still stands.
        """
        self.load(key)  # what is damaged, or of a later release, is not overwritten
        # By the random number a save knows itself when its statement had to be sent twice.
        stored = {"save": secrets.token_hex(8), **stored_form(key, record)}
        if not self._rows.write(key.digest, record.generation, json.dumps(stored), expected):
            raise StaleRecordError(
                f"{key.digest} in {self._rows.where} has another generation than {expected}. "
                "Load the record again."
            )

    @without_frames
    def delete(self, key: TokenKey) -> None:
        """There is no record afterwards, whole or damaged. A lock that is held stays.

        Raises:
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses.
        """
        self._rows.clear(key.digest)

    @contextmanager
    def lock(self, key: TokenKey, *, timeout: float) -> Iterator[None]:
        """Exclusive among all who share the table, until the context ends or the lease does.

        Not reentrant. The lease ends when its holder is killed, or hangs, for `lease` seconds; what
        a holder that wakes up later saves is then stale. A forked child of the holder does not hold
        it.

        Args:
            key: What to lock.
            timeout: Seconds to wait for somebody else.

        Raises:
            TokenStoreTimeoutError: Somebody held it all that time.
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses.
        """
        rows = self._rows
        with held(rows, key.digest, lease=self._lease, timeout=timeout, place=rows.where):
            yield

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SQLTokenStore):
            return NotImplemented
        return (self._place, self._table) == (other._place, other._table)

    def __hash__(self) -> int:
        return hash((SQLTokenStore, self._place, self._table))

    def __repr__(self) -> str:
        return f"SQLTokenStore({self._place!r}, table={self._table!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._function is None:
            return super().__reduce__()
        return _from_function, (self._function, self._table, self._lease)

    def _elsewhere(self) -> tuple[Any, ...]:
        return _out_of_place, self._place, self._table


class _Rows:
    """The table, and the leases in it: each is named by the digest of its row.

    Args:
        engine: Where it is; None: this process has no engine for it.
        place: What people call that.
        table: Its columns.
    """

    def __init__(self, engine: sa.Engine | None, place: str, table: sa.Table) -> None:
        self._table, self._row, self._place = table, table.c, place
        self.where = f"table {table.fullname!r} of {place}"
        self._dialect = place.partition(":")[0]
        self._now: sa.ColumnElement[float] = sa.literal_column(_NOW[self._dialect], sa.Double())
        self._engine = engine and engine.execution_options()  # only what we do has our listener
        if engine and self._engine:
            _engines.add(engine)
            if engine.dialect.driver == "psycopg":
                sa.event.listen(self._engine, "do_execute", _unprepared)

    def create(self) -> None:
        """The table exists."""
        if self._dialect == "sqlite":
            _make_private(Path(self._place.removeprefix("sqlite:///")))

        def create(connection: sa.Connection) -> None:
            # Who may not create tables may find one.
            if not sa.inspect(connection).has_table(self._table.name, self._table.schema):
                with _ignored(_DUPLICATE_TABLE):
                    connection.execute(CreateTable(self._table, if_not_exists=True))

        self._run("create", create)

    def read(self, digest: str) -> tuple[int | None, str | None]:
        """Generation and text of the record, as they are."""
        query = sa.select(self._row.generation, self._row.record).where(self._row.digest == digest)
        found = self._run("read", lambda connection: connection.execute(query).first())
        return (found.generation, found.record) if found else (None, None)

    def write(self, digest: str, generation: int, text: str, expected: int | None) -> bool:
        """Whether the text, which nobody else writes, replaced what was expected."""
        is_expected = self._row.generation == expected
        values = {"generation": generation, "record": text}
        statements: list[sa.Update | sa.Insert] = [self._update(digest, is_expected, **values)]
        if expected is None:
            statements = self._upsert(digest, is_expected, **values)
        return self._change("save to", *statements) or self.read(digest)[1] == text

    def clear(self, digest: str) -> None:
        """There is no record."""
        self._change("delete from", self._update(digest, generation=None, record=None))
        self._tidy(digest)

    def take(self, name: str, owner: str, seconds: float) -> bool:
        """Whether the lease was free, or has ended, and is the owner's now."""
        row = self._row
        is_free = row.lock_owner.is_(None) | (row.lock_until < self._now)
        lease = {"lock_owner": owner, "lock_until": self._now + seconds}
        statements = self._upsert(name, is_free | (row.lock_owner == owner), **lease)
        return self._change("lock a row of", *statements)

    def renew(self, name: str, owner: str, seconds: float) -> bool:
        """Whether the lease is still the owner's, and lasts so long from now."""
        is_ours = self._row.lock_owner == owner
        renewal = self._update(name, is_ours, lock_until=self._now + seconds)
        return self._change("lock a row of", renewal)

    def release(self, name: str, owner: str) -> None:
        """The lease is free if it was the owner's."""
        is_ours = self._row.lock_owner == owner
        self._change(
            "unlock a row of", self._update(name, is_ours, lock_owner=None, lock_until=None)
        )
        self._tidy(name)

    def _tidy(self, digest: str) -> None:
        """A row that holds neither record nor lease vanishes."""
        row = self._row
        is_empty = row.generation.is_(None) & row.record.is_(None) & row.lock_owner.is_(None)
        self._change("tidy", sa.delete(self._table).where(row.digest == digest, is_empty))

    def _update(self, digest: str, *where: sa.ColumnElement[bool], **values: Any) -> sa.Update:
        return sa.update(self._table).where(self._row.digest == digest, *where).values(values)

    def _upsert(
        self, digest: str, where: sa.ColumnElement[bool], **values: Any
    ) -> list[sa.Update | sa.Insert]:
        """Statements of which one has an effect when the row fulfils the condition or is missing.

        A conflict is no error: servers write statements that fail into their log.
        """
        row = {"digest": digest, **values}
        insert: sa.Insert
        if self._dialect == "postgresql":
            insert = postgresql.insert(self._table).values(row).on_conflict_do_nothing()
            insert = insert.returning(self._row.digest)  # psycopg forgets the count of rows
        elif self._dialect == "sqlite":
            insert = sqlite.insert(self._table).values(row).on_conflict_do_nothing()
        else:  # its IGNORE would ignore more than that, and it logs no duplicate key
            insert = sa.insert(self._table).values(row)
        update = self._update(digest, where, **values)
        return [update, insert, update]  # somebody else may insert the row in between

    def _change(self, verb: str, *statements: sa.Update | sa.Insert | sa.Delete) -> bool:
        """Whether one changed a row: then the rest is not sent."""
        return any(self._run(verb, partial(_has_changed, statement)) for statement in statements)

    def _run(self, verb: str, work: Callable[[sa.Connection], T]) -> T:
        """What the work returns. It may have been done twice, if the first answer was lost.

        Errors of SQLAlchemy hold the statement's parameters, and their frames as well. So none of
        them survives: what is raised here is raised outside of every handler.
        """
        engine, pauses, was_lost = self._engine, iter(_PAUSES), False
        if engine is None:
            raise TokenStoreError(
                f"this SQLTokenStore for {self.where} was made from an engine and unpickled in "
                "another process, where that engine is not. Make it from a function of a module "
                "that returns an engine: SQLTokenStore(make_engine)."
            )
        while True:
            is_connected = False
            result: list[T] = []
            try:
                with engine.connect() as connection:
                    is_connected = True
                    _use_autocommit(connection)
                    result.append(work(connection))
            except Exception as error:  # noqa: BLE001 - the driver's, and the engine's listeners'
                failure = self._failure(engine, verb, error, is_connected=is_connected)
            if result:  # also when the connection only failed to go back to the pool
                return result[0]
            if failure.is_lost and not was_lost:
                was_lost = True
            elif failure.is_conflict and (pause := next(pauses, None)):
                time.sleep(pause)
            else:
                raise failure.error

    def _failure(
        self, engine: sa.Engine, verb: str, error: Exception, *, is_connected: bool
    ) -> _Failure:
        """What to raise. The driver's own words may quote what was sent, so they stay here."""
        orig = getattr(error, "orig", None) or error
        code, kind, words = _code(orig), type(orig).__name__, " ".join(str(orig).split())
        is_lost = is_connected and getattr(error, "connection_invalidated", False)
        is_conflict = is_connected and code in _CONFLICTS
        is_passing = is_lost or is_conflict or code in _OUTAGES or code.startswith("08")
        if isinstance(error, sa.exc.TimeoutError):
            is_passing = True
            text = (
                f"no connection to {self._place} was free in time: the engine's pool is exhausted. "
                "Give back what is not needed, or make the pool larger (pool_size, max_overflow)."
            )
        elif not is_connected:  # nothing was sent yet
            is_drivers = isinstance(error, sa.exc.OperationalError)
            is_passing |= is_drivers and not code
            if _REFUSALS.search(words) and not _PASSING_REFUSALS.search(words):
                is_passing = False
            if password := engine.url.password:
                words = words.replace(str(password), "***")
            reason = f"{words} ({kind})" if is_drivers else kind
            text = (
                f"cannot connect to {self._place}: {reason}. Check that the database runs and that "
                "the engine names it."
            )
        elif code in _NO_TABLE or "no such table" in words:
            text = (
                f"{self.where} does not exist. Create it once: "
                f"SQLTokenStore(engine, table={self._table.fullname!r}).create_table()"
            )
        elif is_lost:
            text = (
                f"the connection to {self._place} broke twice ({kind}). Check that the database "
                "runs, and try again."
            )
        else:
            advice = _ADVICE.get(code, "Look into the log of the database.")
            text = f"cannot {verb} {self.where}: {kind}{code and f' ({code})'}. {advice}"
        what = TokenStoreUnavailableError if is_passing else TokenStoreError
        return _Failure(what(text), is_lost=is_lost, is_conflict=is_conflict)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try failed, without the driver's error, which holds secrets."""

    error: TokenStoreError
    is_lost: bool
    is_conflict: bool


class _Hidden(str):
    """A text that logs and tracebacks do not show: they print the `repr` of what is in a row."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<record>"


class _RecordText(sa.types.TypeDecorator[str]):
    """A long text that is hidden on its way in and out."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        is_mysql = dialect.name in ("mysql", "mariadb")  # whose TEXT ends at 64 KiB
        return dialect.type_descriptor(mysql.LONGTEXT() if is_mysql else sa.Text())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else _Hidden(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else _Hidden(value)


def _table(name: object) -> sa.Table:
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) not in (1, 2) or not all(0 < len(part) <= _LONGEST_NAME for part in parts):
        raise ConfigurationError(
            f"table={name!r} must be a name of 1 to {_LONGEST_NAME} characters, or "
            "'schema.table' with two of them."
        )
    return sa.Table(
        parts[-1],
        sa.MetaData(),
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("generation", sa.BigInteger),
        sa.Column("record", _RecordText),
        sa.Column("lock_owner", sa.String(32)),
        sa.Column("lock_until", sa.Double),
        schema=parts[0] if len(parts) == 2 else None,
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def _engine_of(given: object) -> sa.Engine:
    if isinstance(given, sa.Engine):
        return given
    made: object = given
    if is_named(given) and callable(given):
        with _making:
            made = _made.get(given) or given()
            if isinstance(made, sa.Engine):
                _made[given] = made
    elif callable(given):
        made = given()
    if not isinstance(made, sa.Engine):
        kind = type(made).__name__  # a URL may hold a password
        raise ConfigurationError(
            f"SQLTokenStore needs a synchronous SQLAlchemy engine, not a {kind}: give what "
            "sqlalchemy.create_engine(url) returns, or a function without arguments that returns "
            "such an engine."
        )
    return made


def _place_of(engine: sa.Engine) -> str:
    """Where the engine's database is: what equal stores have in common. Holds no secret."""
    dialect = {"mariadb": "mysql"}.get(engine.dialect.name, engine.dialect.name)
    if dialect not in _NOW or engine.dialect.is_async:
        raise ConfigurationError(
            f"SQLTokenStore does not know {engine.dialect.name}+{engine.dialect.driver}. Give a "
            "synchronous engine for PostgreSQL, MariaDB, MySQL or SQLite."
        )
    url = engine.url
    if dialect == "sqlite":
        if url.query.get("mode") == "memory":
            url = url.set(database=":memory:")
        return f"sqlite:///{_sqlite_file(url.database or '')}"
    host = _joined(url.host or url.query.get("unix_socket") or url.query.get("host") or "")
    if "/" not in host:  # no socket's path
        host = host.lower()
    port = _joined(url.port or url.query.get("port") or _PORTS[dialect])
    if not host or not url.database:  # the driver's defaults, or a `creator`, decide
        host += f"<engine {id(engine):#x}>"
    return f"{dialect}://{host}:{port}/{url.database or ''}"


def _joined(parts: object) -> str:
    """PostgreSQL's URLs may name several hosts."""
    return ",".join(map(str, parts)) if isinstance(parts, tuple) else str(parts)


def _sqlite_file(database: str) -> str:
    path, is_memory = database, database in ("", ":memory:")
    if database.startswith("file:"):
        parts = urlsplit(database)
        path = unquote(parts.path)
        is_memory = path in ("", ":memory:") or parse_qs(parts.query).get("mode") == ["memory"]
    if is_memory:
        raise ConfigurationError(
            "SQLTokenStore needs an SQLite file that its URL names: sqlite:////path/of/the/file. A "
            "database in memory is another one for each thread; MemoryTokenStore() is for that."
        )
    return os.path.realpath(path)


def _make_private(file: Path) -> None:
    """A new file is for this user only. (Connecting would create it as the umask says.)"""
    with suppress(OSError):  # connecting will say what is wrong
        file.touch(mode=0o600)
        if not file.stat().st_size:
            file.chmod(0o600)


def _use_autocommit(connection: sa.Connection) -> None:
    driver = connection.dialect.loaded_dbapi
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
    except driver.Error:
        # Perhaps the pool had a dead connection. SQLAlchemy notices that only with a statement; it
        # then drops all that are as old.
        connection.execute(sa.select(1))
        raise


def _unprepared(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Prepared statements belong to a session of the server, which a pooler changes."""
    cursor.execute(statement, parameters, prepare=False)
    return True


def _has_changed(statement: sa.Update | sa.Insert | sa.Delete, connection: sa.Connection) -> bool:
    """Whether the statement changed a row."""
    rows = 0
    with _ignored(_DUPLICATE_ROW):
        result = connection.execute(statement)
        rows = len(result.all()) if result.returns_rows else result.rowcount
    return rows > 0


@contextmanager
def _ignored(codes: set[str]) -> Iterator[None]:
    """What the driver calls so is no failure."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if _code(error.orig) not in codes:
            raise


def _code(orig: object) -> str:
    """What the driver calls it: an SQLSTATE, the number of MySQL, the name of SQLite, or ""."""
    number = next(iter(getattr(orig, "args", ())), None)
    if isinstance(number, int):  # PyMySQL has an SQLSTATE as well, which says less
        return str(number)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        if code := getattr(orig, name, None):
            # SQLite's extended names: SQLITE_BUSY_RECOVERY, SQLITE_READONLY_DIRECTORY, ...
            return "_".join(str(code).split("_")[:2])
    return ""


def _parse(row: str, generation: int | None, text: str | None, key: TokenKey) -> Record:
    record = record_in(text or "", key, row)
    if record.generation != generation:
        raise TokenStoreError(f"{row} is damaged: its columns do not fit together. {_KEPT}")
    return record


def _from_function(function: Callable[[], sa.Engine], table: str, lease: float) -> SQLTokenStore:
    return SQLTokenStore(function, table=table, lease=lease)


def _out_of_place(place: str, table: str) -> SQLTokenStore:
    store = SQLTokenStore.__new__(SQLTokenStore)
    rows = _Rows(None, place, _table(table))
    vars(store).update(_lease=LEASE, _function=None, _place=place, _table=table, _rows=rows)
    return store


def _after_fork_in_child() -> None:
    global _making  # noqa: PLW0603 - another thread of the parent may have held it
    _making = threading.Lock()
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
