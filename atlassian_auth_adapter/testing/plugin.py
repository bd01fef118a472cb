"""The pytest plugin: the fixture `atlassian_emulator`. Installed with the package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing.emulator import AtlassianEmulator


@pytest.fixture
def atlassian_emulator() -> Iterator[AtlassianEmulator]:
    """A local Atlassian (Cloud, Data Center, Bitbucket Cloud) for one test."""
    from atlassian_auth_adapter.testing.emulator import AtlassianEmulator

    with AtlassianEmulator() as emulator:
        yield emulator
