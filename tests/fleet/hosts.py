"""Hosts: places for processes that reach the world through doors only, which can be shut."""

from __future__ import annotations

import ctypes
import fcntl
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from atlassian_auth_adapter.testing.contracts.relay import Relay

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def can_be_separated() -> bool:
    """Whether this machine lets us make network namespaces."""
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(_leave_the_network).result()
        except (AttributeError, OSError):  # no Linux; not permitted
            return False
    return True


def _leave_the_network() -> None:
    """This thread, and what it starts, is in a network namespace that has only a loopback.

    It vanishes with the last thread, process and socket in it: nothing is left to clean up.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


class Door(Relay):
    """A relay from a listening socket in a namespace to a port of the world outside."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self._target = "127.0.0.1", port
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_cut = False
        self._listener = listener
        self.port = listener.getsockname()[1]
        # A thread is in the namespace of the thread that starts it: this one is outside.
        threading.Thread(target=self._accept, name="door", daemon=True).start()


class Host:
    """A place for processes; what is outside has a door per port.

    Args:
        name: What it is called.
        ports: The ports of 127.0.0.1 outside that its processes need.
        separated: Whether it gets a network namespace, in which the doors have the same ports.
            Otherwise they have others, see `ports`.

    Attributes:
        doors: By the port outside.
        ports: Where the processes find what has that port outside.
    """

    def __init__(self, name: str, ports: Iterable[int], *, separated: bool) -> None:
        self.name = name
        self._inside = ThreadPoolExecutor(1)
        if separated:
            self._do(_leave_the_network)
        self.doors: dict[int, Door] = {}
        for port in ports:
            address = "127.0.0.1", port if separated else 0
            listener = self._do(partial(socket.create_server, address, backlog=128))
            self.doors[port] = Door(listener, port)
        self.ports = {port: door.port for port, door in self.doors.items()}

    def _do(self, work: Callable[[], T]) -> T:
        return self._inside.submit(work).result()

    def start(self, script: Path) -> subprocess.Popen[str]:
        """A new process of the host, with pipes to its standard input and output."""
        return self._do(
            lambda: subprocess.Popen(
                [sys.executable, str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for us
            )
        )

    def cut(self) -> None:
        """Nothing outside can be reached; what was connected is not any more."""
        for door in self.doors.values():
            door.cut()

    def mend(self, *ports: int) -> None:
        """What has these ports outside can be reached again."""
        for port in ports:
            self.doors[port].mend()

    def close(self) -> None:
        """The doors are gone."""
        for door in self.doors.values():
            door.__exit__(None, None, None)
        self._inside.shutdown()


class Worker:
    """A process of the fleet that makes requests when told to: see worker.py.

    Args:
        host: Where it is.
        orders: What it is told first, as JSON.
        requests: How many it makes at once.
    """

    def __init__(self, host: Host, orders: dict[str, Any], requests: int) -> None:
        self.host, self.requests = host, requests
        self._orders = json.dumps({**orders, "ports": host.ports, "requests": requests}) + "\n"
        self.start()

    def start(self) -> None:
        """It starts; `is_ready` waits for it."""
        self._process = self.host.start(Path(__file__).with_name("worker.py"))
        self._say(self._orders)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def get(self) -> list[dict[str, Any]] | None:
        """What became of its requests; None: it was killed. One thread at a time may ask."""
        self._say("get\n")
        answers: list[dict[str, Any]] | None = self._hear()
        return answers

    def is_ready(self) -> bool:
        """Whether it waits for what it is told; False: it was killed."""
        return self._hear() is not None

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def pause(self) -> None:
        """It stands still, as on a host that is suspended."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """It goes on and knows of nothing."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone at once."""
        self._process.kill()
        self._process.wait()
