"""Sites of Cloud: found by their URL or as the only one, remembered, told when they are wrong."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from atlassian_auth_adapter import (
    COMMERCIAL,
    AccessDeniedError,
    AmbiguousSiteError,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    AtlassianOAuthClient,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    FileTokenStore,
    MemoryTokenStore,
    Site,
    TokenStoreError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.atlassian.products import PRODUCTS
from atlassian_auth_adapter.atlassian.sites import listed, only_site, site_at
from atlassian_auth_adapter.clients import base
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.emulator import Body, Edit, Hold, Status

JIRA, CONFLUENCE = PRODUCTS["jira"], PRODUCTS["confluence"]
ACME, GLOBEX = "https://acme.atlassian.net", "https://globex.atlassian.net"
UNNAMED = {"cloud_id": "", "site_url": ""}


@pytest.fixture
def two_sites() -> Any:
    """A local Cloud with two sites, and a maker of clients that name none of them."""
    with AtlassianEmulator(sites=2) as emulator:
        cloud = emulator.cloud

        def make(**changes: Any) -> AtlassianOAuthClient:
            arguments: dict[str, Any] = {
                "callback_url": cloud.app.callback_url,
                "cloud": CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
            }
            client = create_atlassian_oauth_client(
                cloud.app.client_id, cloud.app.client_secret, **(arguments | changes)
            )
            client.oauth_complete(cloud.authorize(client.oauth_start()))
            return client

        yield emulator, make


class _Forgetful(MemoryTokenStore):
    def save(self, name: str, text: str, *, expected: int | None) -> None:
        if name.endswith(".sites"):
            raise TokenStoreError("the disk is full.")
        super().save(name, text, expected=expected)


def _asked(emulator: AtlassianEmulator, *paths: str) -> int:
    return sum(request.path.endswith(paths) for request in emulator.requests)


# --- choosing -------------------------------------------------------------------------------------


def test_entries_of_one_site_are_told_apart_by_their_scopes() -> None:
    """Jira and Confluence of a site share its id; a site without the product is no candidate."""
    entries = (
        Site("a", ACME, "acme", ("read:jira-work", "read:me")),
        Site("a", ACME, "acme", ("read:page:confluence",)),
        Site("g", GLOBEX, "globex", ("search:confluence",)),
    )
    assert only_site(entries, JIRA) == entries[0]
    with pytest.raises(AmbiguousSiteError) as caught:
        only_site(entries, CONFLUENCE)
    assert {site.id for site in caught.value.sites} == {"a", "g"}


@pytest.mark.parametrize(
    "scope", ["read:servicedesk-request", "read:sprint:jira-software", "read:audit-log:jira"]
)
def test_jira_has_several_families_of_scopes(scope: str) -> None:
    """Service Management and Software are Jira sites as well."""
    assert only_site([Site("a", ACME, scopes=(scope,))], JIRA).id == "a"


def test_an_entry_without_scopes_may_be_any_products() -> None:
    """Real answers leave the field out: nothing is concluded from that."""
    assert only_site([Site("a", ACME)], CONFLUENCE).id == "a"


def test_a_grant_for_another_product_says_so() -> None:
    """No site of the product: the error says what there is, and what to do."""
    with pytest.raises(AccessDeniedError, match=r"no site of confluence \(https://acme") as caught:
        only_site([Site("a", ACME, scopes=("read:jira-work",))], CONFLUENCE)
    assert caught.value.granted == "read:jira-work"
    with pytest.raises(AccessDeniedError, match="it reaches no site"):
        only_site([], JIRA)


def test_a_site_is_recognised_however_its_url_is_written() -> None:
    """Case, port and a trailing slash do not matter; what is no URL is no site's."""
    entries = [Site("x", "not a URL"), Site("y"), Site("a", "https://ACME.atlassian.net:443/")]
    assert site_at("https://acme.atlassian.net:443", entries) == entries[2]
    assert site_at(GLOBEX, entries) is None


def test_the_list_names_each_site_once() -> None:
    """By its URL, else by its name, with the cloud id to copy."""
    assert listed([Site("a", ACME), Site("a", ACME), Site("g", name="globex")]) == (
        f"globex (cloud_id g), {ACME} (cloud_id a)"
    )


# --- the only site --------------------------------------------------------------------------------


def test_the_only_site_of_the_grant_is_found(emulator: AtlassianEmulator, make_client: Any) -> None:
    """Nothing was named, one site was chosen on the consent page: that one, also by its URL."""
    client = make_client(**UNNAMED)
    site = emulator.cloud.sites[0]
    with requests.Session() as session:
        session.auth = AtlassianAuth(client, foreign="raise")
        answer = session.get(f"{site.url}/rest/api/3/myself")
    assert answer.status_code == 200
    assert answer.url == f"{emulator.cloud.api_url}/ex/jira/{site.id}/rest/api/3/myself"
    assert (client.cloud_id, client.site_url) == (site.id, site.url)
    assert client.test_connection().base_url == client.base_url


def test_the_only_site_is_found_in_an_event_loop(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """One task or many: one look-up, and requests to the site are routed."""
    client = make_client(**UNNAMED)
    site = emulator.cloud.sites[0]

    async def main() -> list[int]:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            url = f"{site.url}/rest/api/3/myself"
            answers = await asyncio.gather(*(http.get(url) for _ in range(5)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(main()) == [200] * 5
    assert _asked(emulator, "/accessible-resources") == 1


@pytest.mark.parametrize("missing", [("scopes",), ("url",), ("scopes", "url", "name", "avatarUrl")])
def test_an_answer_with_gaps_will_do(
    emulator: AtlassianEmulator, make_client: Any, missing: tuple[str, ...]
) -> None:
    """Only the id is needed; without the URL requests go by the gateway's URL."""
    emulator.cloud.entries_without = missing
    client = make_client(**UNNAMED)
    assert client.base_url.endswith(emulator.cloud.sites[0].id)
    assert bool(client.site_url) == ("url" not in missing)


def test_several_sites_and_none_named_is_an_error_that_lists_them(two_sites: Any) -> None:
    """Never the first one. The error is one of the HTTP libraries as well; the token is fine."""
    emulator, make = two_sites
    client = make()
    with pytest.raises(AmbiguousSiteError) as caught:
        _ = client.base_url
    for site in emulator.cloud.sites:
        assert f"{site.url} (cloud_id {site.id})" in str(caught.value)
    assert [site.id for site in caught.value.sites] == [site.id for site in emulator.cloud.sites]
    url = f"{emulator.cloud.api_url}/rest/api/3/myself"
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        with pytest.raises(requests.RequestException, match="Name one") as one:
            session.get(url)
    with (
        httpx.Client(auth=AtlassianHTTPXAuth(client)) as http,
        pytest.raises(httpx.RequestError, match="Name one") as other,
    ):
        http.get(url)
    assert isinstance(one.value, AmbiguousSiteError)
    assert isinstance(other.value, AmbiguousSiteError)
    assert client.get_access_token()
    assert len(client.accessible_resources()) == 2
    assert emulator.requests[-1].path.endswith("accessible-resources")


def test_a_site_that_is_named_afterwards_is_used(two_sites: Any) -> None:
    """The same login, another client object with the choice made."""
    emulator, make = two_sites
    store = MemoryTokenStore()
    make(store=store)
    second = emulator.cloud.sites[1]
    client = make(store=store, site_url=f"{second.url}/jira/your-work")
    assert client.test_connection().id
    assert client.cloud_id == second.id


def test_another_login_may_reach_another_site(two_sites: Any) -> None:
    """What was remembered of the only site ends with the login it was for."""
    emulator, make = two_sites
    store = MemoryTokenStore()
    for site in emulator.cloud.sites:
        emulator.cloud.resource_choice = (site.id,)
        client = make(store=store)
        assert client.base_url.endswith(site.id)
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    emulator.cloud.resource_choice = (emulator.cloud.sites[0].id,)
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    assert client.base_url.endswith(emulator.cloud.sites[0].id)
    assert client.site_url == emulator.cloud.sites[0].url


def test_nothing_carries_the_token_before_the_site_is_known(
    two_sites: Any, session: requests.Session
) -> None:
    """A site that may turn out to be ours waits for the answer; the other one stays without."""
    emulator, make = two_sites
    ours, other = emulator.cloud.sites
    emulator.cloud.resource_choice = (ours.id,)
    session.auth = AtlassianAuth(make())
    session.get(f"{other.url}/rest/api/3/myself")
    session.get(f"{emulator.cloud.api_url}/ex/jira/{other.id}/rest/api/3/myself")
    for request in emulator.requests[-2:]:
        assert "authorization" not in request.headers


# --- remembered -----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False], ids=["by its URL", "as the only one"])
def test_a_site_is_remembered_in_the_store(
    emulator: AtlassianEmulator, make_client: Any, tmp_path: Path, named: bool
) -> None:
    """The next process asks neither the site nor the gateway."""
    site = emulator.cloud.sites[0]
    where = {"cloud_id": "", "site_url": site.url if named else ""}
    first = make_client(store=FileTokenStore(tmp_path), **where)
    assert first.base_url.endswith(site.id)
    emulator.reset_log()
    later = make_client(store=FileTokenStore(tmp_path), login=False, **where)
    assert later.test_connection().id
    assert (later.cloud_id, later.site_url) == (site.id, site.url)
    assert _asked(emulator, "/accessible-resources", "/tenant_info") == 0


def test_sites_of_one_login_are_remembered_side_by_side(two_sites: Any) -> None:
    """Two clients, two sites, one login in one store."""
    emulator, make = two_sites
    store = MemoryTokenStore()
    make(store=store)
    for _ in range(2):
        for site in emulator.cloud.sites:
            client = create_atlassian_oauth_client(
                emulator.cloud.app.client_id,
                emulator.cloud.app.client_secret,
                site_url=site.url,
                store=store,
                cloud=CloudEnvironment(
                    emulator.cloud.auth_url, emulator.cloud.api_url, emulator.cloud.audience
                ),
            )
            assert client.base_url.endswith(site.id)
    assert _asked(emulator, "/tenant_info") == 2


def test_a_forgotten_login_takes_its_sites_along(
    emulator: AtlassianEmulator, make_client: Any, tmp_path: Path
) -> None:
    """Nothing about the customer is left in the store."""
    client = make_client(store=FileTokenStore(tmp_path), **UNNAMED)
    assert client.base_url
    client.forget()
    assert not any(b"127.0.0.1" in f.read_bytes() and b"sites" in f.read_bytes()
                   for f in tmp_path.iterdir() if f.is_file())  # fmt: skip
    assert client.cloud_id == ""


def test_a_store_that_does_not_remember_is_reported(
    emulator: AtlassianEmulator, make_client: Any, events: Any, landed: Any
) -> None:
    """The site was found: the request goes on, and an event tells of the store."""
    client = make_client(store=_Forgetful(), on_event=events, **UNNAMED)
    assert client.base_url.endswith(emulator.cloud.sites[0].id)
    landed()
    assert "site not remembered: the disk is full." in events[-1].fields["error"]


@pytest.mark.parametrize("damage", ["../../admin", r"a\g<9>", "", None])
def test_a_damaged_memory_is_none(
    emulator: AtlassianEmulator, make_client: Any, events: Any, landed: Any, damage: str | None
) -> None:
    """What is no cloud id gets into no path; the login is not to be forgotten for it."""

    class Damaged(MemoryTokenStore):
        def load(self, name: str) -> Entry | None:
            if name.endswith(".sites") and damage is None:
                raise TokenStoreError("the record is damaged.")
            entry = super().load(name)
            if entry and name.endswith(".sites"):
                stored = json.loads(entry.text)
                stored["cloud_ids"] = dict.fromkeys(stored["cloud_ids"], damage)
                return entry._replace(text=json.dumps(stored))
            return entry

    store = Damaged()
    for client in (make_client(store=store, **UNNAMED), make_client(store=store, **UNNAMED)):
        assert client.test_connection().base_url.endswith(emulator.cloud.sites[0].id)
    landed()
    client = make_client(store=store, login=False, on_event=events, **UNNAMED)
    assert client.base_url.endswith(emulator.cloud.sites[0].id)
    landed()
    assert ("site not remembered" in str(events)) == (damage is None)


@pytest.mark.parametrize(
    "url", ["http://acme.example", "https://a:b@acme.example", "nonsense", "https://äcme.example"]
)
def test_a_site_whose_url_is_none_is_used_without_it(
    emulator: AtlassianEmulator, make_client: Any, url: str
) -> None:
    """Found now and by the next process: requests go by the gateway's URL."""

    def edited(response: Any) -> Any:
        entries = [{**entry, "url": url} for entry in json.loads(response.body)]
        return replace(response, body=json.dumps(entries).encode())

    emulator.faults.next("accessible-resources", Edit(edited))
    store = MemoryTokenStore()
    for login in (True, False):
        client = make_client(store=store, login=login, **UNNAMED)
        assert client.test_connection().id
        assert client.site_url == ""
    assert _asked(emulator, "/accessible-resources") == 1


def test_each_product_has_an_only_site_of_its_own(two_sites: Any) -> None:
    """Jira here and Confluence there: what is remembered for one is not the other's."""
    emulator, make = two_sites
    entries = [
        {"id": site.id, "url": site.url, "scopes": [scope]}
        for site, scope in zip(
            emulator.cloud.sites, ("read:jira-user", "read:confluence-user"), strict=True
        )
    ]
    emulator.faults.next("accessible-resources", Body(json.dumps(entries).encode()), times=None)
    store = MemoryTokenStore()
    make(store=store)
    for product, site in zip(("jira", "confluence"), emulator.cloud.sites, strict=True):
        client = create_atlassian_oauth_client(
            emulator.cloud.app.client_id,
            emulator.cloud.app.client_secret,
            cloud=CloudEnvironment(
                emulator.cloud.auth_url, emulator.cloud.api_url, emulator.cloud.audience
            ),
            product=product,
            store=store,
        )
        assert client.base_url.endswith(site.id)


def test_a_login_that_comes_while_a_site_is_looked_for_gets_its_own(two_sites: Any) -> None:
    """The answer was for the login before: neither this client nor the store keeps it."""
    emulator, make = two_sites
    store = MemoryTokenStore()
    old, new = emulator.cloud.sites
    emulator.cloud.resource_choice = (old.id,)
    clients = make(store=store), make(store=store)
    held = Hold(after=True)
    emulator.faults.next("accessible-resources", held, times=2)
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(lambda client=client: client.base_url) for client in clients]
        held.wait_arrived(2)
        emulator.cloud.resource_choice = (new.id,)
        clients[0].oauth_complete(emulator.cloud.authorize(clients[0].oauth_start()))
        held.release()
        assert found[0].result(10).endswith(new.id)
        found[1].result(10)
    emulator.cloud.resource_choice = (new.id,)
    later = create_atlassian_oauth_client(
        emulator.cloud.app.client_id,
        emulator.cloud.app.client_secret,
        cloud=CloudEnvironment(
            emulator.cloud.auth_url, emulator.cloud.api_url, emulator.cloud.audience
        ),
        store=store,
    )
    assert later.base_url.endswith(new.id)


def test_a_dropped_client_is_freed_at_once(make_client: Any, landed: Any) -> None:
    """It holds a login, which a program that drops it does not expect to stay in memory."""
    gc.disable()
    try:
        client = make_client(**UNNAMED)
        assert client.base_url
        landed()
        dropped = weakref.ref(client)
        del client
        assert dropped() is None
    finally:
        gc.enable()


def test_a_hook_may_use_the_client_that_looks_for_its_site(make_client: Any, landed: Any) -> None:
    """It is told when the site is known; nothing waits for itself."""
    seen = []
    client = make_client(
        store=_Forgetful(), on_event=lambda _: seen.append(client.base_url), **UNNAMED
    )
    assert client.base_url
    landed()
    assert seen == [client.base_url]


def test_no_task_waits_for_a_hook_that_is_told_of_the_search(make_client: Any) -> None:
    """The hook is called when all that wait for the site have it."""
    asked = threading.Event()
    client = make_client(store=_Forgetful(), on_event=lambda _: asked.wait(10), **UNNAMED)
    asyncio.run(asyncio.wait_for(client.token_set_async(), 5))
    asked.set()
    assert client.cloud_id


def test_what_looks_for_a_site_cannot_wait_for_itself(
    make_client: Any, events: Any, landed: Any
) -> None:
    """A store that uses the client it serves is told so, in place of waiting for ever."""

    class Curious(MemoryTokenStore):
        def load(self, name: str) -> Entry | None:
            if name.endswith(".sites"):
                _ = client.base_url
            return super().load(name)

    client = make_client(store=Curious(), on_event=events, **UNNAMED)
    assert client.test_connection().id
    landed()
    assert "wait for itself" in events[-1].fields["error"]


# --- a cloud id alone -----------------------------------------------------------------------------

MYSELF = "/rest/api/3/myself"


def _library(name: str, client: AtlassianOAuthClient, *urls: str) -> list[Any]:
    """The answers that a client of that library gets, in turn."""

    async def with_async() -> list[Any]:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            return [await http.get(url) for url in urls]

    match name:
        case "requests":
            with requests.Session() as session:
                session.auth = AtlassianAuth(client)
                return [session.get(url) for url in urls]
        case "httpx":
            with httpx.Client(auth=AtlassianHTTPXAuth(client)) as one:
                return [one.get(url) for url in urls]
        case "aiohttp":
            return [*ask(client, *urls)]
        case "httpx2":
            with importlib.import_module("httpx2").Client(auth=AtlassianHTTPX2Auth(client)) as two:
                return [two.get(url) for url in urls]
        case _:
            return asyncio.run(with_async())


LIBRARIES = ["requests", "httpx", "httpx2", "aiohttp", "httpx, async"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_requests_to_the_site_of_a_cloud_id_are_routed(
    emulator: AtlassianEmulator, make_client: Any, library: str
) -> None:
    """The URL of the site is learnt when it is first asked for, once, also by another client."""
    store, site = MemoryTokenStore(), emulator.cloud.sites[0].url
    client = make_client(site_url="", store=store)
    assert client.test_connection().id
    asked = _asked(emulator, "/accessible-resources")
    for answer in _library(library, client, *[site + MYSELF, site + "/" + MYSELF] * 2):
        assert answer.status_code == 200
        assert str(answer.url) == client.base_url + MYSELF
    assert client.site_url == site
    later = make_client(site_url="", store=store, login=False)
    assert _library(library, later, site + MYSELF)[0].status_code == 200
    assert _asked(emulator, "/accessible-resources") == asked + 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_other_sites_get_no_token_and_cost_one_question_in_all(
    two_sites: Any, events: Any, library: str
) -> None:
    """The sites are listed once, however many hosts are asked for; each request is sent bare."""
    emulator, make = two_sites
    acme, globex = emulator.cloud.sites
    client = make(cloud_id=acme.id, on_event=events)
    asked = _asked(emulator, "/accessible-resources")
    others = [globex.url + MYSELF, emulator.foreign_url + MYSELF, globex.url + "/rest/x"]
    for _ in others:
        _library(library, client, *others)
    bare = [r for r in emulator.requests if r.role in ("site", "foreign")]
    assert len(bare) == 9
    assert not any("authorization" in request.headers for request in bare)
    assert _asked(emulator, "/accessible-resources") == asked + 1
    assert "foreign_origin" in events.names


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_cloud_id_that_the_login_does_not_reach_has_no_url(
    two_sites: Any, events: Any, library: str
) -> None:
    """Its own site is not known, so no host is: bare, with a hint, and no question for each."""
    emulator, make = two_sites
    acme, globex = emulator.cloud.sites
    emulator.cloud.resource_choice = {acme.id}
    client = make(cloud_id=globex.id, on_event=events)
    asked = _asked(emulator, "/accessible-resources")
    for answer in _library(library, client, *[acme.url + MYSELF, globex.url + MYSELF] * 2):
        assert str(answer.url).startswith((acme.url, globex.url))
    assert _asked(emulator, "/accessible-resources") == asked + 1
    hints = [event.fields["hint"] for event in events if event.name == "foreign_origin"]
    assert any("pass site_url=" in hint for hint in hints)


@pytest.mark.parametrize("library", LIBRARIES)
def test_sites_that_cannot_be_listed_are_asked_for_again_later(
    emulator: AtlassianEmulator, make_client: Any, clock: Any, library: str
) -> None:
    """The request is sent without the token meanwhile, and no error is raised for it."""
    client = make_client(site_url="")
    url = emulator.cloud.sites[0].url + MYSELF
    emulator.faults.next("accessible-resources", Status(503), times=None)
    asked = _asked(emulator, "/accessible-resources")
    answers = _library(library, client, url, url, url)
    assert len(answers) == 3
    at_site = [request for request in emulator.requests if request.role == "site"]
    assert {request.headers.get("authorization") for request in at_site} == {None}
    assert _asked(emulator, "/accessible-resources") == asked + 1
    emulator.faults.clear()
    assert str(_library(library, client, url)[0].url) == url  # not the gateway's
    clock.advance(61)
    assert _library(library, client, url)[0].status_code == 200


def test_threads_and_tasks_learn_the_site_together(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Many ask for the site at the same moment: one question, and each of them is routed."""
    client = make_client(site_url="")
    url = emulator.cloud.sites[0].url + MYSELF
    asked = _asked(emulator, "/accessible-resources")
    hold = Hold()
    emulator.faults.next("accessible-resources", hold)

    async def tasks() -> list[int]:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(client)) as http:
            answers = await asyncio.gather(*(http.get(url) for _ in range(4)))
        return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(5) as pool:
        threads = [pool.submit(_library, "requests", client, url) for _ in range(4)]
        loop = pool.submit(asyncio.run, tasks())
        hold.wait_arrived()
        hold.release()
        assert [thread.result(10)[0].status_code for thread in threads] == [200] * 4
        assert loop.result(10) == [200] * 4
    assert _asked(emulator, "/accessible-resources") == asked + 1


def test_a_redirect_to_the_site_of_a_cloud_id_is_followed_to_the_gateway(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Links and redirects of the gateway name the site: its URL is learnt then."""
    url = emulator.cloud.sites[0].url + MYSELF
    for library in LIBRARIES:
        client = make_client(site_url="")
        redirect = f"{client.base_url}/rest/redirect?to={url}"
        if library in ("requests", "aiohttp"):
            assert _library(library, client, redirect)[0].status_code == 200
            continue
        options: dict[str, Any] = {"follow_redirects": True}
        if library == "httpx2":
            module, auth = importlib.import_module("httpx2"), AtlassianHTTPX2Auth
        else:
            module, auth = httpx, AtlassianHTTPXAuth
        with module.Client(auth=auth(client), **options) as http:
            assert http.get(redirect).status_code == 200


def test_a_service_account_learns_its_site_as_well(emulator: AtlassianEmulator, clock: Any) -> None:
    """The sites are listed for its tokens, too."""
    cloud = emulator.cloud
    account = AtlassianServiceAccountClient(
        cloud.service_account.client_id,
        cloud.service_account.client_secret,
        cloud_id=cloud.sites[0].id,
        cloud=CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
        clock=clock,
    )
    url = cloud.sites[0].url + MYSELF
    assert _library("requests", account, url)[0].url == account.base_url + MYSELF  # type: ignore[arg-type]


def test_a_new_login_learns_the_site_anew(two_sites: Any) -> None:
    """It may reach the site that the one before did not."""
    emulator, make = two_sites
    acme, globex = emulator.cloud.sites
    emulator.cloud.resource_choice = {acme.id}
    client = make(cloud_id=globex.id)
    assert _library("requests", client, globex.url + MYSELF)[0].url.startswith(globex.url)
    emulator.cloud.resource_choice = {acme.id, globex.id}
    client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))
    assert _library("requests", client, globex.url + MYSELF)[0].url == client.base_url + MYSELF


# --- asked for by its URL -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 403, 404, 503])
def test_a_site_that_does_not_tell_its_id_is_found_among_those_of_the_grant(
    emulator: AtlassianEmulator, make_client: Any, status: int
) -> None:
    """A site behind an allow-list, say: the gateway knows it as well."""
    emulator.faults.next("tenant_info", Status(status, headers={"Location": "/login"}))
    client = make_client(cloud_id="")
    assert client.base_url.endswith(emulator.cloud.sites[0].id)


def test_a_url_that_is_none_of_the_logins_sites_names_them(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """A misspelled site: the error says which ones the login has."""
    client = make_client(cloud_id="", site_url=emulator.foreign_url)
    with pytest.raises(ConfigurationError, match="The sites of this login: ") as caught:
        _ = client.base_url
    assert emulator.cloud.sites[0].url in str(caught.value)


def test_government_cloud_lists_its_sites_at_the_authorization_server(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Another audience, and another host to ask: both are fields of the environment."""
    cloud = emulator.cloud
    cloud.audience = "api.atlassian-us-gov-mod.com"
    environment = CloudEnvironment(
        cloud.auth_url, cloud.api_url, cloud.audience, resources_url=cloud.auth_url
    )
    client = make_client(cloud=environment, **UNNAMED)
    assert client.test_connection().id
    asked = [r.role for r in emulator.requests if r.path.endswith("/accessible-resources")]
    assert asked == ["auth"]


# --- a site that the grant does not reach ---------------------------------------------------------


@pytest.mark.parametrize("named_by", ["cloud_id", "site_url"])
def test_each_sign_in_tells_that_it_does_not_reach_the_site(
    two_sites: Any, events: Any, named_by: str
) -> None:
    """The gateway says 404 and no more; the event of the sign-in names the sites of the login."""
    emulator, make = two_sites
    acme, globex = emulator.cloud.sites
    named = {"cloud_id": globex.id, "site_url": globex.url}[named_by]
    emulator.cloud.resource_choice = {acme.id}
    client = make(on_event=events, **{named_by: named})
    for logins in (1, 2):
        told = [event for event in events if event.name == "site_not_granted"]
        assert len(told) == logins
        assert told[-1].fields["cloud_id"] == globex.id
        assert acme.id in told[-1].fields["reached"]
        assert _asked(emulator, "/accessible-resources") == logins
        client.oauth_complete(emulator.cloud.authorize(client.oauth_start()))


@pytest.mark.parametrize("library", ["requests", "httpx", "httpx2", "aiohttp"])
@pytest.mark.parametrize("status", [403, 404])
def test_no_request_is_made_that_the_program_did_not_ask_for(
    emulator: AtlassianEmulator, make_client: Any, library: str, status: int
) -> None:
    """After a 403 or 404 the program alone decides what to ask next."""
    client = make_client(scopes=["read:jira-work", "offline_access"])
    url = f"{client.base_url}/rest/api/3/issue/NO-1"
    emulator.faults.next("resource", Status(status), times=None)
    before = len(emulator.requests)
    for _ in range(3):
        if library == "requests":
            with requests.Session() as session:
                session.auth = AtlassianAuth(client)
                assert session.get(url).status_code == status
        elif library == "aiohttp":
            assert ask(client, url)[0].status_code == status
        else:
            of_library = {"httpx": AtlassianHTTPXAuth, "httpx2": AtlassianHTTPX2Auth}[library]
            with importlib.import_module(library).Client(auth=of_library(client)) as http:
                assert http.get(url).status_code == status
    assert not [t for t in threading.enumerate() if t.name.startswith("atlassian-auth")]
    assert len(emulator.requests) - before == 3


def test_a_sign_in_is_made_although_its_sites_cannot_be_listed(
    emulator: AtlassianEmulator, make_client: Any, events: Any
) -> None:
    """Whether the site is reached is a hint: its failure fails no sign-in, and reports nothing."""
    emulator.faults.next("accessible-resources", Status(503), times=None)
    client = make_client(on_event=events)
    assert client.get_access_token()
    assert "site_not_granted" not in events.names


def test_a_sign_in_does_not_wait_for_a_gateway_that_hangs(
    two_sites: Any, events: Any, landed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login is made; whether it reaches its site is told when the answer is there."""
    emulator, make = two_sites
    acme, globex = emulator.cloud.sites
    emulator.cloud.resource_choice = {acme.id}
    monkeypatch.setattr(base, "SITE_CHECK", 0.01)
    held = Hold()
    emulator.faults.next("accessible-resources", held)
    assert make(on_event=events, cloud_id=globex.id).get_access_token()
    held.wait_arrived()
    assert "site_not_granted" not in events.names
    held.release()
    landed()
    assert "site_not_granted" in events.names


def test_only_cloud_has_sites(make_client: Any) -> None:
    """Data Center has no list to ask for."""
    with pytest.raises(ConfigurationError, match="only Jira Cloud and Confluence Cloud"):
        make_client("data_center").accessible_resources()


def test_the_commercial_cloud_is_named_like_any_other() -> None:
    """`cloud=COMMERCIAL` alone says: the only site that the login reaches."""
    client = create_atlassian_oauth_client("id", "secret", cloud=COMMERCIAL)
    assert (client.cloud_id, client.site_url, client.server_url) == ("", "", "")
