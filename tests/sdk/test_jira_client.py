"""`jira_client`: what the SDK `jira` is told, and its links, threads and pickles afterwards."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from jira.resources import Issue

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    ConfigurationError,
    LoginRequiredError,
    StaticTokenSource,
)
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Edit, Hold

PLACES = ("site", "gateway", "data_center")


@pytest.mark.parametrize("name", PLACES)
def test_the_first_request_carries_the_token_and_tells_what_server_it_is(
    place_of: Any, emulator: AtlassianEmulator, name: str
) -> None:
    """The constructor asks for the version with the token: Cloud is known to be Cloud, so that its
    search is the one that Cloud still has.
    """
    place = place_of(name)
    emulator.reset_log()
    jira = jira_client(place.client, place.url)
    assert jira.deploymentType == ("Cloud" if place.cloud else "Server")
    resources = [r for r in emulator.requests if r.target.startswith(("/ex/", "/jira/rest/api/"))]
    assert resources
    assert all("authorization" in request.headers for request in resources)
    place.assert_token_stayed_home()


def test_the_server_is_the_site_where_the_source_knows_it(place_of: Any, make_client: Any) -> None:
    """Links for people are right by themselves; without a site it is what takes the token."""
    cloud, server = place_of("site"), make_client("data_center")
    site = cloud.side.sites[0]
    assert jira_client(cloud.client).server_url == site.url
    assert jira_client(make_client(site_url="")).server_url == cloud.client.base_url
    assert jira_client(server).server_url == server.base_url


def test_a_server_that_is_named_is_kept(place_of: Any) -> None:
    """As an argument, and as the option that older programs use."""
    place = place_of("gateway")
    assert jira_client(place.client, place.url).server_url == place.url
    options = {"server": place.url, "headers": {"X-Program": "tests"}}
    jira = jira_client(place.client, options=options)
    assert jira.server_url == place.url
    jira.myself()
    assert place.emulator.requests[-1].headers["x-program"] == "tests"


@pytest.mark.parametrize("name", PLACES)
def test_permalinks_are_for_people_when_the_server_is_the_site(place_of: Any, name: str) -> None:
    """A link to an issue leads to the site, not to the gateway, which shows no pages."""
    place = place_of(name)
    issue = jira_client(place.client).issue("ACME-1")
    home = place.side.sites[0].url if place.cloud else place.side.url
    assert issue.permalink() == f"{home}/browse/ACME-1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("basic_auth", ("ada", "password")),
        ("token_auth", "token"),
        ("oauth", {"access_token": "token"}),
        ("auth", ("ada", "password")),
        ("validate", True),
    ],
)
def test_another_login_is_refused(place_of: Any, name: str, value: Any) -> None:
    """Two logins in one client are a mistake; which option it is, is said, its value is not."""
    with pytest.raises(ConfigurationError, match=f"^{name}: leave it out") as caught:
        jira_client(place_of("site").client, **{name: value})
    assert "password" not in str(caught.value)


def test_an_auth_object_is_taken_as_it_is(place_of: Any) -> None:
    """Who has made one with options of their own hands over that one."""
    place = place_of("site")
    auth = AtlassianAuth(place.client, foreign="raise")
    jira = jira_client(auth)
    with pytest.raises(requests.RequestException, match="outside the grant of this login"):
        jira._session.get(place.emulator.foreign_url)


def test_a_static_token_works_too(emulator: AtlassianEmulator) -> None:
    """Any TokenSource will do, such as a personal access token."""
    server = emulator.data_center
    source = StaticTokenSource.personal_access_token(server.personal_access_token, server.url)
    assert jira_client(source).myself()["displayName"] == "Ada Example"


def test_without_a_login_the_error_is_raised_at_once(make_client: Any) -> None:
    """The error comes without the SDK's retries, which sleep for 20 s and more."""
    with pytest.raises(LoginRequiredError):
        jira_client(make_client(login=False))


def test_what_is_no_source_is_refused() -> None:
    """A bare token is not taken for a login."""
    with pytest.raises(TypeError, match="takes a client or another TokenSource, not str"):
        jira_client("a token")  # type: ignore[arg-type]


def test_without_jira_it_says_what_to_install() -> None:
    """Only who imports the helper needs the SDK; it is an ImportError for those who try."""
    code = (
        "import sys; sys.modules['jira'] = None\n"
        "from atlassian_auth_adapter import MissingExtraError\n"
        "try: import atlassian_auth_adapter.sdk.jira\n"
        "except MissingExtraError as e: print(isinstance(e, ImportError), e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("True ")
    assert "pip install 'atlassian-auth-adapter[jira]'" in done.stdout


# --- links ----------------------------------------------------------------------------------------


def moved(emulator: AtlassianEmulator, path: str, old: str, new: str) -> None:
    """From now on links in the answers of this path begin with `new` instead of `old`."""

    def change(answer: Any) -> Any:
        return replace(answer, body=answer.body.replace(old.encode(), new.encode()))

    emulator.faults.next(path, Edit(change), times=None)


@pytest.mark.parametrize("name", ["site", "gateway"])
@pytest.mark.parametrize("links", ["site", "gateway"])
def test_self_links_are_followed_wherever_they_point(
    place_of: Any, emulator: AtlassianEmulator, name: str, links: str
) -> None:
    """`update` and `delete` use the link in the issue, with the SDK's own idea of its host."""
    place = place_of(name)
    if links == "site":
        moved(emulator, "/issue/ACME-7", place.client.base_url, place.side.sites[0].url)
    jira = jira_client(place.client, place.url)
    issue = jira.issue("ACME-7")
    assert issue.self.startswith(place.side.sites[0].url if links == "site" else place.side.api_url)
    issue.update(summary="Changed")
    assert jira.issue("ACME-7").fields.summary == "Changed"
    issue.delete()
    assert [r.method for r in emulator.requests if r.role == "site"] == []
    place.assert_token_stayed_home()


@pytest.mark.parametrize("name", ["site", "gateway"])
@pytest.mark.parametrize(
    "link",
    [
        "{gateway}/rest/api/3/attachment/content/{id}",
        "{site}/rest/api/3/attachment/content/{id}",
        "{site}/secure/attachment/{id}/report.bin",
    ],
)
def test_absolute_links_to_attachments_are_followed(
    place_of: Any, emulator: AtlassianEmulator, name: str, link: str
) -> None:
    """An attachment of any name is fetched through the gateway; the media host sees no token."""
    place = place_of(name)
    jira = jira_client(place.client, place.url)
    attachment = jira.add_attachment("ACME-1", __file__, "report.bin")
    where = {"gateway": place.client.base_url, "site": place.side.sites[0].url}
    attachment.content = link.format(**where, id=attachment.id)
    assert attachment.get() == Path(__file__).read_bytes()
    assert [r.role for r in emulator.requests[-2:]] == ["api", "media"]
    place.assert_token_stayed_home()


# --- threads, tasks, pickles ----------------------------------------------------------------------


def test_threads_share_one_jira(place_of: Any, emulator: AtlassianEmulator) -> None:
    """When the token is rejected for all of them at one time, there is one refresh."""
    place = place_of("site")
    jira = jira_client(place.client)
    place.expire("rejected")
    hold = Hold()
    emulator.faults.next("token", hold)
    with ThreadPoolExecutor(16) as pool:
        keys = [f"ACME-{number}" for number in range(1, 33)]
        issues = pool.map(jira.issue, keys)
        hold.wait_arrived()
        hold.release()
        assert [issue.key for issue in issues] == keys
    place.assert_refreshed("rejected", times=1)
    place.assert_token_stayed_home()


@pytest.mark.parametrize("accident", ["rejected", "ended", "answer lost"])
def test_pages_that_the_sdk_fetches_in_threads(place_of: Any, accident: str) -> None:
    """`async_=True` asks for all further pages at one time, after the token has expired."""
    pytest.importorskip("requests_futures")
    place = place_of("data_center")
    jira = jira_client(place.client, async_=True, default_batch_sizes={Issue: 7})
    place.expire_after_next_answer(accident)
    issues = jira.search_issues("project = ACME", maxResults=False)
    assert len({issue.key for issue in issues}) == 120
    place.assert_refreshed(accident, times=1)
    place.assert_token_stayed_home()


def test_the_sdk_in_threads_and_httpx_in_a_loop_share_one_login(
    place_of: Any, emulator: AtlassianEmulator
) -> None:
    """Two libraries, threads and tasks, one client: one refresh for an expiry, no request fails."""
    place = place_of("site")
    jira = jira_client(place.client)
    place.expire("rejected")
    hold = Hold()
    emulator.faults.next("token", hold)

    keys = [f"ACME-{number}" for number in range(1, 9)]

    async def script() -> list[str]:
        auth, loop = AtlassianHTTPXAuth(place.client), asyncio.get_running_loop()
        async with httpx.AsyncClient(auth=auth, base_url=place.url) as http:
            with ThreadPoolExecutor(8) as pool:
                threads = [loop.run_in_executor(pool, jira.issue, key) for key in keys]
                tasks = [asyncio.create_task(http.get(f"/rest/api/3/issue/{key}")) for key in keys]
                await asyncio.to_thread(hold.wait_arrived)
                hold.release()
                issues = [issue.key for issue in await asyncio.gather(*threads)]
                return issues + [task.json()["key"] for task in await asyncio.gather(*tasks)]

    assert asyncio.run(script()) == [*keys, *keys]
    place.assert_refreshed("rejected", times=1)
    place.assert_token_stayed_home()


def test_a_pickled_issue_holds_no_token(place_of: Any, emulator: AtlassianEmulator) -> None:
    """The SDK pickles its session with an issue; here that still has the same auth object."""
    place = place_of("site")
    issue = jira_client(place.client).issue("ACME-1")
    pickled = pickle.dumps(issue)
    assert [secret for secret in emulator.secrets if secret.encode() in pickled] == []
    assert pickle.loads(pickled)._session.auth is issue._session.auth


def test_a_streamed_upload_is_sent_again_whole(place_of: Any, emulator: AtlassianEmulator) -> None:
    """`add_attachment` streams a form that cannot be rewound; its file can, and all of it arrives
    although the token was revoked on the way.
    """
    place = place_of("site")
    jira = jira_client(place.client)
    place.expire("rejected")
    emulator.reset_log()
    attachment = jira.add_attachment("ACME-1", __file__, "report.bin")
    assert attachment.get() == Path(__file__).read_bytes()
    assert emulator.count("refresh_token") == 1
    uploads = [r for r in emulator.requests if r.target.endswith("/attachments")]
    assert [request.status for request in uploads] == [401, 200]
    assert len({request.body_sha256 for request in uploads}) == 1
