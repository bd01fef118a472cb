"""SQLTokenStore: the contract on three databases, and what servers, poolers and clocks do."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import pickle
import re
import signal
import socket
import stat
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
    TokenStoreUnavailableError,
)
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.stores.sql import SQLTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    in_forked_child,
    needs_fork,
    process,
    together,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    TokenStoreContract,
    assert_no_secret,
    text_of,
)
from atlassian_auth_adapter.testing.contracts.stores.base import StoreTests
from atlassian_auth_adapter.testing.contracts.stores.entries import EntryTests
from atlassian_auth_adapter.testing.contracts.stores.outages import OutageTests
from atlassian_auth_adapter.testing.contracts.stores.sharing import SharingTests

from . import helpers
from .helpers import TRY_EVERYTHING, in_new_process, locking, until, variables_of

NEWER = text_of(8)
FIRST, SECOND = Entry(TEXT, 1), Entry(NEWER, 2)
SHORT = 1.0  # seconds of a lease whose end a test waits for

_MODULE = """
import sqlalchemy

ENGINES = []

def make_engine():
    ENGINES.append(sqlalchemy.create_engine({url!r}, **{options!r}))
    return ENGINES[-1]
"""


@pytest.fixture
def function_for(tmp_path, monkeypatch):
    """Makes a function of a module, which other processes can import, that returns an engine."""
    monkeypatch.syspath_prepend(tmp_path)
    with ExitStack() as stack:

        def write(url, **options):
            name = f"engines_{uuid.uuid4().hex}"
            (tmp_path / f"{name}.py").write_text(_MODULE.format(url=url, options=options))
            module = importlib.import_module(name)
            stack.callback(lambda: [engine.dispose() for engine in module.ENGINES])
            return module.make_engine

        yield write


@pytest.fixture
def engine_for():
    """Makes an engine, disposed afterwards."""
    with ExitStack() as stack:

        def make(url, **options):
            engine = sa.create_engine(url, **options)
            stack.callback(engine.dispose)
            return engine

        yield make


#: Left to `make slow`: what is true of PostgreSQL hardly ever differs here.
MARIADB = pytest.param("mysql_url", marks=pytest.mark.slow)


@pytest.fixture(params=["postgres_url", MARIADB, "sqlite"])
def url(request, tmp_path):
    """The URL of each database, one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'logins.db'}"
    return request.getfixturevalue(request.param)


servers = pytest.mark.parametrize("url", ["postgres_url", MARIADB], indirect=True)
only_postgres = pytest.mark.parametrize("url", ["postgres_url"], indirect=True)
only_mysql = pytest.mark.parametrize("url", [MARIADB], indirect=True)
only_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def table(url):
    """A name for a table of the test's own, dropped afterwards."""
    name = f"aaa_{uuid.uuid4().hex[:16]}"
    yield name
    run(url, f"DROP TABLE IF EXISTS {name}")


@pytest.fixture
def engine(url, engine_for):
    """An engine for the database."""
    return engine_for(url)


@pytest.fixture
def store(engine, table):
    """A store with its table, made from an engine."""
    return made(engine, table)


def made(engine, table, **options):
    """A store with its table."""
    store = SQLTokenStore(engine, table=table, **options)
    store.create_table()
    return store


@functools.cache
def _own_engine(url):
    return sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")


def run(url, statement, **parameters):
    """The rows of a statement on a connection of its own."""
    with _own_engine(url).connect() as connection:
        result = connection.execute(sa.text(statement), parameters)
        return result.all() if result.returns_rows else []


def refused(work, *words, passing=False):
    """The error of `work()`: ours, of the right type, with these words, without a secret."""
    kind = TokenStoreUnavailableError if passing else TokenStoreError
    error = helpers.refused(work, *words, kind=kind)
    assert error.__cause__ is error.__context__ is None
    return error


def first_save(store):
    """The first version is saved."""
    store.save(NAME, TEXT, expected=None)


class OnURL(StoreTests):
    """A store on the database of each test class."""

    shared_between_processes = True

    @pytest.fixture
    def relayed(self, url, relay):
        """A relay in front of the server, and the URL that leads there; SQLite has none."""
        return (None, url) if url.startswith("sqlite") else relay(url)

    @pytest.fixture
    def store(self, request, relayed, function_for, table):
        """Made from a function, so that other processes can use it."""
        lease = SHORT if "killed" in request.node.name else 60.0
        return made(function_for(relayed[1]), table, lease=lease)

    @pytest.fixture
    def reopened(self, relayed, engine_for, table):
        """On an engine of another kind."""
        engine = engine_for(relayed[1], poolclass=sa.NullPool)
        return SQLTokenStore(engine, table=table)

    @pytest.fixture
    def outage(self, relayed):
        """Cut the relay."""
        return relayed[0] and relayed[0].outage


@only_postgres
class TestContractOnPostgreSQL(OnURL, TokenStoreContract):
    pass


@only_mysql
class TestContractOnMariaDB(OnURL, EntryTests, OutageTests, SharingTests):
    """Its statements; threads and leases do not depend on the database."""


@only_sqlite
class TestContractOnSQLite(OnURL, EntryTests, SharingTests):
    """Its statements; threads and leases do not depend on the database."""


class TestArguments:
    def test_an_engine_is_wanted(self):
        """The error says what to give, without the password."""
        url = "postgresql://login:secret@host/database"
        for given in (url, sa.make_url(url), None, lambda: url):
            with pytest.raises(ConfigurationError, match="create_engine") as raised:
                SQLTokenStore(given)
            assert_no_secret(raised.value)

    def test_an_async_engine_is_refused(self):
        """It would need an event loop; the text asks for a synchronous one."""
        engine = sa.create_engine("sqlite:///x.db")
        engine.dialect.is_async = True
        with pytest.raises(ConfigurationError, match="synchronous"):
            SQLTokenStore(engine)

    def test_another_dialect_is_refused(self):
        """A database that was never tried is not assumed to work."""
        engine = sa.create_mock_engine("mssql+pyodbc://", lambda *_: None)
        other = sa.create_engine("sqlite:///x.db")
        other.dialect.name = engine.dialect.name
        with pytest.raises(ConfigurationError, match=r"mssql.*PostgreSQL, MariaDB, MySQL or SQL"):
            SQLTokenStore(other)

    def test_a_database_in_memory_is_refused(self, engine_for):
        """Each of its threads would see another one; the text names the store to use."""
        for place in ("", "/:memory:", "/file:x?mode=memory&uri=true"):
            with pytest.raises(ConfigurationError, match="MemoryTokenStore"):
                SQLTokenStore(engine_for(f"sqlite://{place}", poolclass=sa.NullPool))

    def test_a_table_has_a_name_and_a_lease_a_duration(self):
        """A name has one or two parts that no database truncates."""
        tables = ("", ".", "a.", ".a", "a.b.c", "a" * 64, None, 1)
        for name, value in (*(("table", table) for table in tables), ("lease", 0)):
            with pytest.raises(ConfigurationError, match=name):
                SQLTokenStore(sa.create_engine("sqlite:///x.db"), **{name: value})


class TestTable:
    def test_a_row_is_an_entry(self, store, url, table):
        """Name, version and text as they are, and a random number of that save."""
        store.save(NAME, TEXT, expected=None)
        ((*entry, save_id, owner, end),) = run(url, f"SELECT * FROM {table}")
        assert (*entry, owner, end) == (NAME, 1, TEXT, None, None)
        assert re.fullmatch("[0-9a-f]{32}", save_id)
        store.create_table()  # which changes nothing
        assert store.load(NAME) == FIRST

    def test_a_row_without_entry_and_lease_is_deleted(self, store, url, table):
        """Loading, locking and deleting leave no row."""
        for is_saved in (False, True):
            with store.lock(NAME, timeout=0.0):
                if is_saved:
                    store.save(NAME, TEXT, expected=None)
                    store.delete(NAME)
            assert run(url, f"SELECT * FROM {table}") == []
        store.save(NAME, TEXT, expected=None)
        store.delete(NAME)
        assert run(url, f"SELECT * FROM {table}") == []

    def test_without_the_table_the_error_says_what_to_call(self, engine, table):
        """Each method does; what it says works."""
        store = SQLTokenStore(engine, table=table)
        for work in (
            lambda: store.load(NAME),
            lambda: store.save(NAME, TEXT, expected=None),
            lambda: store.delete(NAME),
            lambda: locking(store, 1e6),
        ):
            error = refused(work, table, ".create_table()")
        eval(str(error).partition("Create it once: ")[2])
        assert store.load(NAME) is None

    def test_threads_and_processes_create_the_table_at_once(
        self, function_for, url, table, monkeypatch, pytestconfig
    ):
        """No error, and the table exists afterwards."""
        monkeypatch.syspath_prepend(pytestconfig.rootpath)
        store = SQLTokenStore(function_for(url), table=table)
        with process(_create, store) as other:
            assert other.recv() == "ready"
            other.send("go")
            together(8, lambda _: store.create_table())
            assert other.recv() == "done"
        store.save(NAME, TEXT, expected=None)

    @servers
    def test_a_table_may_be_in_a_schema(self, engine, table, url):
        """The part before the dot names it."""
        schema = "public" if url.startswith("postgresql") else "test"
        store = SQLTokenStore(engine, table=f"{schema}.{table}")
        store.create_table()
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == FIRST
        assert SQLTokenStore(engine, table=table).load(NAME) == FIRST

    @only_mysql
    def test_names_are_exact_in_every_language(self, engine, table, url):
        """In a database that takes i and y for one letter, two names are two names."""
        run(url, f"CREATE DATABASE {table} COLLATE utf8mb4_lithuanian_ci")
        try:
            store = SQLTokenStore(engine, table=f"{table}.logins")
            store.create_table()
            store.save("ix", TEXT, expected=None)
            assert store.load("yx") is None
        finally:
            run(url, f"DROP DATABASE {table}")

    def test_a_name_is_only_a_name(self, engine):
        """It is quoted, whatever it is."""
        for name in ('x"; DROP TABLE y', "select", "Mixed Case", "50%s", "a`b"):
            store = SQLTokenStore(engine, table=name)
            store.create_table()
            try:
                store.save(NAME, TEXT, expected=None)
                assert store.load(NAME) == FIRST
            finally:
                with engine.begin() as connection:
                    sa.Table(name, sa.MetaData()).drop(connection)

    def test_a_new_file_is_private_without_hard_links(self, engine_for, tmp_path, monkeypatch):
        """As on FAT and some network file systems; nothing else is left in the directory."""

        def refuse(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        umask = os.umask(0)
        try:
            SQLTokenStore(engine_for(f"sqlite:///{tmp_path / 'new.db'}")).create_table()
        finally:
            os.umask(umask)
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_new_file_is_private(self, engine_for, tmp_path):
        """Whatever the umask; also when a store has read it before."""
        umask = os.umask(0)
        try:
            for is_there in (False, True):
                file = tmp_path / f"{is_there}.db"
                store = SQLTokenStore(engine_for(f"sqlite:///{file}"))
                if is_there:
                    refused(lambda s=store: s.load(NAME), file)
                store.create_table()
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
        finally:
            os.umask(umask)
        assert {path.suffix for path in tmp_path.iterdir()} == {".db"}

    @pytest.mark.parametrize("suffix", ["", "-wal", "-journal", "-shm"])
    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
    def test_a_file_that_other_users_may_read_is_refused(self, engine_for, tmp_path, suffix, mode):
        """As other files of logins, and so are those that SQLite keeps beside it; not repaired."""
        file = tmp_path / "logins.db"
        store = SQLTokenStore(engine_for(f"sqlite:///{file}"))
        store.create_table()
        store.save(NAME, TEXT, expected=None)
        open_file = tmp_path / f"logins.db{suffix}"
        open_file.write_bytes(open_file.read_bytes() if open_file.exists() else b"some content")
        open_file.chmod(mode)
        for work in (
            lambda: store.load(NAME),
            lambda: store.save(NAME, NEWER, expected=1),
            lambda: store.delete(NAME),
            lambda: locking(store),
            store.create_table,
        ):
            refused(work, "other users have access", f"chmod 600 {open_file}")
        assert stat.S_IMODE(open_file.stat().st_mode) == mode
        open_file.chmod(0o600)
        assert store.load(NAME).text == TEXT

    def test_making_the_file_ends_no_lock_of_another_thread(
        self, engine_for, tmp_path, monkeypatch
    ):
        """To close a file ends all locks that SQLite has on it in this process, and data are lost.

        So nothing but SQLite opens it. Source: sqlite.org/howtocorrupt.html, section 2.2.
        """
        file, opened, real = tmp_path / "x.db", [], os.open

        def spy(path, *arguments):
            opened.append(Path(path).name)
            return real(path, *arguments)

        monkeypatch.setattr(os, "open", spy)
        SQLTokenStore(engine_for(f"sqlite:///{file}")).create_table()
        assert file.exists()
        assert len(opened) == 1
        assert file.name not in opened


def _create(store, connection):
    connection.send("ready")
    connection.recv()
    store.create_table()
    connection.send("done")


class TestDamage:
    def test_a_damaged_row_is_named_and_kept(self, store, url, table):
        """Neither load nor save touch it; delete makes room for a new login."""
        store.save(NAME, TEXT, expected=None)
        for damage in ("text = NULL", "version = NULL", "version = 0", "version = -1"):
            run(url, f"UPDATE {table} SET {damage}")
            before = run(url, f"SELECT * FROM {table}")
            for expected in (None, 1, 2):
                save = functools.partial(store.save, NAME, NEWER, expected=expected)
                refused(save, NAME, table, "damaged")
            refused(lambda: store.load(NAME), NAME, table, "damaged")
            locking(store)
            assert run(url, f"SELECT * FROM {table}") == before
            store.delete(NAME)
            store.save(NAME, TEXT, expected=None)
            assert store.load(NAME) == FIRST

    def test_the_table_of_an_earlier_release_is_named(self, store, url, engine, table):
        """Each method says what to do; nothing is changed before it is done, and it helps."""
        run(url, f"DROP TABLE {table}")
        run(
            url,
            f"CREATE TABLE {table} (digest VARCHAR(32) PRIMARY KEY, generation BIGINT,"
            " record TEXT, lock_owner VARCHAR(32), lock_until DOUBLE PRECISION)",
        )
        run(url, f"INSERT INTO {table} VALUES ('{NAME}', 1, 'secret', NULL, NULL)")
        before = run(url, f"SELECT * FROM {table}")
        store.create_table()
        for work in (
            lambda: store.load(NAME),
            lambda: store.save(NAME, NEWER, expected=None),
            lambda: store.save(NAME, NEWER, expected=1),
            lambda: store.delete(NAME),
            lambda: locking(store, 1e6),
        ):
            error = refused(work, "earlier release", "create_table()", "sign in again")
        assert run(url, f"SELECT * FROM {table}") == before
        run(url, re.search(r"\((DROP TABLE .+?)\)", str(error))[1])
        store.create_table()
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == FIRST


class TestConnections:
    def test_nothing_is_open_while_the_lock_is_held(self, url, engine_for, table):
        """No connection is checked out, and every statement is a transaction of its own."""
        engine = engine_for(url, poolclass=sa.QueuePool)
        out, statements = [], []

        def is_autocommit(raw):
            if url.startswith("sqlite"):
                return not raw.in_transaction
            return raw.autocommit if url.startswith("postgresql") else raw.get_autocommit()

        @sa.event.listens_for(engine, "after_cursor_execute")
        def _(connection, cursor, statement, *_):
            if table in statement and statement.startswith(("SELECT", "INSERT", "UPD", "DEL")):
                statements.append(is_autocommit(connection.connection.dbapi_connection))

        sa.event.listen(engine, "checkout", lambda *_: out.append(1))
        sa.event.listen(engine, "checkin", lambda *_: out.pop())
        store = made(engine, table)
        with store.lock(NAME, timeout=0.0):
            assert not out
            store.save(NAME, TEXT, expected=None)
            assert not out
            assert store.load(NAME) == FIRST
            with pytest.raises(TokenStoreTimeoutError):
                locking(store)
            assert not out
        assert not out
        assert all(statements)
        assert len(statements) > 5

    @only_postgres
    def test_an_exhausted_pool_is_no_busy_lock(self, url, engine_for, table):
        """The text says what to do about it."""
        engine = engine_for(
            url, poolclass=sa.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01
        )
        store = made(engine, table)
        with engine.connect():
            refused(lambda: store.load(NAME), "pool is exhausted", "max_overflow", passing=True)
            refused(lambda: locking(store, 1e6), "pool is exhausted", passing=True)
        locking(store)

    @only_postgres
    def test_no_statement_is_prepared_at_the_server(self, url, engine_for, table):
        """A pooler gives the next statement another session, which would not know it."""
        engine = engine_for(url, pool_size=1, max_overflow=0)
        store = made(engine, table)
        for _ in range(20):
            store.load(NAME)
        with engine.connect() as connection:
            ours = f"SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%{table}%'"
            assert connection.exec_driver_sql(ours.replace("%", "%%")).scalar() == 0

    @only_mysql
    def test_a_driver_that_counts_changed_rows_is_understood(self, url, engine_for, table):
        """Without FOUND_ROWS, a save of what is there already counts nothing."""
        engine = engine_for(url)

        @sa.event.listens_for(engine, "do_connect")
        def _(dialect, record, arguments, options):
            options["client_flag"] = 0

        store = made(engine, table, lease=0.01)
        with store.lock(NAME, timeout=0.0):
            store.save(NAME, TEXT, expected=None)
            store.save(NAME, TEXT, expected=1)
            with pytest.raises(StaleRecordError):
                store.save(NAME, TEXT, expected=None)
            store.save(NAME, NEWER, expected=2)
            with pytest.raises(StaleRecordError):
                store.save(NAME, NEWER, expected=2)
        assert store.load(NAME) == Entry(NEWER, 3)

    @servers
    def test_sessions_that_were_killed_are_not_noticed(self, url, engine_for, table):
        """A server that restarts between two statements does not disturb the second."""
        engine = engine_for(url, pool_size=4)
        sessions = sessions_of(engine)
        store = made(engine, table)
        store.save(NAME, TEXT, expected=None)
        attempts = [
            lambda: store.load(NAME),
            lambda: store.save(NAME, NEWER, expected=1),
            lambda: locking(store),
            lambda: store.delete(NAME),
            lambda: store.save(NAME, TEXT, expected=None),
        ]
        for attempt in attempts:
            together(4, lambda _: store.load(NAME))
            kill(url, sessions)
            attempt()
        assert store.load(NAME) == FIRST

    @servers
    def test_a_session_that_is_killed_in_the_middle_of_a_save(self, url, engine_for, table):
        """The statement is sent again, on a new connection."""
        engine = engine_for(url)
        sessions = sessions_of(engine)
        store = made(engine, table)
        store.save(NAME, TEXT, expected=None)
        other = engine_for(url)
        with ThreadPoolExecutor(1) as pool:
            with other.begin() as connection:  # it holds the row, so the save waits
                connection.execute(sa.text(f"SELECT * FROM {table} FOR UPDATE"))
                save = pool.submit(store.save, NAME, NEWER, expected=1)
                until(lambda: is_waiting(url, sessions))
                kill(url, sessions)
            save.result(PATIENCE)
        assert store.load(NAME) == SECOND

    @servers
    def test_a_lost_answer_is_asked_for_again(self, url, engine_for, table):
        """The first try had its effect, the second finds it and succeeds, at each statement."""
        for work, result in (
            (first_save, FIRST),
            (lambda store: store.save(NAME, NEWER, expected=1), SECOND),
            (lambda store: store.save(NAME, TEXT, expected=1), Entry(TEXT, 2)),
            (lambda store: store.delete(NAME), None),
            (locking, FIRST),
        ):
            for number in range(100):
                engine = engine_for(url)
                store = made(engine, table)
                store.delete(NAME)
                if work is not first_save:
                    store.save(NAME, TEXT, expected=None)
                with losing_the_answer(engine, number) as lost:
                    work(store)
                assert store.load(NAME) == result
                locking(store)
                if not lost:
                    break
            assert number >= 1

    @servers
    def test_a_server_that_always_hangs_up_is_named(self, url, engine_for, table):
        """A statement is sent twice at most."""
        engine = engine_for(url)
        store = made(engine, table)
        with losing_the_answer(engine, 0, 1):
            refused(lambda: first_save(store), "broke twice", "127.0.0.1", passing=True)

    def test_a_dead_server_is_named_without_the_password(self, relay, engine_for):
        """No server listens: the error says where, and shows no password."""
        between, url = relay("postgresql+psycopg://login:secret@127.0.0.1:1/test?sslcert=secret")
        between.cut()
        store = SQLTokenStore(engine_for(url))
        place = f"postgresql://127.0.0.1:{between.port}/test"
        refused(lambda: store.load(NAME), place, "connect", passing=True)
        refused(lambda: locking(store, 1e6), "connect", passing=True)
        refused(store.create_table, "connect", passing=True)
        assert "secret" not in f"{store!r} {store}"

    @servers
    def test_a_connection_that_will_never_be_accepted(self, url, engine_for):
        """Waiting does not change what the engine's URL says."""
        certificate = {"query": {"ssl_ca": "/nowhere"}}
        if url.startswith("postgresql"):
            query = {"sslrootcert": "/", "sslmode": "verify-full"}
            certificate = {"host": "127.0.0.1", "query": query}
        for word, change in (
            ("stranger", {"username": "stranger", "password": "secret"}),
            ("nowhere", {"database": "nowhere"}),
            ("", certificate),
        ):
            store = SQLTokenStore(engine_for(sa.make_url(url).set(**change)))
            refused(lambda s=store: s.load(NAME), "cannot connect", word)

    def test_a_server_that_is_not_ready(self, engine_for):
        """It starts, stops or is full: that passes, and the error says so."""
        for code, words in (
            ("57P03", "the database system is starting up"),
            ("57P03", "the database system is shutting down"),
            ("57P03", "the database system is in recovery mode"),
            ("53300", "sorry, too many clients already"),
            (1040, "Too many connections"),
            (1053, "Server shutdown in progress"),
        ):
            if isinstance(code, int):
                scheme, options = "mysql+pymysql", ""
                answer = b"\xff" + code.to_bytes(2, "little") + b"#08S01" + words.encode()
                answer = len(answer).to_bytes(3, "little") + b"\0" + answer
            else:
                scheme, options = "postgresql+psycopg", "?sslmode=disable&gssencmode=disable"
                fields = f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()
                answer = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
            with answering(answer) as port:
                store = SQLTokenStore(engine_for(f"{scheme}://a@127.0.0.1:{port}/test{options}"))
                refused(lambda s=store: s.load(NAME), "cannot connect", words, passing=True)

    def test_what_a_listener_of_the_engine_raises_is_not_quoted(self, engine_for):
        """It may ask a person for the password; the error names the kind of what went wrong."""
        engine = engine_for("sqlite:///x.db")

        @sa.event.listens_for(engine, "do_connect")
        def _(*_):
            raise LookupError("secret")

        refused(lambda: SQLTokenStore(engine).load(NAME), "cannot connect", "LookupError")

    @servers
    def test_a_statement_that_fails(self, engine, store):
        """The error of a server that stops passes, that of a full disk does not."""
        for code, number in (("57P01", 1053), ("08006", 2006), ("53100", 1021)):
            with failing(engine, code, number) as tries:
                refused(lambda: store.load(NAME), passing=code != "53100")
            assert tries
        assert store.load(NAME) is None

    def test_a_directory_that_is_missing_is_named(self, engine_for, tmp_path):
        """With what SQLite says about it."""
        store = SQLTokenStore(engine_for(f"sqlite:///{tmp_path}/missing/x.db"))
        refused(store.create_table, tmp_path / "missing" / "x.db", "unable to open")


def sessions_of(engine):
    """The server's numbers of the engine's sessions; grows."""
    sessions = []

    @sa.event.listens_for(engine, "connect")
    def _(connection, record):
        is_postgres = engine.dialect.name == "postgresql"
        sessions.append(connection.info.backend_pid if is_postgres else connection.thread_id())

    return sessions


def kill(url, sessions):
    """The server ends the sessions, and they are gone."""
    killed = set(sessions)
    sessions.clear()
    for session in killed & alive(url):
        if url.startswith("postgresql"):
            run(url, "SELECT pg_terminate_backend(:session)", session=session)
        else:
            run(url, f"KILL {session}")
    until(lambda: not alive(url).intersection(killed))


def alive(url):
    """The server's sessions."""
    if url.startswith("postgresql"):
        return {row[0] for row in run(url, "SELECT pid FROM pg_stat_activity")}
    return {row[0] for row in run(url, "SHOW PROCESSLIST")}


def is_waiting(url, sessions):
    """Whether one of the sessions waits for a row."""
    if url.startswith("postgresql"):
        waiting = run(url, "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    else:
        waiting = run(
            url,
            "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx "
            "WHERE trx_state = 'LOCK WAIT'",
        )
    return {row[0] for row in waiting}.intersection(sessions)


@contextmanager
def answering(answer):
    """A port that gives every client this answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(4096):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


@contextmanager
def failing(engine, code, number):
    """Every statement fails so; yields the tries."""
    tries = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def fail(*_):
        tries.append(1)
        if engine.dialect.name == "postgresql":
            raise psycopg.errors.lookup(code)("secret")
        raise pymysql.err.OperationalError(number, "secret")

    yield tries
    sa.event.remove(engine, "before_cursor_execute", fail)


@contextmanager
def losing_the_answer(engine, *numbers):
    """The connection breaks when the statements of these numbers have taken effect."""
    count, lost = iter(range(1000)), []

    @sa.event.listens_for(engine, "after_cursor_execute")
    def lose(connection, *_):
        if next(count) not in numbers:
            return
        lost.append(1)
        connection.connection.dbapi_connection.close()
        if engine.dialect.name == "postgresql":
            raise psycopg.OperationalError("secret: the connection is lost")
        raise pymysql.err.OperationalError(2013, "secret: the connection is lost")

    yield lost
    sa.event.remove(engine, "after_cursor_execute", lose)


class TestConflicts:
    @servers
    @pytest.mark.parametrize("level", ["SERIALIZABLE", "AUTOCOMMIT"])
    def test_the_engine_may_have_any_isolation_level(self, url, engine_for, table, level):
        """Our statements run alone whatever the program's do, and leave its level as it was."""
        options = {}
        if url.startswith("postgresql") and level != "AUTOCOMMIT":  # single statements, too
            words = level.lower().replace(" ", "\\ ")
            options["connect_args"] = {"options": f"-c default_transaction_isolation={words}"}
        engine = engine_for(url, isolation_level=level, **options)
        store = made(engine, table)
        store.save(NAME, "0", expected=None)

        def count(number):
            done = 0
            while done < 5:
                entry = store.load(NAME)
                try:
                    store.save(NAME, str(int(entry.text) + 1), expected=entry.version)
                    done += 1
                except StaleRecordError:
                    continue
            with store.lock(NAME, timeout=PATIENCE):
                return done

        assert together(4, count) == [5] * 4
        assert store.load(NAME) == Entry("20", 21)
        with engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            is_autocommit = raw.autocommit if url.startswith("postgresql") else raw.get_autocommit()
            assert is_autocommit is (level == "AUTOCOMMIT")
            assert is_autocommit or connection.get_isolation_level() == level

    @only_sqlite
    def test_a_busy_file_is_tried_again(self, url, engine_for, table):
        """While another process writes; and not for ever."""
        engine = engine_for(url, connect_args={"timeout": 0.01})
        store = made(engine, table)
        store.save(NAME, TEXT, expected=None)
        writer = engine_for(url, isolation_level="AUTOCOMMIT").connect()
        with writer:
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            save = lambda: store.save(NAME, NEWER, expected=1)  # noqa: E731
            refused(save, url[10:], "SQLITE_BUSY", passing=True)
            refused(lambda: locking(store, 1e6), "SQLITE_BUSY", passing=True)

            @sa.event.listens_for(engine, "handle_error")
            def _(context):
                if writer.connection.dbapi_connection.in_transaction:
                    writer.exec_driver_sql("ROLLBACK")

            store.save(NAME, NEWER, expected=1)
        assert store.load(NAME) == SECOND

    @servers
    def test_a_row_that_others_write_is_tried_again(self, url, engine_for, table):
        """For a while: then the error says that it passes."""
        wait = {"options": "-c lock_timeout=1"}
        if url.startswith("mysql"):
            wait = {"init_command": "SET innodb_lock_wait_timeout = 0"}
        engine = engine_for(url, connect_args=wait)
        store = made(engine, table)
        store.save(NAME, TEXT, expected=None)
        with engine_for(url).connect() as other:
            other.execute(sa.text(f"SELECT * FROM {table} FOR UPDATE"))
            refused(lambda: store.save(NAME, NEWER, expected=1), table, passing=True)

            @sa.event.listens_for(engine, "handle_error")
            def _(context):
                other.rollback()

            store.save(NAME, NEWER, expected=1)
        assert store.load(NAME) == SECOND

    @servers
    def test_another_error_is_not_tried_again(self, url, engine, store, table):
        """It is named by the driver's class and number; what was refused is not quoted."""
        run(url, f"ALTER TABLE {table} ADD CONSTRAINT c_{table} CHECK (version < 2)")
        store.save(NAME, TEXT, expected=None)
        tries = []
        sa.event.listen(engine, "handle_error", lambda _: tries.append(1))
        code = "23514" if url.startswith("postgresql") else "4025"
        refused(lambda: store.save(NAME, NEWER, expected=1), table, code)
        assert len(tries) == 1
        assert store.load(NAME) == FIRST

    def test_what_changes_while_a_save_looks_is_stale(self, store, engine, url, table):
        """What was refused, because an entry was there, is not done after that has gone."""
        first_save(store)

        @sa.event.listens_for(engine, "before_cursor_execute")
        def _(connection, cursor, statement, *_):
            if statement.startswith("SELECT"):
                run(url, f"DELETE FROM {table}")

        with pytest.raises(StaleRecordError, match="Load it again"):
            first_save(store)
        assert store.load(NAME) is None


class TestLease:
    @only_postgres
    def test_a_holder_that_was_paused_too_long_changes_nothing(
        self, url, function_for, table, monkeypatch, pytestconfig
    ):
        """It goes on after the end of its lease: its save is stale, and when it leaves, the lock
        of the next holder stays.
        """
        monkeypatch.syspath_prepend(pytestconfig.rootpath)
        store = made(function_for(url), table, lease=SHORT)
        store.save(NAME, TEXT, expected=None)
        with process(_hold_and_save, store) as paused:
            pid = paused.recv()
            os.kill(pid, signal.SIGSTOP)
            with store.lock(NAME, timeout=PATIENCE):
                store.save(NAME, NEWER, expected=1)
                os.kill(pid, signal.SIGCONT)
                paused.send("go on")
                assert paused.recv() == "stale"
                assert paused.recv() == "left"
                with pytest.raises(TokenStoreTimeoutError):
                    locking(store)
        assert store.load(NAME) == SECOND
        locking(store)

    def test_a_lease_is_changed_by_its_owner_only(self, store, url, table):
        """No other process renews or ends it; the owner may do each twice."""
        rows = store._rows
        assert rows.take(NAME, "owner", 60.0)
        before = run(url, f"SELECT * FROM {table}")
        assert not rows.take(NAME, "other", 60.0)
        assert not rows.renew(NAME, "other", 60.0)
        rows.release(NAME, "other")
        assert run(url, f"SELECT * FROM {table}") == before
        assert rows.take(NAME, "owner", 60.0)
        before = run(url, f"SELECT lock_until FROM {table}")[0][0]
        assert rows.renew(NAME, "owner", 120.0)
        assert 55 < run(url, f"SELECT lock_until FROM {table}")[0][0] - before < 55 + 2 * PATIENCE
        rows.release(NAME, "owner")
        rows.release(NAME, "owner")
        assert not rows.renew(NAME, "owner", 60.0)
        assert run(url, f"SELECT * FROM {table}") == []

    def test_clocks_of_hosts_do_not_matter(self, store, monkeypatch):
        """Neither a holder's nor a waiter's."""
        now = time.time()
        for holder, waiter in ((0.0, -1e6), (0.0, 1e6), (-1e6, 0.0), (1e6, 0.0)):
            monkeypatch.setattr(time, "time", lambda shift=holder: now + shift)
            with store.lock(NAME, timeout=0.0):
                monkeypatch.setattr(time, "time", lambda shift=waiter: now + shift)
                with pytest.raises(TokenStoreTimeoutError):
                    locking(store)

    @servers
    def test_time_zones_of_sessions_do_not_matter(self, url, engine_for, table):
        """A lease that is held is held in every time zone, one that has ended has ended."""

        def store_in(zone):
            engine = engine_for(url)

            @sa.event.listens_for(engine, "connect")
            def _(connection, record):
                what = "TIME ZONE" if url.startswith("postgresql") else "time_zone ="
                with connection.cursor() as cursor:
                    cursor.execute(f"SET {what} '{zone}'")
                connection.commit()

            return SQLTokenStore(engine, table=table)

        east, west = map(store_in, ("+13:00", "-11:00"))
        east.create_table()
        for here, there in ((east, west), (west, east)):
            with here.lock(NAME, timeout=0.0):
                with pytest.raises(TokenStoreTimeoutError):
                    locking(there)
                run(url, f"UPDATE {table} SET lock_until = lock_until - 61")
                locking(there)

    @only_sqlite
    def test_sqlite_counts_in_seconds_since_1970(self, store, url, table):
        """Its clock is the host's, in UTC."""
        with store.lock(NAME, timeout=0.0):
            ((end,),) = run(url, f"SELECT lock_until FROM {table}")
        assert abs(end - time.time() - 60) < PATIENCE


def _hold_and_save(store, connection):
    with store.lock(NAME, timeout=PATIENCE):
        connection.send(os.getpid())
        connection.recv()
        try:
            store.save(NAME, "secret of a paused holder", expected=1)
            connection.send("saved")
        except StaleRecordError:
            connection.send("stale")
    connection.send("left")


class TestSecrets:
    def test_an_echoing_engine_prints_no_token(self, url, engine_for, table, caplog, capfd):
        """Neither what is written nor what is read, at the most detailed level."""
        caplog.set_level("DEBUG", logger="sqlalchemy")
        store = made(engine_for(url, echo="debug", echo_pool="debug"), table)
        store.save(NAME, TEXT, expected=None)
        store.save(NAME, NEWER, expected=1)
        assert store.load(NAME) == SECOND
        with pytest.raises(StaleRecordError):
            store.save(NAME, NEWER, expected=1)
        log = caplog.text + "".join(capfd.readouterr())
        assert "UPDATE" in log
        assert "Row (2, <hidden>, " in log
        assert "secret" not in log

    @only_sqlite
    def test_no_frame_of_an_error_holds_a_token(self, store, url, table):
        """Error reporters print what the variables of each frame hold."""
        store.save(NAME, TEXT, expected=None)
        run(url, f"ALTER TABLE {table} RENAME TO {table}_x")
        try:
            error = refused(lambda: store.save(NAME, NEWER, expected=1))
        finally:
            run(url, f"ALTER TABLE {table}_x RENAME TO {table}")
        with pytest.raises(StaleRecordError) as stale:
            store.save(NAME, NEWER, expected=7)
        for raised in (error, stale.value):
            assert "secret" not in str(variables_of(raised))


class TestIdentity:
    HERE = "postgresql+psycopg://a:secret@db.example.com/logins"

    def test_a_place_is_server_and_database(self):
        """For people; without the login."""
        for url, place in (
            (self.HERE, "postgresql://db.example.com:5432/logins"),
            ("postgresql+psycopg:///x?host=h&port=1", "postgresql://h:1/x"),
            ("postgresql+psycopg://a:secret@/x?host=h&host=i", "postgresql://h,i:5432/x"),
            ("postgresql+psycopg://", "postgresql://<default>:5432/<default>"),
            ("mariadb+pymysql://a:secret@h/x", "mysql://h:3306/x"),
            ("mysql+pymysql:///x?unix_socket=/run/a", "mysql:///run/a:3306/x"),
            ("sqlite:////tmp/../x.db", "sqlite:////x.db"),
            ("sqlite:///file:/tmp/x.db?uri=true", "sqlite:////tmp/x.db"),
        ):
            store = SQLTokenStore(sa.create_engine(url), table="mine")
            assert repr(store) == f"SQLTokenStore({place!r}, table='mine')"

    def test_a_pickle_holds_no_password(self, function_for):
        """Of whatever the store was made; in its own process it comes back as the same place."""
        engine = sa.create_engine(self.HERE)
        for given in (engine, functools.partial(sa.create_engine, self.HERE), lambda: engine):
            store = SQLTokenStore(given)
            assert b"secret" not in pickle.dumps(store)
            assert pickle.loads(pickle.dumps(store)) is store
        store = SQLTokenStore(function_for(self.HERE), table="mine", lease=5)
        assert b"secret" not in pickle.dumps(store)
        assert vars(pickle.loads(pickle.dumps(store)))["_lease"] == 5
        assert repr(pickle.loads(pickle.dumps(store))) == repr(store)

    @only_sqlite
    def test_a_function_makes_one_engine_for_each_process(self, function_for, url):
        """All stores that it is given to share the pool."""
        make = function_for(url)
        stores = [SQLTokenStore(make), SQLTokenStore(make, table="another")]
        stores += [pickle.loads(pickle.dumps(store)) for store in stores]
        assert len(sys.modules[make.__module__].ENGINES) == 1

    def test_a_store_of_an_engine_says_in_another_process_that_it_cannot(self):
        """It is the same place, and each of its methods says what to do."""
        store = SQLTokenStore(sa.create_engine(self.HERE), table="mine")
        *errors, last = in_new_process(
            f"{TRY_EVERYTHING}\n"
            "try: a.create_table()\n"
            "except TokenStoreError as error: print(f'{a!r}: {error}')\n"
            "print(pickle.loads(pickle.dumps(a)) is a)",
            store,
        )
        assert (len(errors), last) == (9, "True")
        for error in errors:
            assert error.startswith(f"{store!r}: ")
            assert "SQLTokenStore(make_engine)" in error
            assert "'mine' of postgresql://db.example.com:5432/logins" in error


class TestFork:
    @servers
    def test_a_child_has_connections_of_its_own(self, url, engine_for, table):
        """It leaves the parent's alone, and closes none of them."""
        needs_fork()
        engine = engine_for(url, pool_size=1, max_overflow=0)
        sessions = sessions_of(engine)
        store = made(engine, table)
        (parents,) = sessions

        def child():
            sessions.clear()
            store.save(NAME, TEXT, expected=None)
            return list(sessions)

        (childs,) = in_forked_child(child)
        assert childs != parents
        assert store.load(NAME) == FIRST
        assert sessions == [parents]
        assert parents in alive(url)

    @only_sqlite
    def test_a_child_can_make_stores_of_functions(self, function_for, url):
        """Also when a thread of the parent was just making one."""
        needs_fork()
        make = function_for(url)
        inside, leave = threading.Event(), threading.Event()

        def slow():
            inside.set()
            leave.wait(PATIENCE)
            return sa.create_engine(url)

        slow.__qualname__ = "slow"
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(SQLTokenStore, slow)
            assert inside.wait(PATIENCE)
            try:
                assert in_forked_child(lambda: repr(SQLTokenStore(make)))
            finally:
                leave.set()
            other.result(PATIENCE)
