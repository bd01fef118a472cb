"""The world in which blocks of code run."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

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


@pytest.fixture
def schema_url(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL in which the tables of a page are its own."""
    engine, name = sqlalchemy.create_engine(postgres_url), f"page_{secrets.token_hex(8)}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.CreateSchema(name))
    yield f"{postgres_url}?options=-csearch_path%3D{name}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.schema.DropSchema(name, cascade=True))
    engine.dispose()
