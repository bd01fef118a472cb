"""SQLTokenStore: one row per entry in a database that hosts share.

    name        fb4c16e78550eae9a58551103306e889
    version     3; null, as the text is, in a row that is only a lease
    text        <what was saved>
    save_id     <random>: by it a save recognises its statement when that had to be sent twice
    lock_owner  <random>, with an end in lock_until: the lease

Each statement runs alone, in autocommit mode, on a connection that goes back to the pool at once.
The lock is a lease that lives in the row, so nothing is open while it is held. Nor is a statement
prepared by psycopg, so a pooler that gives each of them another database session, such as PgBouncer
in transaction mode, does no harm.
"""

from __future__ import annotations

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
from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.stores.base import KEPT, Entry, check_version, checked_name
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

#: Seconds before each further try of a statement that lost against another process's.
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

#: What another process has made at the same moment: a row, in MySQL; a table, or a part of it.
_DUPLICATE_ROW = {"1062"}
_DUPLICATE_TABLE = {"23505", "42P07", "1050"}
_NO_TABLE = {"42P01", "1146"}
_NO_COLUMN = {"42703", "1054"}

_GRANT = "Grant this login SELECT, INSERT, UPDATE and DELETE on the table."
_READ_ONLY = "It is read-only here: name the primary, or a file that this process may write to."
_FULL = "Free some space."
_ADVICE = {
    **dict.fromkeys(("42501", "1142", "1044", "1143"), _GRANT),
    **dict.fromkeys(("25006", "1290", "1792", "1836", "SQLITE_READONLY"), _READ_ONLY),
    **dict.fromkeys(("53100", "1021", "1114", "SQLITE_FULL"), _FULL),
    **dict.fromkeys(("SQLITE_BUSY", "1205"), "Something holds its lock for long: look for it."),
}

#: Some collations of MySQL take one name for another: in its Lithuanian, i and y are one letter.
_EXACT = mysql.VARCHAR(64, charset="ascii", collation="ascii_bin")

#: Longest identifier that none of the databases truncates. Source: PostgreSQL, NAMEDATALEN.
_LONGEST_NAME = 63

#: The engines of all stores: what a fork has to separate.
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()

#: The engines that functions of the program have made, while a store has them.
_made: weakref.WeakValueDictionary[Callable[[], object], sa.Engine] = weakref.WeakValueDictionary()
_making = threading.Lock()

#: The parent's connections. Collecting them here would say good-bye to the parent's server.
_inherited: list[sa.Pool] = []


class SQLTokenStore(PickledByReference):
    """Keeps each entry in a row; threads, processes and hosts share it.

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
    Neither the engine's log (`echo`) nor an error shows what is saved.

    A copy is the store itself. Made from a function of a module, a pickle holds the name of that
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
    def load(self, name: str) -> Entry | None:
        """See `TokenStore.load`. Takes no lock.

        Raises:
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses, or the row is damaged. The text names it and what to do;
                nothing was changed.
        """
        version, text, _ = self._rows.read(checked_name(name))
        return _entry(version, text, self._where(name))

    @without_frames
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """See `TokenStore.save`. Needs no lock.

        Raises:
            StaleRecordError: Another version is stored than was expected; nothing was written.
            TokenStoreUnavailableError: The database cannot be reached just now. The previous entry
                still stands. (Only when the connection broke before the answer came, and again,
                the new one may do.)
            TokenStoreError: It refuses, or the row is damaged; the previous entry still stands.
        """
        save_id = secrets.token_hex(16)
        if self._rows.write(checked_name(name), text, expected, save_id):
            return
        version, there, last_save = self._rows.read(name)
        if last_save == save_id:
            return
        where = self._where(name)
        check_version(_entry(version, there, where), expected, where)
        raise StaleRecordError(f"{where} has changed a moment ago. Load it again.")

    @without_frames
    def delete(self, name: str) -> None:
        """See `TokenStore.delete`. A lock that is held stays.

        Raises:
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses.
        """
        self._rows.clear(checked_name(name))

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        """See `TokenStore.lock`: exclusive among all who share the table.

        Not reentrant. The lease ends when its holder is killed, or hangs, for `lease` seconds; what
        a holder that wakes up later saves is then stale. A forked child of the holder does not hold
        it.

        Raises:
            TokenStoreTimeoutError: Another one held it all that time.
            TokenStoreUnavailableError: The database cannot be reached just now.
            TokenStoreError: It refuses.
        """
        rows, name = self._rows, checked_name(name)
        with held(rows, name, lease=self._lease, timeout=timeout, place=rows.where):
            yield

    def _where(self, name: str) -> str:
        return f"{name} in {self._rows.where}"

    def __repr__(self) -> str:
        return f"SQLTokenStore({self._place!r}, table={self._table!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._function is None:
            return super().__reduce__()
        return _from_function, (self._function, self._table, self._lease)

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return _out_of_place, self._place, self._table


class _Rows:
    """The table, and the leases in it: each has the name of its row.

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
            # A login without the right to create tables may find one.
            if not sa.inspect(connection).has_table(self._table.name, self._table.schema):
                with _ignored(_DUPLICATE_TABLE):
                    connection.execute(CreateTable(self._table, if_not_exists=True))

        self._run("create", create)

    def read(self, name: str) -> tuple[int | None, str | None, str | None]:
        """Version, text and save id of the row, as they are."""
        row = self._row
        query = sa.select(row.version, row.text, row.save_id).where(row.name == name)
        found = self._run("read", lambda connection: connection.execute(query).first())
        return (found.version, found.text, found.save_id) if found else (None, None, None)

    def write(self, name: str, text: str, expected: int | None, save_id: str) -> bool:
        """Whether the text replaced what was expected, and that was not damaged."""
        row, version = self._row, (expected or 0) + 1
        values = {"version": version, "text": text, "save_id": save_id}
        if expected is None:
            is_empty = row.version.is_(None) & row.text.is_(None)
            return self._change("save to", *self._upsert(name, is_empty, **values))
        is_expected = (row.version == expected) & row.text.is_not(None)
        return self._change("save to", self._update(name, is_expected, **values))

    def clear(self, name: str) -> None:
        """There is no entry."""
        self._change("delete from", self._update(name, version=None, text=None, save_id=None))
        self._tidy(name)

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

    def _tidy(self, name: str) -> None:
        """A row that holds neither entry nor lease vanishes."""
        row = self._row
        is_empty = row.version.is_(None) & row.text.is_(None) & row.lock_owner.is_(None)
        self._change("tidy", sa.delete(self._table).where(row.name == name, is_empty))

    def _update(self, name: str, *where: sa.ColumnElement[bool], **values: Any) -> sa.Update:
        return sa.update(self._table).where(self._row.name == name, *where).values(values)

    def _upsert(
        self, name: str, where: sa.ColumnElement[bool], **values: Any
    ) -> list[sa.Update | sa.Insert]:
        """Statements of which one has an effect when the row fulfils the condition or is missing.

        A conflict is no error: servers write statements that fail into their log.
        """
        row = {"name": name, **values}
        insert: sa.Insert
        if self._dialect == "postgresql":
            insert = postgresql.insert(self._table).values(row).on_conflict_do_nothing()
            insert = insert.returning(self._row.name)  # psycopg forgets the count of rows
        elif self._dialect == "sqlite":
            insert = sqlite.insert(self._table).values(row).on_conflict_do_nothing()
        else:  # its IGNORE would ignore more than that, and it logs no duplicate key
            insert = sa.insert(self._table).values(row)
        update = self._update(name, where, **values)
        return [update, insert, update]  # another process may insert the row in between

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
        elif code in _NO_COLUMN or "no such column" in words:
            table = engine.dialect.identifier_preparer.format_table(self._table)
            text = (
                f"{self.where} lacks a column: it was made by an earlier release, in a form that "
                f"this one does not read. Drop it (DROP TABLE {table}), call create_table(), and "
                "sign in again."
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
        return "<text>"


class _HiddenText(sa.types.TypeDecorator[str]):
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
        sa.Column("name", sa.String(64).with_variant(_EXACT, "mysql", "mariadb"), primary_key=True),
        sa.Column("version", sa.BigInteger),
        sa.Column("text", _HiddenText),
        sa.Column("save_id", sa.String(32)),
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
    """Where the engine's database is, for people. Holds no secret."""
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
    default = "<default>"  # as the driver says, or a `creator`
    host = _joined(url.host or url.query.get("unix_socket") or url.query.get("host") or default)
    port = _joined(url.port or url.query.get("port") or _PORTS[dialect])
    return f"{dialect}://{host}:{port}/{url.database or default}"


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


def _entry(version: int | None, text: str | None, where: str) -> Entry | None:
    """The entry that the columns of a row hold."""
    if version is None and text is None:
        return None
    if isinstance(version, int) and version > 0 and text is not None:
        return Entry(str(text), version)
    raise TokenStoreError(f"{where} is damaged: its columns do not fit together. {KEPT}")


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
