"""Whose process is at the other end of a connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atlassian_auth_adapter.signin import peers
from atlassian_auth_adapter.signin.peers import CLOSED, is_of_this_user, user_at_the_other_end

linux = pytest.mark.skipif(sys.platform != "linux", reason="the table of Linux")

#: How a client may address the receiver, and where that listens.
ADDRESSES = {
    "IPv4": (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    "IPv6": (socket.AF_INET6, "::1", "::1"),
    "IPv4 in IPv6": (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
}


@contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("this machine has no ::1")
    with listening:
        yield listening


@linux
@pytest.mark.parametrize("name", ADDRESSES)
def test_a_process_of_this_user_is_recognized(name: str) -> None:
    """However it has addressed the receiver."""
    family, address, listens_at = ADDRESSES[name]
    with _listening(listens_at) as listening, socket.socket(family) as client:
        client.connect((address, listening.getsockname()[1]))
        with listening.accept()[0] as connection:
            assert user_at_the_other_end(connection) == os.getuid()
            assert is_of_this_user(connection)


@linux
def test_a_process_of_another_user_is_recognized() -> None:
    """The kernel tells whose connection it is, whatever the process says."""
    if os.getuid() != 0:
        pytest.skip("only root can start a process of another user")
    code = (
        "import os, socket, sys\n"
        "os.setuid(65534)\n"
        "client = socket.socket()\n"
        "client.connect(('127.0.0.1', int(sys.argv[1])))\n"
        "sys.stdin.read()\n"
    )
    with (
        _listening("127.0.0.1") as listening,
        subprocess.Popen(
            [sys.executable, "-S", "-c", code, str(listening.getsockname()[1])],
            stdin=subprocess.PIPE,
        ),
        listening.accept()[0] as connection,
    ):
        assert user_at_the_other_end(connection) == 65534
        assert not is_of_this_user(connection)


@linux
@pytest.mark.parametrize("name", ADDRESSES)
def test_a_connection_that_was_closed_is_of_no_user(name: str) -> None:
    """The kernel gives it to root: any user could send a request as root, and use the entrance up
    without waiting for the answer.
    """
    family, address, listens_at = ADDRESSES[name]
    with _listening(listens_at) as listening:
        with socket.socket(family) as client:
            client.connect((address, listening.getsockname()[1]))
            connection = listening.accept()[0]
        with connection:
            assert connection.recv(1) == b""
            assert user_at_the_other_end(connection) == CLOSED
            assert not is_of_this_user(connection)


def test_where_it_cannot_be_known_the_entrance_works_once_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as on macOS and Windows, where other users cannot read the arguments anyway."""
    monkeypatch.setattr(peers, "_TABLES", (tmp_path,))
    with (
        _listening("127.0.0.1") as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as connection,
    ):
        assert user_at_the_other_end(connection) is None
        assert is_of_this_user(connection)
