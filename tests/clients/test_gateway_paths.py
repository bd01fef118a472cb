"""The APIs of the gateway beside /ex/, asked through each library; and the option of the client."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from itertools import product
from typing import Any

import httpx
import httpx2
import pytest
import requests

from atlassian_auth_adapter import (
    COMMERCIAL,
    US_GOV_MODERATE,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    ForeignOriginError,
    FreshTokenRejectedError,
    StaticTokenSource,
    TokenSource,
    atlassian_oauth_client_from_env,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.atlassian.gateway import CloudGateway
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.products import cloud_named
from atlassian_auth_adapter.testing import AtlassianEmulator

GRAPHQL = ("/graphql",)
WORKSPACES = "/rest/servicedeskapi/assets/workspace"
LIBRARIES = ["requests", "httpx", "httpx2", "httpx, async"]


def ask(library: str, source: TokenSource, method: str, url: str) -> Any:
    """The answer that a client of that library gets, redirects followed."""

    async def with_async() -> Any:
        auth = AtlassianHTTPXAuth(source)
        async with httpx.AsyncClient(auth=auth, follow_redirects=True) as client:
            return await client.request(method, url)

    match library:
        case "requests":
            return requests.request(method, url, auth=AtlassianAuth(source), timeout=10)
        case "httpx":
            with httpx.Client(auth=AtlassianHTTPXAuth(source), follow_redirects=True) as one:
                return one.request(method, url)
        case "httpx2":
            with httpx2.Client(auth=AtlassianHTTPX2Auth(source), follow_redirects=True) as two:
                return two.request(method, url)
        case _:
            return asyncio.run(with_async())


def workspace_of(client: Any) -> str:
    """The id of the workspace of Assets."""
    answer = requests.get(client.base_url + WORKSPACES, auth=AtlassianAuth(client), timeout=10)
    return str(answer.json()["values"][0]["workspaceId"])


SCOPES = ["read:ops-alert:jira-service-management", "read:cmdb-schema:jira",
          "read:servicedesk-request", "read:jira-user"]  # fmt: skip


@pytest.fixture
def urls(emulator: AtlassianEmulator, make_client: Any) -> dict[str, str]:
    """A URL of each API beside /ex/."""
    api, site = emulator.cloud.api_url, emulator.cloud.sites[0].id
    workspace = workspace_of(make_client(scopes=SCOPES))
    return {
        "ops": f"{api}/jsm/ops/api/{site}/v1/alerts",
        "forms": f"{api}/jira/forms/cloud/{site}/issue/DEMO-1/form",
        "assets": f"{api}/jsm/assets/workspace/{workspace}/v1/objectschema/list",
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_apis_of_the_site_answer(make_client: Any, urls: dict[str, str], library: str) -> None:
    """Row 8: Ops, Forms and Assets by the URLs of their documentation, also after a redirect."""
    client = make_client(scopes=SCOPES)
    for url in urls.values():
        assert ask(library, client, "GET", url).status_code == 200
        redirect = f"{client.base_url}/rest/redirect?to={url}"
        assert ask(library, client, "GET", redirect).status_code == 200


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_option_opens_graphql(
    emulator: AtlassianEmulator, make_client: Any, events: Any, library: str
) -> None:
    """Row 8: with it the token goes to /graphql, without it an event names the option."""
    url = f"{emulator.cloud.api_url}/graphql"
    assert ask(library, make_client(gateway_paths=GRAPHQL), "POST", url).json()["data"]["me"]
    assert ask(library, make_client(on_event=events), "POST", url).status_code == 401
    assert "authorization" not in emulator.requests[-1].headers
    hints = [event.fields["hint"] for event in events if event.name == "foreign_origin"]
    assert "gateway_paths=('/graphql',)" in hints[-1]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_redirect_leads_to_no_other_site(
    emulator: AtlassianEmulator, make_client: Any, library: str
) -> None:
    """Row 8: from an API of the site, or from one of the option, the token goes no further."""
    client, api = make_client(gateway_paths=GRAPHQL), emulator.cloud.api_url
    for target in (
        *(f"{api}/jsm/ops/api/other/v1/alerts", f"{api}/jira/forms/cloud/other/x"),
        *(f"{api}/graphqlx", f"{api}/ex/jira/other/rest/x", f"{emulator.foreign_url}/graphql"),
    ):
        ask(library, client, "GET", f"{client.base_url}/rest/redirect?to={target}")
        assert emulator.requests[-1].target == target.removeprefix(api).removeprefix(
            emulator.foreign_url
        )
        assert "authorization" not in emulator.requests[-1].headers


def test_every_client_of_a_site_has_the_option(
    emulator: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The factory, a service account, the environment, and API tokens with scopes."""
    site = "https://acme.atlassian.net"
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "id")
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "secret")
    sources: list[TokenSource] = [
        create_atlassian_oauth_client("id", "s", cloud_id="1-2", gateway_paths=GRAPHQL),
        create_atlassian_oauth_client(
            "id", "s", cloud_id="1-2", product="confluence", gateway_paths=["/graphql/"]
        ),
        AtlassianServiceAccountClient("id", "s", cloud_id="1-2", gateway_paths="/graphql"),
        atlassian_oauth_client_from_env(cloud_id="1-2", gateway_paths=GRAPHQL),
        StaticTokenSource.scoped_api_token("a@b.c", "t", "1-2", site, gateway_paths=GRAPHQL),
    ]
    for source in sources:
        server = source.resource_server
        assert isinstance(server, CloudGateway)
        assert server.gateway_paths == GRAPHQL
        assert server.route(Location.of("https://api.atlassian.com/graphql")).bearer


def test_the_option_survives_the_search_for_the_site(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """A client that has yet to find its site keeps it, and so does a new login."""
    client = make_client(cloud_id="", site_url="", gateway_paths=GRAPHQL)
    for _ in range(2):
        answer = ask("requests", client, "POST", f"{emulator.cloud.api_url}/graphql")
        assert answer.status_code == 200
        assert client.cloud_id
        client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))


def test_the_option_is_in_a_pickle() -> None:
    """In another process the client opens the same paths."""
    client = create_atlassian_oauth_client("id", "s", cloud_id="1-2", gateway_paths=GRAPHQL)
    code = (
        "import pickle, sys; client = pickle.loads(sys.stdin.buffer.read()); "
        "print(client.resource_server.gateway_paths)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(client), capture_output=True, check=True
    )
    assert result.stdout.decode().strip() == str(GRAPHQL)


def test_where_there_is_no_gateway_the_option_is_an_error() -> None:
    """On Data Center and in a Cloud without sites; malformed paths are told at once."""
    places: list[dict[str, Any]] = [
        {"server_url": "https://jira.company.com"},
        {"product": "bitbucket"},
    ]
    for place in places:
        with pytest.raises(ConfigurationError, match="gateway_paths: only a client for a site"):
            create_atlassian_oauth_client("id", "s", gateway_paths=GRAPHQL, **place)
    with pytest.raises(ConfigurationError, match="gateway_paths: give a list of paths"):
        create_atlassian_oauth_client("id", "s", cloud_id="1-2", gateway_paths=["graphql"])


# --- API tokens without scopes --------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_api_token_is_taken_at_assets_and_forms(
    emulator: AtlassianEmulator, urls: dict[str, str], library: str
) -> None:
    """Row 9: at two APIs of the gateway, and at GraphQL of the site."""
    cloud = emulator.cloud
    hosts = CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    site = cloud.sites[0].url
    source = StaticTokenSource.api_token(cloud.email, cloud.api_token, site, cloud=hosts)
    for url in (urls["forms"], urls["assets"]):
        assert ask(library, source, "GET", url).status_code == 200
    assert ask(library, source, "POST", f"{site}/gateway/api/graphql").json()["data"]["me"]


def test_an_api_token_goes_to_no_other_path_of_the_gateway() -> None:
    """Row 9: exactly those, of the Cloud that the site's name belongs to, or that was given."""
    make, site = StaticTokenSource.api_token, "https://acme.atlassian.net"
    government = "https://acme.atlassian-us-gov-mod.net"
    custom, gateway = "https://jira.company.com", COMMERCIAL.api_url
    for path, bearer in (
        *(("/jsm/assets/workspace/w/v1/object/1", True), ("/jsm/assets", True)),
        *(("/jira/forms/cloud/1-2/issue/A-1/form", True), ("/jsm/assetsx", False)),
        *(("/jira/forms", False), ("/jira/forms/cloud", False), ("/graphql", False)),
        *(("/ex/jira/1-2/rest/api/3/myself", False), ("/me", False), ("/admin/v1/orgs", False)),
        *(("/jsm/assets/../../me", False), ("/jira/forms/cloud/..%2f..%2fx", False)),
        *(("/jira/forms/cloud//x", False), ("//jsm/assets", False)),
    ):
        server = make("a@b.c", "t", site).resource_server
        assert server.route(Location.of(gateway + path)).bearer is bearer, path
    assets = "/jsm/assets/workspace/w"
    for source, api_url, bearer in (
        (make("a@b.c", "t", site), US_GOV_MODERATE.api_url, False),
        (make("a@b.c", "t", government), US_GOV_MODERATE.api_url, True),
        (make("a@b.c", "t", government), gateway, False),
        (make("a@b.c", "t", custom), gateway, False),
        (make("a@b.c", "t", custom, cloud=COMMERCIAL), gateway, True),
        (make("a@b.c", "t", "https://acme.atlassian-isolated.net"), gateway, False),
    ):
        route = source.resource_server.route(Location.of(api_url + assets))
        assert route.bearer is bearer, source
        assert source.resource_server.base_url.startswith("https://")
    with pytest.raises(ConfigurationError, match="another Cloud"):
        make("a@b.c", "t", government, cloud=COMMERCIAL)


def test_an_api_token_on_a_custom_domain_is_advised() -> None:
    """Row 20: a custom domain accepts no API token (AX-649); the hint and the error say so."""
    source = StaticTokenSource.api_token("a@b.c", "t", "https://jira.company.com")
    token = source.token_set().access_token
    with pytest.raises(FreshTokenRejectedError, match="custom domain accepts no API token"):
        source.token_set(token)
    auth = AtlassianAuth(source, foreign="raise")
    with pytest.raises(ForeignOriginError, match="/jsm/assets and /jira/forms/cloud only"):
        auth.admit(Location.of("https://api.atlassian.com/ex/jira/1-2/rest"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_key_of_an_organization_is_taken_at_its_two_places(
    emulator: AtlassianEmulator, library: str
) -> None:
    """Row 9: /admin and /users/{id}/manage, whatever the library."""
    cloud = emulator.cloud
    hosts = CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    source = StaticTokenSource.organization_key(cloud.organization_key, hosts)
    for path in ("/admin/v1/orgs", "/users/557058:1/manage/profile"):
        assert ask(library, source, "GET", cloud.api_url + path).status_code == 200


# --- custom domains, other Clouds -----------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_custom_domain_is_asked_through_the_gateway(
    emulator: AtlassianEmulator, make_client: Any, library: str
) -> None:
    """Row 20: the domain takes no token, and the requests to it are answered all the same."""
    emulator.cloud.custom_domains = True
    client = make_client(cloud_id="", site_url=emulator.cloud.sites[0].url)
    url = f"{client.site_url}/rest/api/3/myself"
    assert ask(library, client, "GET", url).status_code == 200


def test_government_cloud_is_as_it_is_documented() -> None:
    """Row 16: authorization server and audience of the page for Government Cloud, 2025-05-29."""
    client = create_atlassian_oauth_client(
        "id", "s", "https://a.example/cb", cloud=US_GOV_MODERATE, scopes=["read:jira-work"]
    )
    url = client.oauth_start()
    assert url.startswith("https://auth.atlassian-us-gov-mod.com/authorize?")
    assert "audience=api.atlassian-us-gov-mod.com" in url


@pytest.mark.parametrize("site", ["acme.atlassian-isolated.net", "x.ic-7bf.atl-ic.net"])
def test_isolated_cloud_is_not_taken_for_the_commercial_one(site: str) -> None:
    """Row 16: its OAuth hosts are not documented, so nothing is sent to those of another Cloud."""
    makers: list[Any] = [create_atlassian_oauth_client, AtlassianServiceAccountClient]
    for make, cloud in product(makers, (None, COMMERCIAL)):
        with pytest.raises(ConfigurationError, match=r"Isolated Cloud.*CloudEnvironment"):
            make("id", "s", site_url=f"https://{site}", cloud=cloud)
        with pytest.raises(ConfigurationError, match=r"for Isolated Cloud one with its hosts"):
            make("id", "s", cloud="isolated")
    with pytest.raises(ConfigurationError, match=r"Isolated Cloud.*CloudEnvironment"):
        StaticTokenSource.scoped_api_token("a@b.c", "t", "1-2", f"https://{site}")
    for name in ("isolated", "Isolated-Cloud", "ATLASSIAN_ISOLATED_CLOUD"):
        with pytest.raises(ConfigurationError, match=r"Isolated Cloud.*not documented"):
            cloud_named(name)


def test_isolated_cloud_works_with_hosts_of_your_own(make_client: Any) -> None:
    """Row 16: a CloudEnvironment that names them; an API token for the site needs none."""
    site = "https://acme.atlassian-isolated.net"
    hosts = CloudEnvironment(
        "https://auth.acme.example", "https://api.acme.example", "api.acme.example"
    )
    client = make_client(login=False, cloud=hosts, cloud_id="1-2", site_url=site)
    route = client.resource_server.route(Location.of(f"{site}/rest/api/3/myself"))
    assert route.location == Location.of("https://api.acme.example/ex/jira/1-2/rest/api/3/myself")
    assert client.oauth_start().startswith("https://auth.acme.example/authorize?")
    named = hosts._replace(site_domain=".atlassian-isolated.net")
    assert make_client(login=False, cloud=named, cloud_id="1-2", site_url=site).site_url == site
    source = StaticTokenSource.api_token("a@b.c", "t", site)
    assert source.resource_server.route(Location.of(f"{site}/rest/x")).bearer
