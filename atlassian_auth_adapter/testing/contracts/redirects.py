"""Redirects: the next request carries the token within the grant, and nowhere else."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import cycle, product
from urllib.parse import quote, urlsplit

import pytest

from atlassian_auth_adapter.atlassian.gateway import ResourceServer
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import ForeignOriginError
from atlassian_auth_adapter.testing.emulator import Redirect

from .base import AdapterTests
from .world import (
    BEARER,
    CLOUD,
    CLOUD_ID,
    DATA,
    DATA_CENTER,
    DATA_SHA256,
    GATEWAY,
    PARENT_SEGMENTS,
    UNAUTHORIZED,
    Call,
    FixedTokenSource,
    World,
    echo,
    redirect,
)

__all__ = ["RedirectTests"]

#: By the method of a request that keeps its method when it is redirected.
STATUSES = {"GET": (301, 302, 303), "POST": (307, 308)}


class RedirectTests(AdapterTests):
    """What happens to the token, and to a rejection, when the server redirects."""

    def test_a_redirect_to_another_origin_loses_the_token(self) -> None:
        """To http, or to another host, however its name is written."""
        hosts = {"api.atlassian.com", "jira.example.com"}
        data_center = DATA_CENTER.base_url
        hops: tuple[tuple[ResourceServer, str, str], ...] = (
            *(
                (CLOUD, f"{GATEWAY}/rest/x", target)
                for target in (
                    f"http://api.atlassian.com/ex/jira/{CLOUD_ID}/rest/x",
                    "https://evil.example/",
                    "//evil.example/",
                    "///evil.example/",
                    "\\\\evil.example/",
                    "https://api.atlassian.com@evil.example/",
                    "https://api.atlassian.com\\@evil.example/",
                    f"{GATEWAY}:443@evil.example/".replace("/ex", "\\ex"),
                    "https://api.atlassian.com./",
                )
            ),
            (DATA_CENTER, f"{data_center}/x", "http://jira.example.com/jira/x"),
            (DATA_CENTER, f"{data_center}/x", "https://jira.example.com:8443/jira/x"),
        )
        statuses = [status for each in STATUSES.values() for status in each]
        for status, (server, url, target) in product(statuses, hops):
            try:
                first, *others = self.send_offline(
                    Call("GET", url),
                    auth=self.auth(FixedTokenSource(server)),
                    answers=[(status, {"Location": target})],
                )
            except (self.request_error, *self.url_errors):
                continue  # the library does not go there
            assert first.headers["authorization"] == f"Bearer {BEARER}"
            for sent in others:
                parts = urlsplit(sent.url)
                if parts.hostname in hosts and parts.scheme == "https" and not parts.port:
                    continue  # it reads the target as a path; the emulator's tests judge those
                assert BEARER not in str(sent), (status, target)

    @pytest.mark.parametrize("method", STATUSES)
    def test_redirects_of_the_gateway_out_of_the_grant_lose_the_token(
        self, world: World, method: str
    ) -> None:
        """To another host, port, account path or cloud id, also with ".." in the path."""
        cloud, foreign = world.emulator.cloud, world.emulator.foreign_url
        api = cloud.api_url
        ours, other = (site.id for site in cloud.sites)
        targets = [
            f"{foreign}/x",
            f"{foreign.replace('127.0.0.1', 'localhost')}/x",
            foreign.removeprefix("http:") + "/x",
            f"{api.replace('127.0.0.1', 'localhost')}/ex/jira/{ours}/rest/echo",
            f"{world.emulator.data_center.url}/rest/echo",
            f"{cloud.auth_url}/oauth/token",
            f"{cloud.media_url}/avatars/x.png",
            f"{cloud.sites[0].url}/browse/ABC-1",
            f"{cloud.sites[1].url}/rest/api/3/myself",
            f"{api}/ex/jira/{other}/rest/echo",
            f"/ex/jira/{other}/rest/echo",
            f"../../{other}/rest/echo",
            *(f"http:{slashes}ex/jira/{other}/rest/echo" for slashes in ("", "/", "///", "\\")),
            f"{api}/admin/v1/orgs",
            f"{api}/oauth/token",
            f"//{ours}@{api.removeprefix('http://')}/ex/jira/{ours}/rest/echo",
            *(f"{api}/ex/jira/{ours}/{up}/{other}/rest/echo" for up in PARENT_SEGMENTS),
            f"{api}/ex/jira/{ours}/..%2f{other}/rest/echo",
            f"{api}/ex/jira/{ours}/..%5c{other}/rest/echo",
            f"{api}/ex/jira/{ours}\\..\\{other}/rest/echo",
            f"{api}/ex/jira/{other}/%2e%2e/{ours}/rest/echo",
            f"{api}/ex/jira/{other}/../{ours}/rest/echo",
        ]
        self._follow(world, world.login("cloud"), targets, method)

    @pytest.mark.parametrize("method", STATUSES)
    def test_redirects_of_data_center_out_of_the_grant_lose_the_token(
        self, world: World, method: str
    ) -> None:
        """To another host or port, or to another application at the same one."""
        base, foreign = world.emulator.data_center.url, world.emulator.foreign_url
        origin = base.removesuffix("/jira")
        targets = [
            f"{foreign}/x",
            foreign.removeprefix("http:") + "/x",
            f"{base.replace('127.0.0.1', 'localhost')}/rest/echo",
            f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[0].id}/rest/echo",
            f"{origin}/",
            f"{origin}/jira2/rest/echo",
            f"{origin}/confluence/rest/echo",
            "/confluence/rest/echo",
            "../../confluence/rest/echo",
            *(f"http:{slashes}confluence/rest/echo" for slashes in ("", "/", "///", "\\")),
            f"{origin}//jira/rest/echo",
            *(f"{base}/{up}/confluence/rest/echo" for up in PARENT_SEGMENTS),
            f"{base}/..%2fconfluence/rest/echo",
            f"{base}\\..\\confluence/rest/echo",
            f"{origin}/confluence/%2e%2e/jira/rest/echo",
            f"{origin}/confluence/../jira/rest/echo",
        ]
        self._follow(world, world.login("data_center"), targets, method)

    def _follow(
        self, world: World, client: AtlassianOAuthClient, targets: list[str], method: str
    ) -> None:
        auth = self.auth(client)
        for target, status in zip(targets, cycle(STATUSES[method]), strict=False):
            world.emulator.reset_log()
            # The library may refuse the target, or no host answers there.
            with suppress(self.request_error, *self.url_errors):
                self.exchange(Call(method, redirect(client, target, status)), auth=auth)
            first = world.emulator.requests[0]
            assert first.headers["authorization"].startswith("Bearer "), target
            assert world.leaks() == [], target
        assert world.refreshes == 0

    @pytest.mark.parametrize("method", STATUSES)
    def test_with_foreign_raise_no_redirect_leads_out_of_the_grant(
        self, world: World, flavour: str, method: str
    ) -> None:
        """Nothing is sent to the foreign place, no body either: a ForeignOriginError is raised."""
        client = world.login(flavour)
        auth = self.auth(client, foreign="raise")
        foreign = f"{world.emulator.foreign_url}/x"
        beside = f"{urlsplit(client.base_url)._replace(path='').geturl()}/confluence/x"
        for target, status in product((foreign, beside), STATUSES[method]):
            for url in (redirect(client, target, status), self._through(client, target, status)):
                world.emulator.reset_log()
                call = Call(method, url, content=DATA if method == "POST" else None)
                with pytest.raises(ForeignOriginError) as raised:
                    self.exchange(call, auth=auth)
                assert isinstance(raised.value, self.request_error)
                assert {request.path for request in world.emulator.requests} == {urlsplit(url).path}
        assert world.refreshes == 0

    def _through(self, client: AtlassianOAuthClient, target: str, status: int) -> str:
        """The URL of a redirect to a redirect to the target."""
        return redirect(client, redirect(client, target, status), status)

    def test_with_foreign_raise_a_redirect_that_is_not_followed_is_handed_back(
        self, world: World
    ) -> None:
        """The program decides; within the grant the redirect is followed."""
        client = world.login("cloud")
        auth = self.auth(client, foreign="raise")
        foreign = f"{world.emulator.foreign_url}/x"
        call = Call("GET", redirect(client, foreign), follow_redirects=False)
        (reply,) = self.exchange(call, auth=auth)
        assert (reply.status, reply.headers["location"]) == (302, foreign)
        (reply,) = self._get(redirect(client, echo(client)), auth=auth)
        assert reply.status == 200

    def test_a_foreign_host_that_a_redirect_leads_to_is_reported(
        self, world: World, flavour: str
    ) -> None:
        """Once, like one that the program names; a redirect that is not followed is no news."""
        client = world.login(flavour)
        auth = self.auth(client)
        url = redirect(client, f"{world.emulator.foreign_url}/x")
        self.exchange(Call("GET", url, follow_redirects=False), auth=auth)
        assert world.named("foreign_origin") == []
        self._get(
            url, url, self._through(client, f"{world.emulator.foreign_url}/y", 307), auth=auth
        )
        (event,) = world.named("foreign_origin")
        assert event.fields["origin"] == world.emulator.foreign_url

    def test_a_redirect_within_the_grant_keeps_the_token(self, world: World, flavour: str) -> None:
        """Absolute or relative: the server knows the account of the next request as well."""
        client = world.login(flavour)
        for target in (echo(client), urlsplit(echo(client)).path, "echo"):
            (reply,) = self._get(redirect(client, target), auth=self.auth(client))
            assert (reply.status, reply.history) == (200, (302,)), target
            assert b'"caller":""' not in reply.body

    def test_a_redirect_to_the_site(self, world: World) -> None:
        """Becomes one to the gateway, at once if the library allows it; the site gets no token."""
        client = world.login("cloud")
        target = f"{world.emulator.cloud.sites[0].url}/rest/echo?a=%20b"
        (reply,) = self._get(redirect(client, target), auth=self.auth(client))
        assert world.leaks() == []
        assert world.refreshes == 0
        assert reply.status == 200
        assert reply.url == f"{echo(client)}?a=%20b"
        roles = [request.role for request in world.emulator.requests]
        assert roles == (["api", "api"] if self.maps_redirects else ["api", "site", "api"])

    def test_endless_redirects_to_the_site_are_not_followed_for_ever(self, world: World) -> None:
        """A gateway that always redirects to the site gets a limited number of requests."""
        client = world.login("cloud")
        site = f"{world.emulator.cloud.sites[0].url}/rest/echo"
        world.emulator.faults.next("/rest/echo", Redirect(site, 302), times=None)
        with suppress(self.request_error):
            self._get(redirect(client, site), auth=self.auth(client))
        assert len(world.emulator.requests) < 100
        assert world.leaks() == []

    def test_a_foreign_redirect_to_the_site_gets_no_token(self, world: World) -> None:
        """The request is sent to the site as it is, not to the gateway."""
        client = world.login("cloud")
        target = quote(f"{world.emulator.cloud.sites[0].url}/rest/echo", safe="")
        (reply,) = self._get(
            f"{world.emulator.foreign_url}/redirect?to={target}", auth=self.auth(client)
        )
        assert reply.status == 401
        assert all("authorization" not in request.headers for request in world.emulator.requests)

    def test_a_redirect_by_way_of_a_foreign_host_gets_no_token(self, world: World) -> None:
        """The gateway redirects to a foreign host, and that one to the site."""
        client = world.login("cloud")
        target = quote(f"{world.emulator.cloud.sites[0].url}/rest/echo", safe="")
        foreign = f"{world.emulator.foreign_url}/redirect?to={target}"
        (reply,) = self._get(redirect(client, foreign), auth=self.auth(client))
        assert reply.status == 401
        assert "authorization" not in world.emulator.requests[-1].headers

    def test_redirects_that_are_not_followed_are_handed_back(self, world: World) -> None:
        """The program decides; the same request works again."""
        client = world.login("cloud")
        call = Call(
            "GET", redirect(client, f"{world.emulator.foreign_url}/x"), follow_redirects=False
        )
        replies = self.exchange(*[call] * 2, auth=self.auth(client))
        assert [reply.status for reply in replies] == [302, 302]
        assert {request.role for request in world.emulator.requests} == {"api"}

    def test_attachments_come_from_the_media_host_without_the_token(self, world: World) -> None:
        """Cloud redirects a download to another host, which has a token of its own in the URL."""
        client = world.login("cloud", scopes=["read:jira-work", "write:jira-work"])
        auth = self.auth(client)
        rest = f"{client.base_url}/rest/api/3"
        (found,) = self._get(f"{rest}/search/jql?jql=order+by+key", auth=auth)
        key = re.search(rb'"key":"([A-Z]+-\d+)"', found.body)
        assert key is not None
        upload = Call(
            "POST",
            f"{rest}/issue/{key[1].decode()}/attachments",
            headers={"X-Atlassian-Token": "no-check"},
            **self.body("multipart"),
        )
        (uploaded,) = self.exchange(upload, auth=auth)
        assert uploaded.status == 200, uploaded.body
        link = re.search(rb'"content":"([^"]+)"', uploaded.body)
        assert link is not None
        (download,) = self.exchange(Call("GET", link[1].decode(), stream=True), auth=auth)
        assert download.body == DATA
        assert world.emulator.requests[-1].role == "media"
        assert world.leaks() == []

    # Foreign hosts

    def test_a_401_of_a_foreign_host_causes_nothing(self, world: World) -> None:
        """Directly or after a redirect: no token is sent there, and none is refreshed."""
        client = world.login("cloud")
        foreign = f"{world.emulator.foreign_url}/status/401"
        replies = self._get(foreign, redirect(client, foreign), auth=self.auth(client))
        assert [reply.status for reply in replies] == [401, 401]
        assert len([each for each in world.emulator.requests if each.role == "foreign"]) == 2
        assert world.leaks() == []
        assert world.refreshes == 0

    def test_a_foreign_redirect_to_atlassian_gets_no_token(
        self, world: World, flavour: str
    ) -> None:
        """The redirected request is anonymous, and is sent once."""
        client = world.login(flavour)
        back = f"{world.emulator.foreign_url}/redirect?to={quote(echo(client), safe='')}"
        replies = self._get(back, redirect(client, back), auth=self.auth(client))
        assert [reply.status for reply in replies] == [401, 401]
        first, second = world.echoes
        assert "authorization" not in first.headers
        assert "authorization" not in second.headers
        assert world.refreshes == 0
        assert world.leaks() == []

    # Rejections and redirects

    def test_a_rejection_before_a_redirect(self, world: World, flavour: str) -> None:
        """The request is sent again and redirected: the next request has the new token."""
        client = world.login(flavour)
        world.expire(flavour)
        (reply,) = self._get(redirect(client, echo(client)), auth=self.auth(client))
        assert reply.status == 200
        (echoed,) = world.echoes
        assert echoed.status == 200
        assert world.refreshes == 1

    def test_a_rejection_before_a_foreign_redirect(self, world: World, flavour: str) -> None:
        """The foreign host does not get the new token either."""
        client = world.login(flavour)
        world.expire(flavour)
        foreign = f"{world.emulator.foreign_url}/x"
        (reply,) = self._get(redirect(client, foreign), auth=self.auth(client))
        assert reply.status == 200
        assert world.leaks() == []
        assert world.refreshes == 1

    def test_a_write_that_was_answered_by_a_redirect_is_not_repeated(self, world: World) -> None:
        """A POST is answered by 303, whose target rejects the token: no second POST."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED)
        url = redirect(client, echo(client), 303)
        self.exchange(Call("POST", url, content=DATA), auth=self.auth(client))
        assert [request.method for request in world.at("/rest/redirect")] == ["POST"]
        assert world.refreshes == 1

    @pytest.mark.parametrize("status", STATUSES["POST"])
    def test_a_redirected_upload_that_is_rejected_is_sent_again(
        self, world: World, status: int
    ) -> None:
        """307 and 308 have stored nothing: the upload arrives once, and complete."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED)
        url = redirect(client, echo(client), status)
        (reply,) = self.exchange(Call("POST", url, content=DATA), auth=self.auth(client))
        assert reply.status == 200
        *_, first, last = world.echoes
        assert (first.status, last.status) == (401, 200)
        assert last.body_sha256 == DATA_SHA256
        assert world.refreshes == 1
