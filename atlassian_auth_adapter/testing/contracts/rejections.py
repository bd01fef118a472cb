"""A token is rejected: it is replaced, and the request is sent again where that is safe."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlsplit

import pytest

from atlassian_auth_adapter.clients.static import StaticTokenSource
from atlassian_auth_adapter.testing.emulator import Body, Hold, Status

from .base import AdapterTests, meanwhile
from .world import DATA, DATA_SHA256, UNAUTHORIZED, Call, World, echo

__all__ = ["RejectionTests"]


class RejectionTests(AdapterTests):
    """What counts as a rejection, what is sent again, and what is returned as it is."""

    # What is sent again

    def test_a_rejected_request_is_sent_again_complete(self, world: World, replayable: str) -> None:
        """The server rejects a token that seemed valid: the same request is sent once more."""
        client = world.login("cloud")
        world.expire()
        method, body = "GET" if replayable == "no body" else "POST", self.body(replayable)
        (reply,) = self.exchange(
            Call(method, f"{echo(client)}?a=b", **body), auth=self.auth(client)
        )
        first, second = world.echoes
        assert (reply.status, reply.history) == (200, (401,))
        assert reply.elapsed > 0
        assert (first.status, second.status) == (401, 200)
        assert first.target == second.target
        assert first.body_length == second.body_length
        assert first.body_sha256 == second.body_sha256
        if "content" in body:
            assert second.body_sha256 == DATA_SHA256
        elif replayable not in ("no body", "json"):
            assert second.body_length > len(DATA)
        assert first.headers["authorization"] != second.headers["authorization"]
        assert set(first.headers.items()) ^ set(second.headers.items()) == {
            ("authorization", request.headers["authorization"]) for request in (first, second)
        }
        assert world.refreshes == 1
        assert world.leaks() == []

    def test_a_body_that_can_be_read_once_is_sent_once(self, world: World, one_shot: str) -> None:
        """The 401 is returned, no empty or incomplete body is sent, and the next request works."""
        client = world.login("cloud")
        world.expire()
        body = self.body(one_shot)
        first, second = self.exchange(
            Call("POST", echo(client), **body),
            Call("GET", echo(client)),
            auth=self.auth(client),
        )
        assert (first.status, first.history) == (401, ())
        assert b"Unauthorized" in first.body
        upload, get = world.echoes
        assert (upload.method, get.method) == ("POST", "GET")
        assert upload.body_length >= len(DATA)
        if "content" in body:
            assert upload.body_sha256 == DATA_SHA256
        assert (second.status, second.history) == (200, ())
        assert world.refreshes == 1

    def test_each_request_may_be_sent_again(self, world: World, flavour: str) -> None:
        """Earlier retries do not count: each request has a retry of its own."""
        client = world.login(flavour)
        call = Call("POST", echo(client), content=DATA, before=partial(world.expire, flavour))
        replies = self.exchange(*[call] * 3, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(200, (401,))] * 3
        assert world.refreshes == 3

    def test_a_second_rejection_is_returned(self, world: World, flavour: str) -> None:
        """If the new token is rejected as well, the program gets that answer: no third attempt.
        The event says that the token is not the reason.
        """
        client = world.login(flavour)
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=2)
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.history) == (401, (401,))
        assert len(world.echoes) == 2
        assert world.refreshes == 1
        (event,) = world.named("rejected")
        assert "the token is not the reason" in event.fields["error"]

    def test_a_server_that_rejects_everything_causes_one_refresh(self, world: World) -> None:
        """Ten requests to a resource that always says 401 cost one refresh, not ten."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
        replies = self._get(*[echo(client)] * 10, auth=self.auth(client))
        assert {reply.status for reply in replies} == {401}
        assert world.refreshes == 1

    def test_a_token_that_was_replaced_meanwhile_is_not_replaced_again(self, world: World) -> None:
        """After a 401 for an older token the request is sent again, without a refresh."""
        client = world.login("cloud")
        hold = Hold(then=UNAUTHORIZED)
        world.emulator.faults.next("/rest/echo", hold)

        def replace() -> None:
            world.emulator.cloud.expire_access_tokens()
            self._get(f"{client.base_url}/rest/api/3/serverInfo", auth=self.auth(client))

        (reply,) = meanwhile(hold, lambda: self._get(echo(client), auth=self.auth(client)), replace)
        assert (reply.status, reply.history) == (200, (401,))
        assert world.refreshes == 1

    def test_a_download_stays_a_stream(self, world: World) -> None:
        """With or without a rejection: it is not read ahead, and the connection stays usable."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED)
        world.emulator.faults.next("/rest/echo", Status(200, DATA * 4), times=2)
        replies = self.exchange(
            *[Call("GET", echo(client), stream=True)] * 2,
            Call("GET", echo(client)),
            auth=self.auth(client),
        )
        assert [reply.status for reply in replies] == [200, 200, 200]
        assert [reply.history for reply in replies] == [(401,), (), ()]
        assert [reply.streamed for reply in replies] == [True, True, False]
        assert replies[0].body == replies[1].body == DATA * 4

    def test_the_body_of_a_rejection_can_be_read(self, world: World) -> None:
        """A streamed 401 still has its body when it is returned."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=2)
        (reply,) = self.exchange(Call("GET", echo(client), stream=True), auth=self.auth(client))
        assert reply.status == 401
        assert reply.body == b'{"code":401,"message":"Unauthorized"}'

    # What is a rejection

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_403_or_404_rejects_a_token_that_has_expired(self, world: World, status: int) -> None:
        """The gateway was seen to answer an expired token so."""
        client = world.login("cloud")
        world.emulator.cloud.expired_as = status
        hold = Hold()
        world.emulator.faults.next("/rest/echo", hold)
        call = Call("POST", echo(client), content=DATA)
        (reply,) = meanwhile(
            hold,
            lambda: self.exchange(call, auth=self.auth(client)),
            lambda: world.clock.advance(3600),
        )
        assert (reply.status, reply.history) == (200, (status,))
        assert world.refreshes == 1

    def test_an_anonymous_answer_is_a_rejection(self, world: World, flavour: str) -> None:
        """A server that ignores an invalid token answers 200, with less data: GET is sent again."""
        world.emulator.data_center.anonymous_access = True
        world.emulator.cloud.anonymous_readable = True
        client = world.login(flavour)
        expire = partial(world.expire, flavour)
        replies = self.exchange(
            *(Call(method, echo(client), before=expire) for method in ("GET", "HEAD")),
            auth=self.auth(client),
        )
        assert [(reply.status, reply.history) for reply in replies] == [(200, (200,))] * 2
        assert b'"caller":"' in replies[0].body
        assert b'"caller":""' not in replies[0].body
        assert [request.method for request in world.echoes] == ["GET", "GET", "HEAD", "HEAD"]
        assert world.refreshes == 2
        assert len(world.named("anonymous")) == 2

    def test_an_anonymous_write_is_not_repeated(self, world: World, flavour: str) -> None:
        """The server has done it already; the next request has a valid token."""
        world.emulator.data_center.anonymous_access = True
        world.emulator.cloud.anonymous_readable = True
        client = world.login(flavour)
        expire = partial(world.expire, flavour)
        methods = ["POST", "PUT", "PATCH", "DELETE"]
        calls = [
            call
            for method in methods
            for call in (
                Call(method, echo(client), content=DATA, before=expire),
                Call("GET", echo(client)),
            )
        ]
        replies = self.exchange(*calls, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(200, ())] * 8
        assert [request.method for request in world.echoes] == [call.method for call in calls]
        assert all(b'"caller":""' not in reply.body for reply in replies[1::2])
        assert world.refreshes == 4

    def test_refreshes_for_a_path_that_always_rejects_become_rare(self, world: World) -> None:
        """A resource that always says 401, polled every 30 s for an hour beside one that answers:
        a handful of refreshes, not 120.
        """
        client = world.login("cloud")
        world.emulator.cloud.access_token_lifetime = 10 * 3600
        client.refresh()
        before, auth = world.refreshes, self.auth(client)
        world.emulator.faults.next("/rest/echo/broken", UNAUTHORIZED, times=None)
        broken, fine = f"{echo(client)}/broken", echo(client)
        poll = Call("GET", broken, before=lambda: world.clock.advance(30)), Call("GET", fine)
        replies = self.exchange(*poll * 120, auth=auth)
        assert [reply.status for reply in replies] == [401, 200] * 120
        assert 3 <= world.refreshes - before <= 8

    def test_refreshes_for_a_path_that_rejects_writes_only_are_limited(self, world: World) -> None:
        """POST is always rejected, GET of the same path works: one refresh for all of them."""
        client = world.login("cloud")
        auth = self.auth(client)
        for _ in range(5):
            world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
            (refused,) = self.exchange(Call("POST", echo(client), content=DATA), auth=auth)
            world.emulator.faults.clear()
            (read,) = self._get(echo(client), auth=auth)
            assert (refused.status, read.status) == (401, 200)
        assert world.refreshes == 1

    def test_uploads_that_cannot_be_sent_again_cost_few_refreshes(self, world: World) -> None:
        """A resource always rejects them: the second one shows that the new token is no better."""
        client = world.login("cloud")
        auth = self.auth(client)
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
        for _ in range(6):
            call = Call("POST", echo(client), **self.body(self.one_shot[0]))
            (reply,) = self.exchange(call, auth=auth)
            assert (reply.status, reply.history) == (401, ())
        assert world.refreshes == 1

    def test_tokens_that_are_revoked_early_are_replaced_each_time(self, world: World) -> None:
        """Several in a row, seconds apart: no request fails."""
        client = world.login("cloud")
        auth = self.auth(client)
        for count in range(1, 6):
            world.expire("cloud")
            (reply,) = self._get(echo(client), auth=auth)
            assert (reply.status, world.refreshes) == (200, count)
            world.clock.advance(5)

    def test_a_redirect_to_the_login_page_is_a_rejection(self, world: World) -> None:
        """Data Center redirects an invalid token to the login page, which is a 200."""
        client = world.login("data_center")
        world.expire("data_center")
        (reply,) = self._get(f"{client.base_url}/secure/attachment/1/a.txt", auth=self.auth(client))
        assert reply.status == 404  # the true answer: there is no such attachment
        assert "login.jsp" not in reply.url
        assert world.refreshes == 1

    def test_a_login_page_is_a_rejection(self, world: World) -> None:
        """Some servers answer 200 with the page itself; a new token gets the true answer."""
        client = world.login("data_center")
        page = Body(b"<title>Log in</title>", content_type="text/html;charset=UTF-8")
        world.emulator.faults.next("/rest/echo", page)
        world.clock.advance(60)
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.history) == (200, (200,))
        assert b'"caller":"ada"' in reply.body
        assert world.refreshes == 1

    @pytest.mark.parametrize("follow", [True, False])
    @pytest.mark.parametrize(
        ("status", "target"),
        [
            (302, "/plugins/servlet/samlsso?redirectTo=%2Frest"),
            (303, "{foreign}/tenant/saml2?SAMLRequest=fZ"),
            (307, "{foreign}/status/200"),
            (302, "/login.action?os_destination=%2Frest"),
        ],
    )
    def test_a_redirect_to_sign_in_is_a_rejection(
        self, world: World, status: int, target: str, follow: bool
    ) -> None:
        """Single sign-on of Data Center, whether the library follows the redirect or not: GET is
        sent again with a new token, and the event says why.
        """
        client = world.login("data_center")
        world.clock.advance(60)
        location = target.format(foreign=world.emulator.foreign_url)
        world.emulator.faults.next("/rest/echo", Status(status, headers={"Location": location}))
        call = Call("GET", echo(client), follow_redirects=follow)
        (reply,) = self.exchange(call, auth=self.auth(client))
        assert reply.status == 200
        assert b'"caller":"ada"' in reply.body
        assert reply.url == echo(client)
        assert world.refreshes == 1
        assert len(world.named("anonymous")) == 1
        assert world.leaks() == []

    def test_a_redirect_to_sign_in_that_stays_is_returned(self, world: World) -> None:
        """The new token is redirected as well: the program gets that, and refreshes become rare."""
        client = world.login("data_center")
        world.clock.advance(60)
        page = f"{world.emulator.foreign_url}/sso"
        redirected = Status(302, headers={"Location": page})
        world.emulator.faults.next("/rest/echo", redirected, times=None)
        replies = self._get(*[echo(client)] * 5, auth=self.auth(client))
        assert {reply.url for reply in replies} == {page}
        assert world.refreshes == 1
        assert world.leaks() == []

    def test_a_write_that_is_redirected_to_sign_in_is_not_repeated(self, world: World) -> None:
        """The next request has a valid token."""
        client = world.login("data_center")
        world.clock.advance(60)
        page = f"{world.emulator.foreign_url}/sso"
        world.emulator.faults.next("/rest/echo", Status(302, headers={"Location": page}))
        replies = self.exchange(
            Call("POST", echo(client), content=DATA),
            Call("GET", echo(client)),
            auth=self.auth(client),
        )
        assert [reply.url for reply in replies] == [page, echo(client)]
        assert [request.method for request in world.echoes] == ["POST", "GET"]
        assert world.refreshes == 1

    def test_a_redirect_to_a_file_elsewhere_is_no_rejection(self, world: World) -> None:
        """Attachments may be in an object store."""
        client = world.login("data_center")
        target = f"{world.emulator.foreign_url}/bucket/1?X-Amz-Signature=f"
        for path in ("/secure/attachment/1/a.png", "/rest/api/2/attachment/content/1"):
            world.emulator.faults.next(path, Status(302, headers={"Location": target}))
            (reply,) = self._get(client.base_url + path, auth=self.auth(client))
            assert (reply.url, reply.history) == (target, (302,))
        assert world.refreshes == 0
        assert world.leaks() == []

    # What is not a rejection

    def test_a_removed_path_is_reported_with_its_replacement(self, world: World) -> None:
        """410 for OAuth: no refresh; one event names the replacement."""
        client = world.login("cloud", product="confluence", scopes=["read:confluence-user"])
        url = f"{client.base_url}/wiki/rest/api/content"
        replies = self._get(url, url, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(410, ())] * 2
        (event,) = world.named("gone")
        assert event.fields["hint"] == "/wiki/api/v2/pages"
        assert world.refreshes == 0

    def test_a_rejected_static_token_is_reported(self, world: World) -> None:
        """The program gets the rejection; the event says what to check."""
        cloud = world.emulator.cloud
        source = StaticTokenSource.api_token(cloud.email, "scoped", cloud.sites[0].url)
        source.on_event = world.events.append
        url = f"{cloud.sites[0].url}/rest/api/3/myself"
        (reply,) = self._get(url, auth=self.auth(source))
        assert (reply.status, reply.history) == (401, ())
        (event,) = world.named("rejected")
        assert "StaticTokenSource.scoped_api_token()" in event.fields["error"]

    def test_a_missing_scope_is_reported_and_nothing_is_refreshed(self, world: World) -> None:
        """A new token would lack it, too; the event says what was granted and what is needed."""
        client = world.login("cloud", scopes=["read:jira-user", "offline_access"])
        url = f"{client.base_url}/rest/api/3/issue/ABC-1"
        (reply,) = self._get(url, auth=self.auth(client))
        assert (reply.status, reply.history) == (401, ())
        assert b"scope does not match" in reply.body
        assert world.refreshes == 0
        (event,) = world.named("scope_missing")
        assert set(event.fields["granted"].split()) == {"read:jira-user", "offline_access"}
        assert event.fields["needed"].split(" or ")[0] == "read:jira-work"
        assert event.fields["missing"] == "read:jira-work"
        assert event.fields["path"] == urlsplit(url).path
        assert len(world.emulator.requests) == 1

    def test_what_is_told_after_a_refresh_is_reported(self, world: World) -> None:
        """The token had ended as well: the second answer says that another scope is needed, and
        says so before the program asks again.
        """
        client = world.login("cloud", scopes=["read:jira-user", "offline_access"])
        world.expire()
        (reply,) = self._get(f"{client.base_url}/rest/api/3/issue/ABC-1", auth=self.auth(client))
        assert (reply.status, reply.history) == (401, (401,))
        assert b"scope does not match" in reply.body
        assert [event.fields["missing"] for event in world.named("scope_missing")] == [
            "read:jira-work"
        ]
        assert world.refreshes == 1

    def test_other_errors_cause_no_refresh(self, world: World, flavour: str) -> None:
        """Too many requests, missing rights or a broken server say nothing about the token."""
        client = world.login(flavour)
        statuses = [400, 402, 403, 404, 405, 407, 410, 429, 500, 503]
        for status in statuses:
            world.emulator.faults.next("/rest/echo", Status(status, retry_after=5))
        replies = self._get(*[echo(client)] * len(statuses), auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [
            (status, ()) for status in statuses
        ]
        assert world.refreshes == 0

    def test_a_429_is_returned(self, world: World) -> None:
        """With all its headers: the program decides when to try again."""
        client = world.login("cloud")
        world.emulator.cloud.rate_limit = 7
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        assert world.refreshes == 0
        (event,) = world.named("rate_limited")
        assert (event.fields["retry_after"], event.fields["reason"]) == ("7", "jira-burst-based")
        assert len(world.emulator.requests) == 1

    def test_content_that_a_policy_has_left_out_is_reported(self, world: World) -> None:
        """Row 17: once for each path, whatever the status; the program gets the answer as it is.

        Source: developer.atlassian.com data-security-policy-developer-guide.
        """
        client = world.login("cloud")
        url = f"{client.base_url}/rest/api/3/search/jql"
        policy = {"Atlassian-DataSecurityPolicy": "app_access_blocked"}
        for status in (200, 403, 200):
            world.emulator.faults.next("resource", Body(b'{"issues": []}', status, headers=policy))
        world.emulator.faults.next("resource", Body(b"{}", 200))
        replies = self._get(url, f"{url}/x", url, f"{url}/y", auth=self.auth(client))
        assert [reply.status for reply in replies] == [200, 403, 200, 200]
        blocked = world.named("app_access_blocked")
        path = urlsplit(url).path
        assert [event.fields["path"] for event in blocked] == [path, f"{path}/x"]
        assert all("administrator" in event.fields["hint"] for event in blocked)
        assert world.refreshes == 0
