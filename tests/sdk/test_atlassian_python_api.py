"""atlassian-python-api: what is chosen by the host of a request is chosen by the gateway's."""

from __future__ import annotations

from typing import Any

import atlassian
import pytest
import requests

from atlassian_auth_adapter import AtlassianAuth
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Status


@pytest.mark.parametrize(
    ("name", "mounted", "status"),
    [("gateway", False, 200), ("site", False, 503), ("site", True, 200)],
)
def test_its_backoff_works_where_requests_go(
    place_of: Any,
    emulator: AtlassianEmulator,
    session: requests.Session,
    name: str,
    mounted: bool,
    status: int,
) -> None:
    """`backoff_and_retry` mounts an adapter on the URL that it was given. Requests to the site go
    to the gateway and miss that adapter, unless it is mounted there as well.
    """
    place = place_of(name)
    session.auth = AtlassianAuth(place.client)
    backoff = {"backoff_and_retry": True, "backoff_factor": 0, "backoff_jitter": 0}
    jira = atlassian.Jira(place.url, session=session, cloud=True, **backoff)
    if mounted:
        session.mount(place.client.base_url, session.get_adapter(place.url))
    emulator.faults.next("resource", Status(503))
    assert jira.get("rest/api/3/myself", advanced_mode=True).status_code == status
