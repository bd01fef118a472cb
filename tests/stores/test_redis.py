"""RedisTokenStore: the contract, and what servers, networks, forks and pauses do to it."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import re
import secrets
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry
from redis.sentinel import Sentinel

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.base import Entry, InsecureStoreWarning
from atlassian_auth_adapter.stores.redis import RedisTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    forking,
    in_forked_child,
    needs_fork,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    TokenStoreContract,
    text_of,
)

from . import helpers
from .helpers import TRY_EVERYTHING, in_new_process, locking, until, variables_of

NEWER = text_of(8)
FIRST, SECOND = Entry(TEXT, 1), Entry(NEWER, 2)


def connected(url, **options):
    """A client that waits at most 5 s for an answer."""
    return redis.Redis.from_url(
        url, **{"socket_timeout": 5, "retry": Retry(NoBackoff(), 1), **options}
    )


@pytest.fixture
def connect(tmp_path, monkeypatch):
    """Makes a function of a module, which any process can import, that connects to a URL."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(url, **options):
        name = f"connecting_{secrets.token_hex(4)}"
        (tmp_path / f"{name}.py").write_text(
            "import redis\n"
            "from redis.backoff import NoBackoff\n"
            "from redis.retry import Retry\n\n\n"
            "def connect():\n"
            "    retry = Retry(NoBackoff(), 1)\n"
            f"    options = {options!r}\n"
            f"    return redis.Redis.from_url({url!r}, socket_timeout=5, retry=retry, **options)\n"
        )
        importlib.invalidate_caches()
        return importlib.import_module(name).connect

    return make


@pytest.fixture
def prefix(redis_url):
    """The beginning of keys that no other test uses, and that are gone afterwards."""
    prefix = f"test:{secrets.token_hex(8)}:"
    yield prefix
    with connected(redis_url) as client:
        if keys := list(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(*keys)


@pytest.fixture
def client(redis_url):
    """A client of the shared server."""
    with connected(redis_url) as client:
        yield client


@pytest.fixture
def store(client, prefix):
    """A store at the shared server."""
    return RedisTokenStore(client, prefix=prefix)


@pytest.fixture
def key(prefix):
    """Where the entry is in the Redis."""
    return f"{prefix}{{{NAME}}}"


class TestContract(TokenStoreContract):
    shared_between_processes = True

    @pytest.fixture
    def between(self, redis_url, relay):
        """A relay, and the URL that leads through it."""
        return relay(redis_url)

    @pytest.fixture
    def store(self, connect, between, prefix):
        """Made from a function."""
        return RedisTokenStore(connect(between[1]), prefix=prefix, lease=1.5)

    @pytest.fixture
    def reopened(self, between, prefix):
        """Made from a client."""
        with connected(between[1]) as client:
            yield RedisTokenStore(client, prefix=prefix, lease=1.5)

    @pytest.fixture
    def outage(self, between):
        """The relay is cut."""
        return between[0].outage


def refused(work, *words):
    """The error of `work()`: ours, typed, with these words, alone and without a secret."""
    error = helpers.refused(work, *words)
    assert (error.__cause__, error.__context__) == (None, None)
    return error


def writing(store):
    """What needs a Redis that can be written."""
    return [
        lambda: store.save(NAME, NEWER, expected=1),
        lambda: store.delete(NAME),
        lambda: locking(store, timeout=1e6),
    ]


PROVIDER = UsernamePasswordCredentialProvider("name", "secret")
UNPROTECTED = pytest.mark.filterwarnings(
    "ignore::atlassian_auth_adapter.stores.base.InsecureStoreWarning"
)


@UNPROTECTED
class TestArguments:
    def test_anything_but_a_client_is_refused(self):
        """At once, with what to give instead."""
        pool, sentinel = redis.ConnectionPool, Sentinel([("127.0.0.1", 1)])
        for given in (
            *(redis.asyncio.Redis(), redis.asyncio.Redis, redis.Redis().pipeline(), pool(), pool),
            *(sentinel, "redis://127.0.0.1", None, lambda: None, lambda: "redis://127.0.0.1"),
        ):
            with pytest.raises(ConfigurationError, match=r"synchronous redis\.Redis"):
                RedisTokenStore(given)

    def test_a_client_that_could_hang_for_ever_is_refused(self):
        """The error names the argument that is missing."""
        endless = {"socket_timeout": None}
        hanging = Sentinel([("127.0.0.1", 1)], sentinel_kwargs=endless)
        for client in (
            redis.Redis(**endless),
            redis.Redis(connection_pool=redis.BlockingConnectionPool(**endless)),
            hanging.master_for("x", socket_timeout=5),
        ):
            for given in (client, lambda client=client: client):
                with pytest.raises(ConfigurationError, match="socket_timeout=5"):
                    RedisTokenStore(given)

    def test_a_function_takes_no_arguments(self):
        """The error of one that takes some says what to give."""
        with pytest.raises(ConfigurationError, match="without arguments"):
            RedisTokenStore(lambda url: plain())

    def test_a_client_that_reads_from_a_replica_is_refused(self):
        """It could never be written to."""
        replica = Sentinel([("127.0.0.1", 1)], socket_timeout=5).slave_for("x")
        with pytest.raises(ConfigurationError, match="master_for"):
            RedisTokenStore(replica)

    def test_a_client_with_a_single_connection_is_refused(self, redis_url):
        """Parent and forked child would read each other's answers."""
        with (
            connected(redis_url, single_connection_client=True) as client,
            pytest.raises(ConfigurationError, match="single_connection_client"),
        ):
            RedisTokenStore(client)

    def test_a_prefix_is_text_and_a_lease_is_a_duration(self):
        """Anything else is refused at once."""
        for name, value in (
            *(("prefix", prefix) for prefix in (None, b"bytes", 1, "\udcff")),
            ("lease", 0),
        ):
            with pytest.raises(ConfigurationError, match=name):
                RedisTokenStore(plain(), **{name: value})


def plain(**options):
    """A client that is never used."""
    return redis.Redis(**{"host": "h", "socket_timeout": 5, **options})


def by_sentinel(*hosts, **options):
    """The client of a primary that is never asked for."""
    kwargs = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel([(host, 1) for host in hosts], sentinel_kwargs=kwargs)
    return sentinel.master_for("logins", socket_timeout=5, **options)


class TestOtherHosts:
    """What a Redis on another host is sent, others on the network could read."""

    @pytest.mark.parametrize(
        ("client", "words"),
        [
            (plain, ("no TLS", "no password")),
            (lambda: plain(host="10.0.0.7"), ("no TLS", "no password")),
            (lambda: plain(host="2001:db8::7"), ("no TLS", "no password")),
            (lambda: plain(password="secret"), ("no TLS",)),
            (lambda: connected("redis://x:secret@h"), ("no TLS",)),
            (lambda: plain(ssl=True), ("no password",)),
            (lambda: connected("rediss://h"), ("no password",)),
            (lambda: by_sentinel("a", "127.0.0.1"), ("no TLS", "no password")),
            (lambda: by_sentinel("a", password="secret"), ("no TLS",)),
        ],
    )
    def test_one_that_is_not_protected_is_told(self, client, words):
        """By a warning that says what is missing, when the store is made; not the password."""
        for given in (client(), client):
            with pytest.warns(InsecureStoreWarning, match="another host") as told:
                RedisTokenStore(given)
            (warning,) = told
            text = str(warning.message)
            assert warning.filename == __file__
            assert all(word in text for word in words)
            assert ("no password" in text) == ("no password" in words)
            assert "secret" not in text

    @pytest.mark.parametrize(
        "client",
        [
            lambda: plain(host="localhost"),
            lambda: plain(host="127.0.0.1"),
            lambda: plain(host="127.0.0.9"),
            lambda: plain(host="::1"),
            lambda: plain(unix_socket_path="/run/redis"),
            lambda: plain(ssl=True, password="secret"),
            lambda: connected("rediss://x:secret@h"),
            lambda: plain(ssl=True, credential_provider=PROVIDER),
            lambda: by_sentinel("127.0.0.1", "::1"),
        ],
    )
    def test_one_that_is_protected_is_not(self, client, recwarn):
        """Nor is one on this host."""
        RedisTokenStore(client())
        assert not recwarn.list


@UNPROTECTED
class TestPlace:
    def test_a_place_is_server_and_database(self):
        """For people; without password, timeouts or decoding."""
        for place, client in (
            ("h:6379/0", plain()),
            ("h:6379/0", plain(password="secret", username="secret")),
            ("h:6379/0", plain(socket_timeout=9, decode_responses=True)),
            ("h:6379/0", plain(ssl=True)),
            ("h:6379/0", connected("redis://x:secret@h")),
            ("h:1/2", plain(port=1, db=2)),
            ("unix:/run/r/1", plain(unix_socket_path="/run/r", db=1)),
            ("logins/0 of Sentinel a:1, b:1", by_sentinel("b", "a", password="secret")),
        ):
            for store in RedisTokenStore(client), RedisTokenStore(lambda client=client: client):
                shown = f"RedisTokenStore(<{place}>, prefix='atlassian_auth_adapter:')"
                assert repr(store) == shown
                assert b"secret" not in pickle.dumps(store)

    def test_two_prefixes_share_nothing(self, client, store, prefix):
        """One Redis can serve several programs."""
        other = RedisTokenStore(client, prefix=f"{prefix}other:")
        store.save(NAME, TEXT, expected=None)
        assert other.load(NAME) is None
        with store.lock(NAME, timeout=0):
            locking(other)


class TestFormat:
    def test_an_entry_is_one_hash(self, client, store, key, prefix):
        """Version, text, and a random number of that save; nothing else, and without an end."""
        store.save(NAME, TEXT, expected=None)
        assert list(client.scan_iter(f"{prefix}*", count=1000)) == [key.encode()]
        stored = client.hgetall(key)
        assert re.fullmatch(b"[0-9a-f]{16}", stored.pop(b"save"))
        assert stored == {b"version": b"1", b"text": TEXT.encode()}
        assert client.ttl(key) == -1

    def test_entry_and_lease_share_a_slot(self, client, store, key, prefix):
        """In a cluster one node has both."""
        store.save(NAME, TEXT, expected=None)
        with store.lock(NAME, timeout=0):
            keys = set(client.scan_iter(f"{prefix}*", count=1000))
        assert keys == {key.encode(), f"{key}:lock".encode()}
        assert {redis.cluster.key_slot(found) for found in keys} == {
            redis.cluster.key_slot(NAME.encode())
        }

    def test_versions_are_compared_exactly(self, client, store, key):
        """Also where Lua's numbers are not."""
        for version in (2**53, 2**62):
            client.hset(key, mapping={"version": version, "text": TEXT})
            for wrong in (version - 1, version + 1):
                with pytest.raises(StaleRecordError, match=str(version)):
                    store.save(NAME, NEWER, expected=wrong)
            store.save(NAME, NEWER, expected=version)
            assert store.load(NAME) == Entry(NEWER, version + 1)

    def test_every_kind_of_client_can_be_used(self, redis_url, prefix):
        """With decoded answers or raw ones, by either protocol (RESP2, RESP3)."""
        for options in (
            {"protocol": protocol, "decode_responses": is_decoding}
            for protocol in (2, 3)
            for is_decoding in (False, True)
        ):
            with connected(redis_url, **options) as client:
                store = RedisTokenStore(client, prefix=prefix)
                assert store.load(NAME) is None
                for version, text in enumerate((TEXT, NEWER, '{"x": "\\\\ \\u2603"}'), 1):
                    store.save(NAME, text, expected=version - 1 or None)
                    assert store.load(NAME) == Entry(text, version)
                for expected in (None, 2, 4):
                    with pytest.raises(StaleRecordError):
                        store.save(NAME, TEXT, expected=expected)
                with store.lock(NAME, timeout=0), pytest.raises(TokenStoreTimeoutError):
                    locking(store)
                store.delete(NAME)
                assert store.load(NAME) is None


class TestDamage:
    @staticmethod
    def assert_kept(client, store, key, stored, *words):
        """What is stored is neither loaded nor replaced; `delete` makes room for a new login."""
        if isinstance(stored, dict):
            client.hset(key, mapping=stored)
        else:
            client.set(key, stored)
        dump = raw(client, "DUMP", key)
        refused(lambda: store.load(NAME), key, *words)
        for expected in (None, 1, 7):
            refused(lambda wrong=expected: store.save(NAME, NEWER, expected=wrong), key, *words)
        assert raw(client, "DUMP", key) == dump
        store.delete(NAME)
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME) == FIRST

    @pytest.mark.parametrize("is_decoding", [False, True])
    def test_damage_is_named_and_kept(self, redis_url, prefix, key, is_decoding):
        """Neither load nor save touch it: perhaps a person can read what we cannot."""
        versions = ("", "secret", "-1", "01", "1.0", "9" * 5000)
        with connected(redis_url, decode_responses=is_decoding) as client:
            store = RedisTokenStore(client, prefix=prefix)
            for damaged in (
                *({"version": 1}, {"text": TEXT}, {"something": "secret"}),
                *({"version": version, "text": TEXT} for version in versions),
                {"version": 1, "text": b"\xff\xfe\xfd secret"},
            ):
                store.delete(NAME)
                self.assert_kept(client, store, key, damaged, "damaged")
            store.delete(NAME)
            self.assert_kept(client, store, key, "secret", "another prefix")

    def test_the_form_of_an_earlier_release_is_named_and_kept(self, client, store, key):
        """The text says what to do."""
        stored = {"generation": 1, "record": '{"version": 1, "token_set": "secret"}'}
        words = "earlier release", "forget()", "delete the key", "sign in again"
        self.assert_kept(client, store, key, stored, *words)
        client.hset(key, mapping=stored)
        locking(store)

    def test_a_lease_of_another_type_is_no_holder(self, client, store, key):
        """Waiting does not cure it; it is named at once, and kept."""
        client.rpush(f"{key}:lock", "foreign")
        refused(lambda: locking(store, timeout=1e6), f"{key}:lock", "another prefix")
        assert client.lrange(f"{key}:lock", 0, -1) == [b"foreign"]


class LosingAnswers(redis.Connection):
    """Loses the answers to scripts that hold the words in `losing`, in this order."""

    losing: ClassVar = []

    def send_packed_command(self, command, check_health=True):
        """Note what is asked."""
        self.asked = b""
        super().send_packed_command(command, check_health)  # which may connect, and so ask more
        self.asked = b"".join(command)

    def read_response(self, *args, **kwargs):
        """The answer, or what a cut connection gives."""
        answer = super().read_response(*args, **kwargs)
        if LosingAnswers.losing and LosingAnswers.losing[0] in self.asked:
            del LosingAnswers.losing[0]
            self.disconnect()
            raise redis.ConnectionError("the answer was lost")
        return answer


class TestLostAnswers:
    @pytest.fixture
    def store(self, redis_url, prefix):
        """A store whose client sends again what was not answered."""
        pool = redis.ConnectionPool.from_url(
            redis_url,
            connection_class=LosingAnswers,
            retry_on_error=[redis.ConnectionError],
            socket_timeout=5,
            retry=Retry(NoBackoff(), 1),
        )
        with redis.Redis(connection_pool=pool) as client:
            yield RedisTokenStore(client, prefix=prefix)
        pool.disconnect()

    def test_a_save_that_is_sent_twice_is_one(self, store, monkeypatch):
        """The second run finds its own entry, which is not stale."""
        for version, text in enumerate((TEXT, NEWER, NEWER), 1):
            monkeypatch.setattr(LosingAnswers, "losing", [b"HSET"])
            store.save(NAME, text, expected=version - 1 or None)
            assert not LosingAnswers.losing
            assert store.load(NAME) == Entry(text, version)

    def test_a_lease_that_is_taken_twice_is_one(self, store, monkeypatch):
        """The second run finds the owner's own token; others still wait."""
        monkeypatch.setattr(LosingAnswers, "losing", [b"PX"])
        with store.lock(NAME, timeout=0):
            assert not LosingAnswers.losing
            with pytest.raises(TokenStoreTimeoutError):
                locking(store)
            monkeypatch.setattr(LosingAnswers, "losing", [b"DEL"])
        assert not LosingAnswers.losing
        locking(store)

    def test_a_lease_whose_taking_is_unknown_is_given_back(self, store, monkeypatch):
        """When the client gives up, the lease is released, although it may not have been taken."""
        monkeypatch.setattr(LosingAnswers, "losing", [b"PX", b"PX"])
        refused(lambda: locking(store), "take")
        locking(store)


class Server:
    """A Redis of the test's own."""

    def __init__(self, place, *options):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.command = [
            "redis-server",
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""),
            *options,
        ]
        self.start()

    def start(self):
        """It accepts connections when this returns."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert any("eady to accept" in line for line in self.process.stdout)

    def kill(self):
        """It is gone at once, as by the kernel."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    @contextmanager
    def paused(self):
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture
def serve(tmp_path):
    """Starts a Redis with options."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server, to stop and fill one")
    servers = []

    def start(*options):
        place = tmp_path / f"redis{len(servers)}"
        place.mkdir()
        servers.append(Server(place, *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.kill()


class TestServer:
    def test_a_restart_between_load_and_save_costs_nothing(self, serve):
        """The entry survives, the scripts need not, and the same client goes on."""
        server = serve("--appendonly", "yes", "--appendfsync", "always")
        with connected(server.url) as client:
            store = RedisTokenStore(client)
            store.save(NAME, TEXT, expected=None)
            with store.lock(NAME, timeout=0):
                version = store.load(NAME).version
                server.kill()
                refused(lambda: store.load(NAME), f"127.0.0.1:{server.port}/0", "refused")
                server.start()
                store.save(NAME, NEWER, expected=version)
            assert store.load(NAME) == SECOND
            locking(store)

    def test_a_full_server_keeps_the_old_entry(self, serve):
        """What needs memory fails and says so; the rest works, and later all does."""
        server = serve("--maxmemory-policy", "noeviction")
        with connected(server.url) as client:
            store = RedisTokenStore(client)
            store.save(NAME, TEXT, expected=None)
            with store.lock(NAME, timeout=0):
                client.config_set("maxmemory", "1")
                refused(lambda: store.save(NAME, NEWER, expected=1), "maxmemory")
                assert store.load(NAME) == FIRST
            refused(lambda: locking(store, timeout=1e6), "maxmemory")
            client.config_set("maxmemory", "0")
            locking(store)
            store.save(NAME, NEWER, expected=1)
            assert store.load(NAME) == SECOND

    def test_a_replica_can_be_read(self, serve):
        """Everything else fails and names the primary as what to give."""
        server = serve()
        with connected(server.url) as client:
            store = RedisTokenStore(client)
            store.save(NAME, TEXT, expected=None)
            # A primary that never answers: data are kept, and nothing can be written.
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
            assert store.load(NAME) == FIRST
            for work in writing(store):
                refused(work, "client of the primary")
            client.execute_command("REPLICAOF", "NO", "ONE")
            assert store.load(NAME) == FIRST
            locking(store)

    def test_a_disk_that_fails_is_named(self, serve, tmp_path):
        """A Redis that cannot snapshot refuses writes; the entry stays."""
        server = serve()
        with connected(server.url) as client:
            store = RedisTokenStore(client)
            store.save(NAME, TEXT, expected=None)
            client.config_set("save", "3600 1")
            (tmp_path / "redis0" / "dump.rdb").mkdir()
            with pytest.raises(redis.ResponseError):
                client.save()
            client.bgsave()
            while client.info("persistence")["rdb_bgsave_in_progress"]:
                os.sched_yield()
            assert store.load(NAME) == FIRST
            for work in writing(store):
                refused(work, "MISCONF", "disk")
            assert store.load(NAME) == FIRST

    def test_a_password_is_asked_for_and_never_shown(self, serve):
        """Without, with a wrong and with the right one; in no error, pickle or repr."""
        server = serve("--requirepass", "secret")
        for password in (None, "wrong-secret"):
            with connected(server.url, password=password) as client:
                store = RedisTokenStore(client)
                for work in (lambda store=store: store.load(NAME), *writing(store)):
                    refused(work, f"127.0.0.1:{server.port}/0", "username and password")
        with connected(server.url, password="secret") as client:
            store = RedisTokenStore(client)
            store.save(NAME, TEXT, expected=None)
            assert store.load(NAME) == FIRST
            assert "secret" not in repr(store)
            assert b"secret" not in pickle.dumps(store)
            client.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "allkeys", "+ping")
        with connected(server.url, username="guest", password="secret") as client:
            refused(lambda: RedisTokenStore(client).load(NAME), "Permit eval")

    def test_what_the_documentation_permits_is_enough(self, serve):
        """A Redis user for one prefix, with the commands of the scripts."""
        server = serve()
        commands = "+eval +hgetall +hget +hset +exists +del +get +set +pexpire"
        with connected(server.url) as client:
            client.execute_command(
                "ACL", "SETUSER", "logins", "on", ">secret", "~ours:*", *commands.split()
            )
        with connected(server.url, username="logins", password="secret") as client:
            store = RedisTokenStore(client, prefix="ours:", lease=0.03)
            store.save(NAME, TEXT, expected=None)
            with store.lock(NAME, timeout=0):
                store.save(NAME, NEWER, expected=1)
            assert store.load(NAME) == SECOND
            store.delete(NAME)

    def test_a_server_that_hangs_is_no_busy_lock(self, serve):
        """The client's timeout is reported, and afterwards all is as before."""
        server = serve()
        with connected(server.url, socket_timeout=0.05) as client:
            store = RedisTokenStore(client, lease=0.5)
            store.save(NAME, TEXT, expected=None)
            with server.paused():
                for work in (lambda: store.load(NAME), *writing(store)[::2]):
                    refused(work, "TimeoutError", "does not answer in time")
        with connected(server.url) as client:
            store = RedisTokenStore(client, lease=0.5)
            # What the paused server had received has now been done, or not.
            assert store.load(NAME) in (FIRST, SECOND)
            locking(store, timeout=PATIENCE)

    def test_a_cluster_is_a_place(self, serve):
        """With a cluster's client all works; with a plain one the error says which to give."""
        server = serve("--cluster-enabled", "yes")
        with connected(server.url) as node:
            refused(lambda: RedisTokenStore(node).load(NAME), "look at CLUSTER INFO")
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            until(lambda: b"cluster_state:ok" in raw(node, "CLUSTER", "INFO"))

        def connect():
            return redis.RedisCluster(
                host="127.0.0.1",
                port=server.port,
                socket_timeout=5,
            )

        store = RedisTokenStore(connect)
        for one in store, RedisTokenStore(connect()):
            assert repr(one).startswith(f"RedisTokenStore(<cluster 127.0.0.1:{server.port}>")
        store.save(NAME, TEXT, expected=None)
        with pytest.raises(StaleRecordError):
            store.save(NAME, NEWER, expected=None)
        with store.lock(NAME, timeout=0), pytest.raises(TokenStoreTimeoutError):
            locking(store)
        assert in_forked_child(lambda: store.load(NAME) == FIRST)
        store.delete(NAME)
        assert store.load(NAME) is None
        server.kill()
        refused(lambda: store.load(NAME), str(server.port))
        refused(lambda: RedisTokenStore(connect), "function")


def raw(client, *command):
    """An answer as bytes."""
    return client.execute_command(*command, NEVER_DECODE=True)


def ttl(client, key=f"atlassian_auth_adapter:{{{NAME}}}"):
    """Milliseconds that the lease of an entry still has, by the Redis."""
    return client.pttl(f"{key}:lock")


@contextmanager
def answering(line):
    """The URL of a server that answers every command with this line."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self):
            with suppress(OSError):
                while data := self.request.recv(65536):
                    self.request.sendall(line * len(re.findall(rb"\*\d+\r\n", data)))

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads, server.block_on_close = True, False
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        finally:
            server.shutdown()
            thread.join(PATIENCE)


class TestAdvice:
    def test_an_error_of_the_server_says_what_to_do(self):
        """In our words; the server's may repeat what it was sent."""
        for line, advice in (
            ("LOADING Redis is loading the dataset in memory", "try again soon"),
            ("MISCONF Errors writing to the AOF file: No space left", "look at its log"),
            ("MOVED 3999 127.0.0.1:6381", "give a RedisCluster"),
            ("ASK 3999 127.0.0.1:6381", "give a RedisCluster"),
            ("CLUSTERDOWN Hash slot not served", "CLUSTER INFO"),
            ("MASTERDOWN Link with MASTER is down", "down"),
            ("NOREPLICAS Not enough good replicas to write.", "replicas"),
            ("READONLY You can't write against a read only replica.", "primary"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            (
                "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
                "maxmemory",
            ),
            ("NOPERM this user has no permissions", "Permit eval"),
            ("NOAUTH Authentication required.", "password"),
            ("ERR max number of clients reached", "Look"),
            ("ERR unknown command 'EVAL', with args beginning with: 'secret'", "permits EVAL"),
            ("SECRETCODE secret", "permits EVAL"),
        ):
            with answering(f"-{line}\r\n".encode()) as url, connected(url, protocol=2) as client:
                store = RedisTokenStore(client)
                for work in (lambda s=store: s.load(NAME), *writing(store)):
                    refused(work, advice, url.removeprefix("redis://"))

    def test_another_server_on_that_port_is_named(self):
        """One that speaks something else."""
        for line in (b"HTTP/1.1 400 Bad Request\r\n", b"secret\r\n", b"\0\r\n"):
            with answering(line) as url, connected(url, protocol=2) as client:
                store = RedisTokenStore(client)
                refused(lambda s=store: s.load(NAME), url.removeprefix("redis://"))

    def test_a_password_in_an_answer_is_not_shown(self):
        """A server too old for HELLO repeats its arguments, the password among them."""
        line = b"-ERR unknown command 'HELLO', with args: 'AUTH' 'default' 'secret'\r\n"
        with answering(line) as url, connected(url, protocol=3, password="secret") as client:
            refused(lambda: RedisTokenStore(client).load(NAME))

    @UNPROTECTED
    def test_a_place_without_server_is_named(self):
        """With the operating system's reason."""
        for client, *words in (
            (plain(host="127.0.0.1", port=1), "127.0.0.1:1/0", "Connection refused"),
            (plain(unix_socket_path="/nowhere"), "unix:/nowhere/0", "No such file"),
            (plain(host="nowhere.invalid"), "nowhere.invalid:6379/0", "network"),
            (by_sentinel("127.0.0.1"), "logins/0 of Sentinel 127.0.0.1:1", "SENTINEL"),
        ):
            client.set_retry(Retry(NoBackoff(), 0))
            store = RedisTokenStore(client)
            for work in (lambda s=store: s.load(NAME), *writing(store)):
                refused(work, *words)

    def test_no_frame_of_an_error_holds_a_secret(self, client, store, key):
        """Error reporters print what the variables of each frame hold."""
        store.save(NAME, TEXT, expected=None)
        with pytest.raises(StaleRecordError) as stale:
            store.save(NAME, NEWER, expected=7)
        client.hset(key, "version", "damaged")
        for error in (stale.value, refused(lambda: store.save(NAME, NEWER, expected=1))):
            assert "secret" not in str(variables_of(error))

    def test_what_happened_before_is_no_reason(self):
        """A store that is used while an error is handled names its own error."""
        with answering(b"-LOADING\r\n") as url, connected(url, protocol=2) as client:
            store = RedisTokenStore(client)
            try:
                Path("/nowhere").stat()
            except OSError:
                with pytest.raises(TokenStoreError, match="BusyLoadingError"):
                    store.load(NAME)

    def test_a_password_provider_that_fails_is_named(self):
        """Its text is not shown."""

        class Provider(redis.CredentialProvider):
            def get_credentials(self):
                raise ValueError("secret")

        with answering(b"+OK\r\n") as url, connected(url, credential_provider=Provider()) as client:
            refused(lambda: RedisTokenStore(client).load(NAME), "ValueError")


class TestPickle:
    def test_a_store_made_from_a_function_goes_anywhere(self, connect, redis_url, prefix):
        """The pickle names the function, and holds nothing of its client."""
        store = RedisTokenStore(connect(redis_url, client_name="secret"), prefix=prefix, lease=9)
        store.save(NAME, TEXT, expected=None)
        pickled = pickle.dumps(store)
        assert b"secret" not in pickled
        assert b"redis://" not in pickled
        seen = in_new_process(f"print(a, a.load({NAME!r}).version, a._lease)", store)
        assert seen == [f"{store!r} 1 9.0"]

    def test_a_store_made_from_a_client_stays_here(self, client, prefix):
        """In another process, each of its methods says to give a function of a module."""

        class Holder:
            def connect(self):
                return client

        for given in (client, lambda: client, Holder().connect):
            store = RedisTokenStore(given, prefix=prefix)
            assert copy.deepcopy({"store": store})["store"] is store
            assert pickle.loads(pickle.dumps(store)) is store
            seen = in_new_process(TRY_EVERYTHING, store)
            assert len(seen) == 8
            for line in seen:
                assert line.startswith(f"{store!r}: ")
                assert "function of a module" in line


class TestFork:
    def test_a_forked_child_has_its_own_connections(self, client, store):
        """The server sees another connection, and the parent's goes on."""
        needs_fork()
        store.save(NAME, TEXT, expected=None)
        parents = client.client_id()

        def child():
            return store.load(NAME) == FIRST, client.client_id()

        loaded, childs = in_forked_child(child)
        assert loaded
        assert childs != parents
        assert client.client_id() == parents

    def test_a_function_is_called_once_per_process(self, redis_url, prefix):
        """Nothing of the parent's client is used in a child, not even its locks."""
        needs_fork()
        calls = []

        def connect():
            calls.append(os.getpid())
            return connected(redis_url)

        store = RedisTokenStore(connect, prefix=prefix)

        def child():
            store.load(NAME)
            store.load(NAME)
            return os.getpid(), calls

        store.load(NAME)
        pid, called = in_forked_child(child)
        assert called == [os.getpid(), pid]
        assert calls == [os.getpid()]


class TestLease:
    def test_a_lease_is_renewed_beyond_its_time(self, client, store, prefix, key):
        """As long as its holder lives, others wait."""
        short = RedisTokenStore(client, prefix=prefix, lease=1.5)
        with short.lock(NAME, timeout=0):
            for _ in range(3):
                before = ttl(client, key)
                until(lambda before=before: ttl(client, key) < before)
                before = ttl(client, key)
                until(lambda before=before: ttl(client, key) > before)
            with pytest.raises(TokenStoreTimeoutError, match=re.escape(f"{key}:lock in ")):
                locking(store)
        assert not client.exists(f"{key}:lock")

    def test_a_lost_lease_is_neither_renewed_nor_freed(self, client, prefix, key):
        """It is another process's now; or it was deleted with the data of the Redis."""
        store = RedisTokenStore(client, prefix=prefix, lease=0.03)
        for is_taken in (True, False):
            with store.lock(NAME, timeout=0):
                client.set(f"{key}:lock", "another") if is_taken else client.delete(f"{key}:lock")
                for thread in threading.enumerate():
                    if thread.name == "lease":
                        thread.join(PATIENCE)
                        assert not thread.is_alive()
            assert client.get(f"{key}:lock") == (b"another" if is_taken else None)
            assert client.ttl(f"{key}:lock") == (-1 if is_taken else -2)
            client.delete(f"{key}:lock")

    def test_the_clock_of_the_host_does_not_matter(self, client, store, key, monkeypatch):
        """A holder whose clock is off by years excludes others for as long as any."""
        monkeypatch.setattr(time, "time", lambda: 0.0)
        with store.lock(NAME, timeout=0):
            monkeypatch.setattr(time, "time", lambda: 4e9)
            with pytest.raises(TokenStoreTimeoutError):
                locking(store)
            assert 30_000 < ttl(client, key) <= 60_000

    def test_a_holder_that_was_paused_too_long_changes_nothing(
        self, client, redis_url, prefix, key
    ):
        """It goes on after its lease has ended: its save is stale, and it frees no other's."""
        needs_fork()
        store = RedisTokenStore(lambda: connected(redis_url), prefix=prefix, lease=0.3)
        store.save(NAME, TEXT, expected=None)
        said, say = os.pipe()
        with forking():
            child = os.fork()
        if not child:
            try:
                outcome = b"saved"
                try:
                    with store.lock(NAME, timeout=PATIENCE):
                        os.write(say, b"held ")
                        os.kill(os.getpid(), signal.SIGSTOP)
                        store.save(NAME, "overwritten", expected=1)
                except StaleRecordError:
                    outcome = b"stale"
                os.write(say, outcome)
            finally:
                os._exit(0)
        assert os.read(said, 5) == b"held "
        os.waitpid(child, os.WUNTRACED)
        long = RedisTokenStore(client, prefix=prefix)
        with long.lock(NAME, timeout=PATIENCE):
            owner = client.get(f"{key}:lock")
            long.save(NAME, NEWER, expected=1)
            os.kill(child, signal.SIGCONT)
            assert os.read(said, 5) == b"stale"
            os.waitpid(child, 0)
            assert client.get(f"{key}:lock") == owner
            assert ttl(client, key) > 1000
        assert long.load(NAME) == SECOND
        os.close(said)
        os.close(say)
