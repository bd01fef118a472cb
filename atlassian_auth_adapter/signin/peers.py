"""Whose process is at the other end of a connection within this machine."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["CLOSED", "is_of_this_user", "user_at_the_other_end"]

#: Tables of the kernel: `local_address` in column 1, `rem_address` in 2, `st` in 3, `uid` in 7.
#: Source: Documentation/networking/proc_net_tcp.rst of Linux.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
#: In place of a user id: the other end is closed. The kernel says root then, whose it ever was.
CLOSED = -1


def is_of_this_user(connection: socket.socket) -> bool:
    """Whether the process at the other end is this user's, or root's, which may read all anyway.

    True as well where that cannot be known: where the system is not Linux, or the connection comes
    from outside of its network namespace.
    """
    user = user_at_the_other_end(connection)
    return user is None or sys.platform == "win32" or user in (0, os.getuid())


def user_at_the_other_end(connection: socket.socket) -> int | None:
    """The user id of that process, `CLOSED`, or None when the system does not tell."""
    ends = [connection.getpeername()[:2], connection.getsockname()[:2]]
    plain = [_in_table(host, port) for host, port in ends]
    mapped = [_in_table(host, port) for host, port in _mapped(ends)]
    for table in _TABLES:
        with suppress(OSError), table.open(encoding="ascii") as rows:
            for row in rows:
                columns = row.split()
                if columns[1:3] in (plain, mapped):
                    return int(columns[7]) if columns[3] == _ESTABLISHED else CLOSED
    return None


def _mapped(ends: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """As a program with a socket for both versions of IP has IPv4 addresses."""
    return [(host if ":" in host else f"::ffff:{host}", port) for host, port in ends]


def _in_table(host: str, port: int) -> str:
    """An address as the tables have it: words of 32 bits in the byte order of the machine."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    number = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
    return f"{number}:{port:04X}"
