"""Where the scripts run: the places an SDK can be pointed at, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from atlassian_auth_adapter import AtlassianOAuthClient
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import CloseAfter, CloseBefore, Edit

SCOPES = {
    "jira": "read:jira-user read:jira-work write:jira-work offline_access",
    "confluence": "read:confluence-user search:confluence read:page:confluence "
    "write:page:confluence write:confluence-file readonly:content.attachment:confluence "
    "read:confluence-content.summary offline_access",
    "bitbucket": "account repository repository:write repository:admin",
    "jira data_center": "WRITE",
    "confluence data_center": "WRITE",
    "bitbucket data_center": "REPO_WRITE",
}


@dataclass(frozen=True)
class Place:
    """A client that is logged in, and the URL that an SDK is given.

    `name` is "site" (Cloud, by the URL that people know), "gateway", "data_center" or "bitbucket"
    (Cloud).
    """

    name: str
    emulator: AtlassianEmulator
    clock: FakeClock
    client: AtlassianOAuthClient

    @property
    def cloud(self) -> bool:
        """Whether it is Cloud."""
        return self.name != "data_center"

    @property
    def side(self) -> Any:
        """The emulator's flavour."""
        sides = {"data_center": self.emulator.data_center, "bitbucket": self.emulator.bitbucket}
        return sides.get(self.name, self.emulator.cloud)

    @property
    def url(self) -> str:
        """What the SDK is given."""
        return str(self.side.sites[0].url) if self.name == "site" else self.client.base_url

    @property
    def home(self) -> tuple[str, str]:
        """The role of the only host that may see the token, and how its paths begin."""
        homes = {
            "data_center": ("server", f"{self.emulator.data_center.context_path}/"),
            "bitbucket": ("bitbucket-api", "/2.0/"),
        }
        return homes.get(self.name, ("api", "/ex/"))

    def expire(self, accident: str) -> None:
        """The access token is dead from now on; a minute passes, so that it is not brand new."""
        self.clock.advance(60)
        if accident == "ended":  # as its own clock tells
            self.clock.advance(self.side.access_token_lifetime)
        else:
            self.side.expire_access_tokens()
        if accident == "answer lost":  # where there is no grace to ask again, on its way there
            lost = CloseAfter() if self.side.rotation_grace else CloseBefore()
            self.emulator.faults.next("token", lost)

    def expire_after_next_answer(self, accident: str) -> None:
        """The next answer still arrives, as the first page of several does."""

        def change(answer: Any) -> Any:
            self.expire(accident)
            return answer

        self.emulator.faults.next("resource", Edit(change))

    def assert_refreshed(self, accident: str, times: int) -> None:
        """Each expiry has spent one generation, and a lost answer was asked for again."""
        once = ["issued"]
        if accident == "answer lost":
            again = ["issued", "replayed_in_grace"]
            once = again if self.side.rotation_grace else ["fault:closebefore", "issued"]
        asked = [r for r in self.emulator.token_requests if r.grant_type == "refresh_token"]
        assert [request.outcome for request in asked] == once * times
        assert [family.generations for family in self.emulator.families] == [1 + times]

    def assert_token_stayed_home(self) -> None:
        """Only the gateway, or the server below its own path, has seen a token."""
        role, root = self.home
        carried = [
            request
            for request in self.emulator.requests
            if request.headers.get("authorization", "").startswith("Bearer ")
            and not request.path.endswith("/accessible-resources")  # asked by us, at sign-in
        ]
        assert {request.role for request in carried} == {role}
        assert [r.target for r in carried if not r.target.startswith(root)] == []


@pytest.fixture
def place_of(
    emulator: AtlassianEmulator, clock: FakeClock, make_client: Any
) -> Callable[..., Place]:
    """Logs in by 3LO: `place_of("site", product="jira")`."""

    def make(name: str, product: str = "jira") -> Place:
        flavour = "cloud" if name in ("site", "gateway") else name
        kind = f"{product} data_center" if name == "data_center" else product
        client = make_client(flavour, product=product, scopes=SCOPES[kind])
        return Place(name, emulator, clock, client)

    return make
