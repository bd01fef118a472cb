"""Leases: the locks of servers, where no kernel frees the lock of a process that dies.

A lease is a name with an owner token and an end, kept by the server and measured by its clock. Its
holder renews it while it lives; when it is killed, paused or cut off, the lease ends by itself. So
a lease alone is not safe: a process that wakes up after the end of its lease does not know that it
has ended. The compare-and-swap of `TokenStore.save` then refuses what it saves.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenStoreError,
    TokenStoreTimeoutError,
)

__all__ = ["LEASE", "LeaseKeeper", "checked_lease", "held"]

#: Seconds for which a lease lasts without being renewed; longer than the longest token request of
#: a client with the default timeouts (35 s), also when the place cannot be reached in between.
LEASE = 60.0

#: Seconds between two attempts to take a lease that is held: the first, the longest.
_POLL = (0.01, 0.25)


class LeaseKeeper(Protocol):
    """What a server must be able to do. Each call is atomic and compares owner tokens."""

    def take(self, name: str, owner: str, seconds: float) -> bool:
        """Whether the lease was free, or has ended, and is the owner's now."""

    def renew(self, name: str, owner: str, seconds: float) -> bool:
        """Whether the lease is still the owner's; if so, it lasts `seconds` from now."""

    def release(self, name: str, owner: str) -> None:
        """The lease is free if it was the owner's."""


def checked_lease(seconds: float) -> float:
    """The duration of a lease; raises ConfigurationError if it is not a positive number."""
    if not isinstance(seconds, int | float) or not 0 < seconds < threading.TIMEOUT_MAX:
        raise ConfigurationError("lease must be a positive number of seconds.")
    return float(seconds)


@contextmanager
def held(
    keeper: LeaseKeeper, name: str, *, lease: float, timeout: float, place: str
) -> Iterator[None]:
    """The lease is held within the context, and renewed after each third of its time.

    Args:
        keeper: Where the lease is.
        name: Which one.
        lease: Seconds after which it ends unless it is renewed.
        timeout: Seconds to wait for another holder.
        place: Name of the keeper, for people.

    Raises:
        TokenStoreTimeoutError: Another process or thread held it all that time.
        TokenStoreError: The keeper failed before the lease was taken. (When it fails later, the
            lease ends by itself.)
    """
    owner, process, done = secrets.token_hex(16), os.getpid(), threading.Event()
    try:
        if not _taken(keeper, name, owner, lease, timeout):
            raise TokenStoreTimeoutError(
                f"another process has held the lease of {name} in {place} for {max(timeout, 0):g} "
                "s. If that process was killed, the lease ends by itself, at most "
                f"{lease:g} s after the last renewal."
            )
        # A daemon: when the process dies, the renewals end with it.
        renewal = threading.Thread(
            target=_renew, args=(keeper, name, owner, lease, done), name="lease", daemon=True
        )
        with suppress(RuntimeError):  # no thread can be started: the lease is not renewed
            renewal.start()
        yield
    finally:
        done.set()
        # Also when it was not taken: perhaps only the answer was lost.
        if os.getpid() == process:  # a forked child holds nothing
            with suppress(TokenStoreError):  # what happened inside matters more
                keeper.release(name, owner)


def _taken(keeper: LeaseKeeper, name: str, owner: str, lease: float, timeout: float) -> bool:
    deadline, delay, slept = time.monotonic() + timeout, _POLL[0], 0.0
    while not keeper.take(name, owner, lease):
        # Sleeps are counted as well: test libraries may have stopped that clock.
        left = min(deadline - time.monotonic(), timeout - slept)
        if left <= 0:
            return False
        pause = min(delay, left)
        time.sleep(pause)
        slept += pause
        delay = min(2 * delay, _POLL[1])
    return True


def _renew(keeper: LeaseKeeper, name: str, owner: str, lease: float, done: threading.Event) -> None:
    while not done.wait(lease / 3):
        with suppress(TokenStoreError):  # the next attempt may reach the place again
            if not keeper.renew(name, owner, lease):
                return  # another process has it; compare-and-swap protects what it guards
