"""What a valid token costs a request: ours beside Authlib's own auth objects and beside none.

    python benchmarks/overhead.py

Everything is measured in one run, on answers that a fake transport gives at once, in turns, so that
a busy machine disturbs all alike. Figures are medians; read the ratios, not the microseconds.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import httpx
import requests
from requests.adapters import BaseAdapter

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

ROUNDS, CALLS = 60, 50


class AtOnce(BaseAdapter):
    """Answers 200 without a network."""

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        """The answer."""
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, request.url or ""
        response._content = b"{}"  # noqa: SLF001 - what a real answer has after reading
        return response

    def close(self) -> None:
        """Nothing to close."""


def measured(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median microseconds per call of each way, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, call in ways.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - began) / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def shown(title: str, figures: dict[str, float]) -> None:
    """Print the figures with their ratios to the first one."""
    first = next(iter(figures.values()))
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:<34} {value:8.1f} us  x {value / first:.2f}")


def main() -> None:
    """Measure and print."""
    with AtlassianEmulator(data_center=False) as emulator:
        cloud = emulator.cloud
        client = atlassian.create_atlassian_oauth_client(
            cloud.app.client_id,
            cloud.app.client_secret,
            cloud.app.callback_url,
            cloud_id=cloud.sites[0].id,
            cloud=atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
        )
        client.oauth_complete(cloud.authorize(client.oauth_start()))
        url, token_set = f"{client.base_url}/rest/api/3/myself", client.token_set()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Authlib announces its move to httpx2
        from authlib.integrations.requests_client import OAuth2Auth

    token = {"access_token": token_set.access_token, "token_type": "Bearer"}
    header = {"Authorization": f"Bearer {token_set.access_token}"}
    session = requests.Session()
    session.mount("http://", AtOnce())
    ours, theirs = atlassian.AtlassianAuth(client), OAuth2Auth(token)
    shown(
        "requests, one GET",
        measured(
            {
                "a header written by hand": lambda: session.get(url, headers=header),
                "Authlib OAuth2Auth (no refresh)": lambda: session.get(url, auth=theirs),
                "AtlassianAuth": lambda: session.get(url, auth=ours),
            }
        ),
    )
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})))
    auth = atlassian.AtlassianHTTPXAuth(client)
    shown(
        "httpx, one GET",
        measured(
            {
                "a header written by hand": lambda: http.get(url, headers=header),
                "AtlassianHTTPXAuth": lambda: http.get(url, auth=auth),
            }
        ),
    )
    shown("the token alone", measured({"client.token_set()": client.token_set}))


if __name__ == "__main__":
    main()
