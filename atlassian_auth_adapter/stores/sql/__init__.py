"""SQLTokenStore: one row per entry in a database that hosts share.

    name        fb4c16e78550eae9a58551103306e889
    version     3; null, as the text is, in a row that is only a lease
    text        <what was saved>
    save_id     <random>: by it a save recognises its statement when that had to be sent twice
    lock_owner  <random>, with an end in lock_until: the lease

Each statement runs alone, in autocommit mode, on a connection that goes back to the pool at once.
The lock is a lease in the row, so no connection is open while it is held. psycopg prepares no
statement, so a pooler that gives each statement another session of the database (PgBouncer in
transaction mode) works.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from atlassian_auth_adapter.errors import (
    StaleRecordError,
    TokenStoreError,
    optional_import,
    without_frames,
)

with optional_import("SQLAlchemy", "sql"):
    import sqlalchemy as sa

from atlassian_auth_adapter.pickling import PickledByReference, is_named
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.stores.base import (
    KEPT,
    Entry,
    StoreOfOtherProcess,
    check_version,
    checked_name,
)
from atlassian_auth_adapter.stores.leases import LEASE, checked_lease, held
from atlassian_auth_adapter.stores.sql.engines import engine_of, place_of
from atlassian_auth_adapter.stores.sql.rows import Rows, table_of

__all__ = ["SQLTokenStore"]


class SQLTokenStore(PickledByReference):
    """Keeps each entry in a row; threads, processes and hosts share it.

    PostgreSQL, MariaDB, MySQL, and SQLite in a file, which the processes of one host share. Call
    `create_table()` once, or let a migration create the same table. All methods block on the
    database, each statement on its own connection from the engine's pool; no connection is held
    while `lock` is. The lock is a lease by the database's clock; the hosts' clocks do not matter.

    The store notices a database that does not answer when the driver does. So make the engine with
    timeouts (seconds; `tcp_user_timeout` milliseconds):

        create_engine("postgresql+psycopg://...",
                      connect_args={"connect_timeout": 5, "tcp_user_timeout": 10_000})
        create_engine("mysql+pymysql://...",
                      connect_args={"connect_timeout": 5, "read_timeout": 10, "write_timeout": 10})

    The table holds tokens in plain text: limit who may read it by the database's privileges, or use
    EncryptedTokenStore. An SQLite file, or one that SQLite keeps beside it, to which other users
    have access is refused; `create_table` makes a new one with mode 0600. Neither the engine's log
    (`echo`) nor an error shows what is saved.

    A copy is the store itself. If `engine` is a function of a module, a pickle holds its name and
    works in every process. Otherwise it works in this process and its forked children only; in any
    other process every method raises TokenStoreError.

    Args:
        engine: A synchronous SQLAlchemy engine, or a function without arguments that returns one.
        table: Name of the table, also "schema.table".
        lease: Seconds after which the lock of a killed process is free; longer than the longest
            token request.

    Raises:
        ConfigurationError: An argument is something else. The text says what to give.
    """

    def __init__(
        self,
        engine: sa.Engine | Callable[[], sa.Engine],
        *,
        table: str = "atlassian_auth_adapter",
        lease: float = LEASE,
    ) -> None:
        engine = hidden(engine)  # a partial may hold a password
        self._lease, self._table = checked_lease(lease), table
        columns = table_of(table)
        self._function = engine if is_named(engine) else None
        own = engine_of(engine)
        self._place = place_of(own)
        self._rows = Rows(own, self._place, columns)

    def create_table(self) -> None:
        """The table exists; if it did before, it is unchanged. Processes may call this at once.

        Raises:
            TokenStoreError: It cannot be created.
        """
        self._rows.create()

    @without_frames
    def load(self, name: str) -> Entry | None:
        """As `TokenStore.load`. Takes no lock."""
        version, text, _ = self._rows.read(checked_name(name))
        return _entry(version, text, self._where(name))

    @without_frames
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """As `TokenStore.save`. Needs no lock.

        Raises:
            TokenStoreUnavailableError: The database cannot be reached just now. The previous entry
                still stands, unless the connection broke twice before the answer came.
        """
        save_id, text = secrets.token_hex(16), hidden(text)
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
        """As `TokenStore.delete`. A lock that is held stays."""
        self._rows.clear(checked_name(name))

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """As `TokenStore.lock`, among all that share the table: a lease, see `leases.py`."""
        rows, lease = self._rows, self._lease
        return held(rows, checked_name(name), lease=lease, timeout=timeout, place=rows.where)

    def _where(self, name: str) -> str:
        return f"{name} in {self._rows.where}"

    def __repr__(self) -> str:
        return f"SQLTokenStore({self._place!r}, table={self._table!r})"

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        if self._function:
            options: dict[str, Any] = {"table": self._table, "lease": self._lease}
            return (partial(SQLTokenStore, self._function, **options),)
        reason = (
            f"this SQLTokenStore for {self._rows.where} was made from an engine and unpickled in "
            "another process, where that engine is not. Make it from a function of a module that "
            "returns an engine: SQLTokenStore(make_engine)."
        )
        return StoreOfOtherProcess, repr(self), reason


def _entry(version: int | None, text: str | None, where: str) -> Entry | None:
    """The entry that the columns of a row hold."""
    if version is None and text is None:
        return None
    if isinstance(version, int) and version > 0 and text is not None:
        return Entry(str(text), version)
    raise TokenStoreError(f"{where} is damaged: its columns do not fit together. {KEPT}")
