"""The pytest plugin: the fixtures `atlassian_emulator` and `atlassian_clock`.

Installed with the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock


@pytest.fixture
def atlassian_clock() -> FakeClock:
    """The clock of `atlassian_emulator`: it stands still until the test moves it."""
    from atlassian_auth_adapter.testing import FakeClock

    return FakeClock()


@pytest.fixture
def atlassian_emulator(atlassian_clock: FakeClock) -> Iterator[AtlassianEmulator]:
    """A local Atlassian (Cloud, Data Center, Bitbucket Cloud, Trello) for one test."""
    from atlassian_auth_adapter.testing import AtlassianEmulator

    with AtlassianEmulator(atlassian_clock) as emulator:
        yield emulator
