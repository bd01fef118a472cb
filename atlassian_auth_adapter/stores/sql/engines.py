"""Engines: which database one leads to, and how a forked child gets connections of its own."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import sqlalchemy as sa

from atlassian_auth_adapter.disk.files import check_private
from atlassian_auth_adapter.errors import ConfigurationError
from atlassian_auth_adapter.pickling import is_named
from atlassian_auth_adapter.stores.thread_locks import ThreadLocks
from atlassian_auth_adapter.threads import after_fork

__all__ = ["check_file", "engine_of", "make_private", "place_of"]

_PORTS = {"postgresql": 5432, "mysql": 3306}

#: The engines of all stores, whose connections a forked child must not use. Per process, weak.
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()

#: The engines that functions of the program have made, while a store has them. Per process, weak;
#: each entry is guarded by the lock of its function.
_made: weakref.WeakValueDictionary[Callable[[], object], sa.Engine] = weakref.WeakValueDictionary()
_locks = ThreadLocks()

#: In a forked child, the pools of its parent: collecting them would close the parent's connections.
#: Written by the fork alone.
_inherited: list[sa.Pool] = []


def engine_of(given: object) -> sa.Engine:
    """The engine itself, or the one that a function returns: one for each function of a module.

    Forked children open connections of their own.

    Raises:
        ConfigurationError: It is neither.
    """
    made = given
    if is_named(given) and callable(given):
        with _locks.held(given):
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
    _engines.add(made)
    return made


def place_of(engine: sa.Engine) -> str:
    """Where the engine's database is, for people; without secrets.

    Raises:
        ConfigurationError: It is a database that SQLTokenStore does not know.
    """
    dialect = {"mariadb": "mysql"}.get(engine.dialect.name, engine.dialect.name)
    if dialect not in (*_PORTS, "sqlite") or engine.dialect.is_async:
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


def make_private(file: Path) -> None:
    """A new file of SQLite is for this user only. (Connecting would make it as the umask says.)

    It is made under another name: to close a file ends the locks that SQLite has on it in this
    process, also those of other threads. Source: sqlite.org/howtocorrupt.html, section 2.2.
    """
    with suppress(OSError):  # connecting will say what is wrong
        if not file.exists():
            descriptor, new = tempfile.mkstemp(prefix=f"{file.name}.", dir=file.parent)  # mode 0600
            os.close(descriptor)
            try:
                os.link(new, file)
            except FileExistsError:  # another process has made it
                pass
            except OSError:  # a file system without hard links
                file.touch(mode=0o600)
            finally:
                Path(new).unlink()
        if not file.stat().st_size:
            file.chmod(0o600)


def check_file(file: Path) -> None:
    """Raise TokenStoreError if other users have access to an SQLite file, or to one beside it.

    SQLite writes what is saved into these as well, with the mode that the file has at that time.
    """
    for suffix in ("", "-wal", "-journal", "-shm"):
        beside = file.with_name(f"{file.name}{suffix}")
        with suppress(OSError):  # it is not there, or connecting will say what is wrong
            status = beside.stat()
            if status.st_size:
                check_private(beside, status)


def _separate_from_parent() -> None:
    """A forked child opens connections of its own, and does not close those of its parent."""
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


after_fork(_separate_from_parent)
