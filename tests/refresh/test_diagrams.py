"""The sequence diagrams of docs/refresh.md show what really happens.

Three are what the protocol does against the model (diagrams.py); two are compared with what a real
client does at the emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import AtlassianAuth, MemoryTokenStore
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock

from .diagrams import DIAGRAMS, Drawing

PLACE = Path(__file__).parents[2] / "docs" / "diagrams"
MYSELF = "/rest/api/3/myself"


@pytest.mark.parametrize(("name", "drawn"), DIAGRAMS.items(), ids=DIAGRAMS)
def test_the_diagrams_have_the_steps_of_the_protocol(
    name: str, drawn: Callable[[], Drawing]
) -> None:
    """What the page shows of processes and store are the steps that are taken."""
    assert (PLACE / f"{name}.txt").read_text("utf-8") == str(drawn())


class NotedStore:
    """A store that remembers what it was asked for."""

    def __init__(self) -> None:
        self._inner = MemoryTokenStore()
        self.asked: list[str] = []

    def load(self, name: str) -> Entry | None:
        self.asked.append("load")
        return self._inner.load(name)

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        self.asked.append("save the journal" if '"journal"' in text else "save the record")
        self._inner.save(name, text, expected=expected)

    def delete(self, name: str) -> None:
        self._inner.delete(name)

    @contextmanager
    def lock(self, name: str, *, timeout: float) -> Iterator[None]:
        with self._inner.lock(name, timeout=timeout):
            self.asked.append("take the lock")
            yield
            self.asked.append("free the lock")


class Told:
    """A client at the emulator, and what store and servers were asked for since the sign-in."""

    def __init__(self, emulator: AtlassianEmulator, session: requests.Session) -> None:
        self._emulator, self._session, self._store = emulator, session, NotedStore()
        self.client: Any = emulator.cloud.client(store=self._store)
        session.auth = AtlassianAuth(self.client)
        self.ask()  # finds out about the site
        emulator.reset_log()
        self._store.asked.clear()

    def ask(self) -> None:
        """A request of the program."""
        assert self._session.get(self.client.base_url + MYSELF, timeout=30).ok

    def by_receiver(self) -> dict[str, list[str]]:
        """The messages to each of them, in their order."""
        asked = [one for one in self._emulator.requests if one.path.endswith(MYSELF)]
        tokens = [*dict.fromkeys(one.headers["authorization"] for one in asked)]
        used = [tokens.index(one.headers["authorization"]) + 1 for one in asked]
        refreshes = [one.generation for one in self._emulator.token_requests]
        return {
            "A": [f"with access token {number}" for number in used],
            "S": _without_looks(self._store.asked),
            "T": [f"refresh token {number}" for number in refreshes],
        }

    def statuses(self) -> list[int]:
        """Of the answers to the requests."""
        return [one.status for one in self._emulator.requests if one.path.endswith(MYSELF)]


def _without_looks(asked: list[str]) -> list[str]:
    """Without the look that is part of each save: whether another login is stored by now."""
    pairs = zip(asked, [*asked[1:], ""], strict=True)
    return [one for one, after in pairs if (one, after[:4]) != ("load", "save")]


def shown(name: str) -> dict[str, list[str]]:
    """The same of a diagram."""
    lines = (PLACE / f"{name}.txt").read_text("utf-8").splitlines()
    return {
        to: [line.partition(": ")[2] for line in lines if line.startswith(f"C->>{to}: ")]
        for to in "AST"
    }


@pytest.fixture
def told(emulator: AtlassianEmulator, session: requests.Session) -> Told:
    """A client that has made its first request."""
    return Told(emulator, session)


def test_expiry(told: Told, clock: FakeClock, landed: Any) -> None:
    """A stale token is sent at once, and replaced beside it; an expired one is waited for."""
    clock.advance(3600 - 300)
    told.ask()
    landed()
    told.ask()
    clock.advance(3600)
    told.ask()
    assert told.by_receiver() == shown("expiry")
    assert told.statuses() == [200, 200, 200]


def test_rejected(told: Told, emulator: AtlassianEmulator) -> None:
    """A 401 is mended by a refresh and the same request with the new token."""
    emulator.cloud.revoke_access_tokens()
    told.ask()
    assert told.by_receiver() == shown("rejected")
    assert told.statuses() == [401, 200]
