"""Fixtures of the emulator's own tests: an emulator with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests

from atlassian_auth_adapter.testing.emulator import Emulator

VERIFIER = "v" * 43


@dataclass
class StandingClock:
    """A clock that a test moves; seconds."""

    now: float = 1_800_000_000.0

    def time(self) -> float:
        """Now, a POSIX timestamp."""
        return self.now


class Client:
    """A bare OAuth client: what a test needs to speak with one flavour."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.name = name
        self.flavour: Any = getattr(emulator, name)
        self.http = requests.Session()
        self.http.trust_env = False
        app = self.flavour.app
        self.credentials = {"client_id": app.client_id, "client_secret": app.client_secret}
        self.authorization = {
            "client_id": app.client_id,
            "response_type": "code",
            "state": "a state",
        }
        match name:
            case "cloud":
                self.root = self.flavour.auth_url
                self.token_url = f"{self.root}/oauth/token"
                self.product_url = f"{self.flavour.api_url}/ex/jira/{self.flavour.sites[0].id}"
                self.authorization |= {
                    "redirect_uri": app.callback_url,
                    "scope": "read:jira-user read:jira-work offline_access",
                    "audience": "api.atlassian.com",
                    "prompt": "consent",
                }
            case "data_center":
                self.root = f"{self.flavour.url}/rest/oauth2/latest"
                self.token_url = f"{self.root}/token"
                self.product_url = self.flavour.url
                self.authorization |= {
                    "redirect_uri": app.callback_url,
                    "scope": "WRITE",
                    "code_challenge": VERIFIER,
                    "code_challenge_method": "plain",
                }
            case "bitbucket":
                self.root = f"{self.flavour.auth_url}/site/oauth2"
                self.token_url = f"{self.root}/access_token"
                self.product_url = self.flavour.api_url
        self.revoke_url = self.token_url.replace("token", "revoke")

    def url(self, **changes: str | None) -> str:
        """The authorization URL, some parameters changed; None leaves one out."""
        params = {k: v for k, v in {**self.authorization, **changes}.items() if v is not None}
        return f"{self.root}/authorize?{urlencode(params, quote_via=quote)}"

    def code(self, **changes: str | None) -> str:
        """An authorization code: the person agrees."""
        redirect = self.flavour.authorize(self.url(**changes))
        return parse_qs(urlsplit(str(redirect)).query)["code"][0]

    def token(self, auth: Any = None, **fields: Any) -> requests.Response:
        """A form POST to the token endpoint with the client's credentials."""
        if self.name == "bitbucket":
            auth = auth or tuple(self.credentials.values())
        else:
            fields = {**self.credentials, **fields}
        return self.http.post(self.token_url, data=fields, auth=auth, timeout=10)

    def access_token(self, scope: str | None = None) -> str:
        """A valid access token; None: with every scope."""
        return str(self.flavour.issue(scope)["access_token"])

    def service_token(self, **changes: str) -> requests.Response:
        """The answer to the client credentials of the service account."""
        account = self.flavour.service_account
        fields = {"client_id": account.client_id, "client_secret": account.client_secret}
        return self.token(grant_type="client_credentials", **(fields | changes))

    def refresh_token(self) -> str:
        """A valid refresh token."""
        return str(self.flavour.issue()["refresh_token"])

    def exchange(self, code: str, **changes: Any) -> requests.Response:
        """The answer to an authorization code."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.flavour.app.callback_url,
            "code_verifier": VERIFIER,
        }
        return self.token(**{**fields, **changes})

    def refresh(self, refresh_token: str, **changes: Any) -> requests.Response:
        """The answer to a refresh token."""
        return self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)

    def get(self, path: str, token: str = "", **options: Any) -> requests.Response:
        """GET a path of the product, or any URL."""
        return self.request("GET", path, token, **options)

    def request(self, method: str, path: str, token: str = "", **options: Any) -> requests.Response:
        """Ask for a path of the product, or any URL; redirects are not followed."""
        url = path if path.startswith("http") else self.product_url + path
        headers = {**({"Authorization": f"Bearer {token}"} if token else {})}
        headers |= options.pop("headers", {})
        options.setdefault("allow_redirects", False)
        return self.http.request(method, url, headers=headers, timeout=10, **options)

    def whoami(self, token: str) -> requests.Response:
        """The answer of `myself`."""
        return self.get("/rest/api/2/myself", token)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes docs/emulator.md."""
    parser.addoption("--write-emulator", action="store_true", help="write docs/emulator.md")


@pytest.fixture
def clock() -> StandingClock:
    """A clock that stands still."""
    return StandingClock()


@pytest.fixture
def emulator(clock: StandingClock) -> Iterator[Emulator]:
    """Both flavours, one site."""
    with Emulator(clock) as running:
        yield running


@pytest.fixture
def client_of() -> Iterator[Callable[[Emulator, str], Client]]:
    """Makes clients of emulators that a test starts itself."""
    made: list[Client] = []

    def make(running: Emulator, name: str) -> Client:
        made.append(Client(running, name))
        return made[-1]

    yield make
    for each in made:
        each.http.close()


@pytest.fixture
def cloud(emulator: Emulator) -> Iterator[Client]:
    """A client of Cloud."""
    yield from _client(emulator, "cloud")


@pytest.fixture
def server(emulator: Emulator) -> Iterator[Client]:
    """A client of Data Center."""
    yield from _client(emulator, "data_center")


@pytest.fixture
def consumer(emulator: Emulator) -> Iterator[Client]:
    """A client of Bitbucket Cloud."""
    yield from _client(emulator, "bitbucket")


@pytest.fixture(params=["cloud", "data_center"])
def client(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[Client]:
    """A client of either flavour: the test runs twice."""
    yield from _client(emulator, request.param)


def _client(emulator: Emulator, name: str) -> Iterator[Client]:
    made = Client(emulator, name)
    with made.http:
        yield made


@pytest.fixture
def jira(client: Client) -> Iterator[Any]:
    """The PyPI package `jira` with a valid bearer of an administrator."""
    module = pytest.importorskip("jira")
    token = client.access_token(None if client.name == "cloud" else "ADMIN")
    options = {"server": client.product_url, "headers": {"Authorization": f"Bearer {token}"}}
    made = module.JIRA(options=options)
    yield made
    made.close()
