"""The rows of the table: its columns, and the statements that read and write them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.stores.sql.engines import check_file, make_private
from atlassian_auth_adapter.stores.sql.errors import (
    CONFLICTS,
    DUPLICATE_ROW,
    DUPLICATE_TABLE,
    code_of,
    is_outage,
    is_permanent_refusal,
    statement_failed,
)

__all__ = ["Rows", "table_of"]

T = TypeVar("T")

#: POSIX timestamp by the database's clock. UTC: local time has an hour twice a year.
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}

#: Seconds before each further try of a statement that lost against another process's.
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2)

#: Some collations of MySQL take one name for another: in its Lithuanian, i and y are one letter.
_EXACT = mysql.VARCHAR(64, charset="ascii", collation="ascii_bin")

#: Longest identifier that none of the databases truncates. Source: PostgreSQL, NAMEDATALEN.
_LONGEST_NAME = 63


class _HiddenText(sa.types.TypeDecorator[str]):
    """A long text, which logs do not show: they print the `repr` of a row's values."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        is_mysql = dialect.name in ("mysql", "mariadb")  # whose TEXT ends at 64 KiB
        return dialect.type_descriptor(mysql.LONGTEXT() if is_mysql else sa.Text())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else SecretText(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else SecretText(value)


def table_of(name: object) -> sa.Table:
    """The table of that name, also "schema.table".

    Raises:
        ConfigurationError: It is not a name.
    """
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) not in (1, 2) or not all(0 < len(part) <= _LONGEST_NAME for part in parts):
        raise ConfigurationError(
            f"table must be a name of 1 to {_LONGEST_NAME} characters, or "
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


class Rows:
    """The table, and the LeaseKeeper of the leases in it: each has the name of its row.

    Args:
        engine: Where it is.
        place: The same, for people.
        table: Its columns.
    """

    def __init__(self, engine: sa.Engine, place: str, table: sa.Table) -> None:
        self._table, self._row, self._place = table, table.c, place
        self.where: str = f"table {table.fullname!r} of {place}"
        self._dialect = place.partition(":")[0]
        is_file = self._dialect == "sqlite"
        self._file = Path(place.removeprefix("sqlite:///")) if is_file else None
        self._now: sa.ColumnElement[float] = sa.literal_column(_NOW[self._dialect], sa.Double())
        self._engine = engine.execution_options()  # a view of it: only this one has our listener
        if engine.dialect.driver == "psycopg":
            sa.event.listen(self._engine, "do_execute", _unprepared)

    def create(self) -> None:
        """The table exists."""
        if self._file:
            make_private(self._file)

        def create(connection: sa.Connection) -> None:
            # A login without the right to create tables may find one.
            if not sa.inspect(connection).has_table(self._table.name, self._table.schema):
                with _ignored(DUPLICATE_TABLE):
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
        self._remove_empty(name)

    # --- LeaseKeeper ---

    def take(self, name: str, owner: str, seconds: float) -> bool:
        """As `LeaseKeeper.take`."""
        row = self._row
        has_no_end = row.lock_owner.is_(None) | row.lock_until.is_(None)  # the second: damaged
        is_free = has_no_end | (row.lock_until < self._now)
        lease = {"lock_owner": owner, "lock_until": self._now + seconds}
        statements = self._upsert(name, is_free | (row.lock_owner == owner), **lease)
        return self._change("lock a row of", *statements)

    def renew(self, name: str, owner: str, seconds: float) -> bool:
        """As `LeaseKeeper.renew`."""
        is_owned = self._row.lock_owner == owner
        renewal = self._update(name, is_owned, lock_until=self._now + seconds)
        return self._change("lock a row of", renewal)

    def release(self, name: str, owner: str) -> None:
        """As `LeaseKeeper.release`."""
        is_owned = self._row.lock_owner == owner
        ended = self._update(name, is_owned, lock_owner=None, lock_until=None)
        self._change("unlock a row of", ended)
        self._remove_empty(name)

    # --- statements ---

    def _remove_empty(self, name: str) -> None:
        """A row without entry and lease is deleted."""
        row = self._row
        is_empty = row.version.is_(None) & row.text.is_(None) & row.lock_owner.is_(None)
        self._change("tidy", sa.delete(self._table).where(row.name == name, is_empty))

    def _update(self, name: str, *where: sa.ColumnElement[bool], **values: Any) -> sa.Update:
        return sa.update(self._table).where(self._row.name == name, *where).values(values)

    def _upsert(
        self, name: str, where: sa.ColumnElement[bool], **values: Any
    ) -> list[sa.Update | sa.Insert]:
        """Statements of which one has an effect when the row meets the condition or is missing.

        A row that is there already is no error: servers write failed statements into their log.
        """
        row = {"name": name, **values}
        insert: sa.Insert
        if self._dialect == "postgresql":
            insert = postgresql.insert(self._table).values(row).on_conflict_do_nothing()
            insert = insert.returning(self._row.name)  # psycopg forgets the count of rows
        elif self._dialect == "sqlite":
            insert = sqlite.insert(self._table).values(row).on_conflict_do_nothing()
        else:  # MySQL's IGNORE ignores other errors as well, and it does not log a duplicate key
            insert = sa.insert(self._table).values(row)
        update = self._update(name, where, **values)
        return [update, insert, update]  # another process may insert the row in between

    def _change(self, verb: str, *statements: sa.Update | sa.Insert | sa.Delete) -> bool:
        """Whether one of the statements changed a row; those behind it are not sent."""
        return any(self._run(verb, partial(_has_changed, statement)) for statement in statements)

    def _run(self, verb: str, work: Callable[[sa.Connection], T]) -> T:
        """What the work returns. It may have been done twice, if the first answer was lost.

        Errors of SQLAlchemy hold the statement's parameters, and so do their frames. So what is
        raised here is raised outside of every handler, without them.
        """
        if self._file:
            check_file(self._file)
        pauses, was_lost = iter(_PAUSES), False
        while True:
            is_connected = False
            result: list[T] = []
            try:
                with self._engine.connect() as connection:
                    is_connected = True
                    _use_autocommit(connection)
                    result.append(work(connection))
            except Exception as error:  # noqa: BLE001 - the driver's, and the engine's listeners'
                failure = self._failure(verb, error, is_connected=is_connected)
            if result:  # also when the connection only failed to go back to the pool
                return result[0]
            if failure.is_lost and not was_lost:
                was_lost = True
            elif failure.is_conflict and (pause := next(pauses, None)):
                time.sleep(pause)
            else:
                raise failure.error

    def _failure(self, verb: str, error: Exception, *, is_connected: bool) -> _Failure:
        """What to raise. The driver's own text may quote what was sent, so it is left out."""
        orig = getattr(error, "orig", None) or error
        code, kind, words = code_of(orig), type(orig).__name__, printable(str(orig))
        is_lost = is_connected and getattr(error, "connection_invalidated", False)
        is_conflict = is_connected and code in CONFLICTS
        is_passing = is_lost or is_conflict or is_outage(code)
        if isinstance(error, sa.exc.TimeoutError):
            is_passing = True
            text = (
                f"no connection to {self._place} was free in time: the engine's pool is exhausted. "
                "Give back connections, or make the pool larger (pool_size, max_overflow)."
            )
        elif not is_connected:  # nothing was sent yet
            is_drivers = isinstance(error, sa.exc.OperationalError)
            is_passing = is_passing or (is_drivers and not code)
            is_passing = is_passing and not is_permanent_refusal(words)
            if password := self._engine.url.password:
                words = words.replace(str(password), "***")
            reason = f"{words} ({kind})" if is_drivers else kind
            text = (
                f"cannot connect to {self._place}: {reason}. Check that the database runs and that "
                "the engine names it."
            )
        elif is_lost:
            text = (
                f"the connection to {self._place} broke twice ({kind}). Check that the database "
                "runs, and try again."
            )
        else:
            text = statement_failed(
                code,
                words,
                failure=f"cannot {verb} {self.where}: {kind}{code and f' ({code})'}",
                where=self.where,
                table=self._table.fullname,
                quoted=self._engine.dialect.identifier_preparer.format_table(self._table),
            )
        what = TokenStoreUnavailableError if is_passing else TokenStoreError
        return _Failure(what(text), is_lost=is_lost, is_conflict=is_conflict)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try failed, without the driver's error, which holds secrets."""

    error: TokenStoreError
    is_lost: bool
    is_conflict: bool


def _use_autocommit(connection: sa.Connection) -> None:
    driver = connection.dialect.loaded_dbapi
    try:
        connection.execution_options(isolation_level="AUTOCOMMIT")
    except driver.Error:
        # Perhaps the pool had a dead connection. SQLAlchemy notices that only with a statement; it
        # then drops all connections that are as old.
        connection.execute(sa.select(1))
        raise


def _unprepared(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Prepared statements belong to a session of the server, which a pooler changes."""
    cursor.execute(statement, parameters, prepare=False)
    return True


def _has_changed(statement: sa.Update | sa.Insert | sa.Delete, connection: sa.Connection) -> bool:
    """Whether the statement changed a row."""
    rows = 0
    with _ignored(DUPLICATE_ROW):
        result = connection.execute(statement)
        rows = len(result.all()) if result.returns_rows else result.rowcount
    return rows > 0


@contextmanager
def _ignored(codes: set[str]) -> Iterator[None]:
    """Errors of the driver with these codes are ignored."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if code_of(error.orig) not in codes:
            raise
