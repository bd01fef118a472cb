"""The servers in which a fleet keeps its login: ones that may be killed, and ones that may not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psycopg
import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from atlassian_auth_adapter import RedisTokenStore, SQLTokenStore, TokenStore
from atlassian_auth_adapter.testing.contracts.relay import Relay

#: Seconds for what must happen.
PATIENCE = 60.0

#: Where a server is looked for when none can be started, and the variable that names another.
USUAL = {
    "redis": ("TEST_REDIS_URL", "redis://127.0.0.1:6379/0"),
    "postgres": ("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"),
}


def store_at(url: str, name: str, lease: float) -> TokenStore:
    """A store whose client has timeouts, and no patience of its own when the server is away.

    Args:
        url: Of the server.
        name: What the fleet owns there: a prefix, a table.
        lease: Seconds.
    """
    if url.startswith("redis"):
        client = redis.Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 1))
        return RedisTokenStore(client, prefix=f"{name}:", lease=lease)
    timeouts = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
    url = url.replace("postgresql://", "postgresql+psycopg://")
    return SQLTokenStore(sa.create_engine(url, connect_args=timeouts), table=name, lease=lease)


class NoServerError(Exception):
    """This machine has no server of the kind that was asked for."""


class StoreServer(Protocol):
    """What a fleet does to the server of its store."""

    title: str
    url: str

    def kill(self) -> None:
        """It is gone at once."""

    def start(self) -> None:
        """It is there when this returns, with everything that it had confirmed."""

    def remove(self, name: str) -> None:
        """Nothing is left there of what `store_at` calls so."""


class OwnServer:
    """A server that the fleet starts, in a directory of its own.

    Args:
        title: What it is called.
        url: Where it is.
        command: What starts it.
        death: The signal that ends it as a crash would.
        account: Under which name of the system it runs; None: that of this process.
    """

    def __init__(
        self,
        title: str,
        url: str,
        command: list[str],
        death: signal.Signals,
        account: str | None = None,
    ) -> None:
        self.title, self.url = title, url
        self._command, self._death, self._account = command, death, account
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers when this returns."""
        self._process = subprocess.Popen(
            self._command,
            user=self._account,
            group=self._account,
            extra_groups=None if self._account is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
        )
        deadline = time.monotonic() + PATIENCE
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.title} does not start: {' '.join(self._command)}")
            time.sleep(0.01)

    def kill(self) -> None:
        """It is gone at once, and has had no time to save anything."""
        if self._process is not None:
            self._process.send_signal(self._death)
            self._process.wait(PATIENCE)

    def remove(self, name: str) -> None:
        """It vanishes with the directory."""


class BorrowedServer:
    """A server that others need as well: instead of being killed, it cannot be reached."""

    def __init__(self, title: str, relay: Relay, url: str) -> None:
        parts = urlsplit(url)
        self.title = title
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{relay.port}")
        self._url, self._relay = url, relay

    def kill(self) -> None:
        """No client reaches it."""
        self._relay.cut()

    def start(self) -> None:
        """Every client reaches it again."""
        self._relay.mend()

    def remove(self, name: str) -> None:
        """Nothing is left there of what `store_at` calls so."""
        if self._url.startswith("redis"):
            with redis.Redis.from_url(self._url) as client:
                for key in client.scan_iter(f"{name}:*"):
                    client.delete(key)
        else:
            with psycopg.connect(self._url) as connection:
                connection.execute(f"DROP TABLE IF EXISTS {name}")


def _answers(url: str) -> bool:
    try:
        if url.startswith("redis"):
            with redis.Redis.from_url(url, socket_timeout=5, retry=None) as client:
                client.ping()
        else:
            psycopg.connect(url, connect_timeout=5).close()
    except (redis.RedisError, psycopg.Error):
        return False
    return True


@contextmanager
def running(kind: str, url: str = "") -> Iterator[StoreServer]:
    """A server: the one with that URL, else our own, else the one at the usual place.

    Raises:
        NoServerError: No server answers there.
    """
    program = None if url else _program(kind)
    with ExitStack() as stack:
        if program:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-"))
            own = (_redis if kind == "redis" else _postgres)(program, place, _free_port())
            stack.callback(own.kill)
            own.start()
            yield own
        else:
            variable, usual = USUAL[kind]
            url = (url or os.environ.get(variable) or usual).replace("+psycopg", "")
            parts = urlsplit(url)
            name = f"{parts.hostname}:{parts.port}"
            if not _answers(url):
                raise NoServerError(f"no server at {name}; {variable} names another")
            relay = stack.enter_context(Relay(parts.hostname or "", parts.port or 0))
            yield BorrowedServer(f"the server {name}, which is not killed but cut off", relay, url)


def _program(kind: str) -> Path | None:
    """What makes or is a server of that kind; PostgreSQL's often stand outside of PATH."""
    name = {"redis": "redis-server", "postgres": "initdb"}[kind]
    if found := shutil.which(name):
        return Path(found)
    elsewhere = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return elsewhere[-1] if elsewhere else None


def _redis(program: Path, place: str, port: int) -> OwnServer:
    options = {
        "--port": port,
        "--bind": "127.0.0.1",
        "--dir": place,
        "--save": "",
        "--appendonly": "yes",
        "--appendfsync": "always",
    }
    command = [str(program), *(str(part) for option in options.items() for part in option)]
    return OwnServer("a Redis of its own", f"redis://127.0.0.1:{port}/0", command, signal.SIGKILL)


def _postgres(program: Path, place: str, port: int) -> OwnServer:
    account = "postgres" if os.geteuid() == 0 else None  # which refuses to run as root
    if account:
        shutil.chown(place, account)
    data = f"{place}/data"
    options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
    subprocess.run(
        [program, "-D", data, "-U", "postgres", *options],
        user=account,
        group=account,
        extra_groups=None if account is None else [],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    command = [str(program.resolve().with_name("postgres")), "-D", data, "-p", str(port)]
    # Only the server crashes, not the machine: what it has written is not lost without fsync.
    command += ["-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    # SIGQUIT: "immediate shutdown", after which it recovers from its log.
    return OwnServer("a PostgreSQL of its own", url, command, signal.SIGQUIT, account)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
