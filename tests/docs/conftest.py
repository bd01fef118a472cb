"""The world in which blocks of code run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atlassian_auth_adapter.testing import AtlassianEmulator

from .world import REDIS, World


@pytest.fixture
def world(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    port: int,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    """A local Atlassian on the real clock."""

    def url_of(named: str) -> str:
        url: str = request.getfixturevalue("redis_url" if named == REDIS else "schema_url")
        return url

    with AtlassianEmulator() as emulator:
        world = World(emulator, tmp_path, monkeypatch, port, url_of)
        yield world
        world.close()
