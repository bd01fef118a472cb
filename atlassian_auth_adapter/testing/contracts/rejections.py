"""A token is rejected: another one is fetched, and the request is sent again where that is safe."""

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
    """What is a rejection, what is sent again, and what is handed back."""

    # What is sent again

    def test_a_rejected_request_is_sent_again_whole(self, world: World, whole: str) -> None:
        """The server rejects a token that looked valid: the same request goes out once more."""
        client = world.login("cloud")
        world.expire()
        method = "GET" if whole == "no body" else "POST"
        (reply,) = self.exchange(
            Call(method, f"{echo(client)}?a=b", **self.body(whole)), auth=self.auth(client)
        )
        first, second = world.echoes
        assert (reply.status, reply.history) == (200, (401,))
        assert reply.elapsed > 0
        assert (first.status, second.status) == (401, 200)
        assert first.target == second.target
        assert first.body_length == second.body_length
        assert first.body_sha256 == second.body_sha256
        if "content" in self.body(whole):
            assert second.body_sha256 == DATA_SHA256
        elif whole not in ("no body", "json"):
            assert second.body_length > len(DATA)
        assert first.headers["authorization"] != second.headers["authorization"]
        assert set(first.headers.items()) ^ set(second.headers.items()) == {
            ("authorization", request.headers["authorization"]) for request in (first, second)
        }
        assert world.refreshes == 1
        assert world.leaks() == []

    def test_a_body_that_can_be_read_once_is_sent_once(self, world: World, once: str) -> None:
        """No empty or cut body ever follows: the 401 comes back, and the next request works."""
        client = world.login("cloud")
        world.expire()
        first, second = self.exchange(
            Call("POST", echo(client), **self.body(once)),
            Call("GET", echo(client)),
            auth=self.auth(client),
        )
        assert (first.status, first.history) == (401, ())
        assert b"Unauthorized" in first.body
        upload, get = world.echoes
        assert (upload.method, get.method) == ("POST", "GET")
        assert upload.body_length >= len(DATA)
        if "content" in self.body(once):
            assert upload.body_sha256 == DATA_SHA256
        assert (second.status, second.history) == (200, ())
        assert world.refreshes == 1

    def test_every_request_may_be_sent_again(self, world: World, flavour: str) -> None:
        """What was retried before does not count: each request has its own second chance."""
        client = world.login(flavour)
        call = Call("POST", echo(client), content=DATA, before=partial(world.expire, flavour))
        replies = self.exchange(*[call] * 3, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(200, (401,))] * 3
        assert world.refreshes == 3

    def test_a_second_rejection_is_handed_back(self, world: World, flavour: str) -> None:
        """If the new token is rejected as well, the program gets that answer: no third attempt."""
        client = world.login(flavour)
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=2)
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.history) == (401, (401,))
        assert len(world.echoes) == 2
        assert world.refreshes == 1

    def test_a_server_that_rejects_everything_burns_one_rotation(self, world: World) -> None:
        """Ten requests to a resource that always says 401 cost one refresh, not ten."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
        replies = self._get(*[echo(client)] * 10, auth=self.auth(client))
        assert {reply.status for reply in replies} == {401}
        assert world.refreshes == 1

    def test_a_token_that_was_replaced_meanwhile_is_not_replaced_again(self, world: World) -> None:
        """A 401 for the token before the current one costs another request, but no refresh."""
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
        """Before and after a rejection nothing is read ahead, and the connection lives on."""
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

    def test_a_rejection_can_be_read_although_it_was_looked_into(self, world: World) -> None:
        """A streamed 401 still has its body when it is handed back."""
        client = world.login("cloud")
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=2)
        (reply,) = self.exchange(Call("GET", echo(client), stream=True), auth=self.auth(client))
        assert reply.status == 401
        assert reply.body == b'{"code":401,"message":"Unauthorized"}'

    # What is a rejection

    @pytest.mark.parametrize("status", [403, 404])
    def test_a_token_that_ends_on_the_way_may_be_answered_by_403_or_404(
        self, world: World, status: int
    ) -> None:
        """The gateway has been seen to answer so to an expired token: then it was rejected."""
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

    def test_an_answer_as_to_nobody_is_asked_for_again(self, world: World, flavour: str) -> None:
        """A dead token that is treated like none gives 200 with less data: that is no answer."""
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

    def test_what_was_done_as_nobody_is_not_done_twice(self, world: World, flavour: str) -> None:
        """The server has carried it out already; the next request has a good token."""
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

    def test_a_path_that_goes_on_rejecting_waits_longer_each_time(self, world: World) -> None:
        """A resource that always says 401, polled every 30 s for an hour beside one that answers:
        a handful of refreshes, not 120.
        """
        client = world.login("cloud")
        world.emulator.cloud.access_token_lifetime = 10 * 3600
        client.refresh()
        before, auth = world.refreshes, self.auth(client)
        world.emulator.faults.next("/rest/echo/broken", UNAUTHORIZED, times=None)
        broken, fine = f"{echo(client)}/broken", echo(client)
        for _ in range(120):
            bad, good = self._get(broken, fine, auth=auth)
            assert (bad.status, good.status) == (401, 200)
            world.clock.advance(30)
        assert 3 <= world.refreshes - before <= 8

    def test_what_one_may_read_but_not_write_is_paced(self, world: World) -> None:
        """POST is rejected each time, GET of the same path works: one refresh, not one a POST."""
        client = world.login("cloud")
        auth = self.auth(client)
        for _ in range(5):
            world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
            (refused,) = self.exchange(Call("POST", echo(client), content=DATA), auth=auth)
            world.emulator.faults.clear()
            (read,) = self._get(echo(client), auth=auth)
            assert (refused.status, read.status) == (401, 200)
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

    def test_a_redirect_to_the_login_page_is_asked_for_again(self, world: World) -> None:
        """Data Center sends somebody with a dead token to the login page, which is a 200."""
        client = world.login("data_center")
        world.expire("data_center")
        (reply,) = self._get(f"{client.base_url}/secure/attachment/1/a.txt", auth=self.auth(client))
        assert reply.status == 404  # there is no such attachment, and we may know
        assert "login.jsp" not in reply.url
        assert world.refreshes == 1

    def test_a_login_page_in_place_is_asked_for_again(self, world: World) -> None:
        """Some servers answer 200 and show the page right there; a better token gets the answer."""
        client = world.login("data_center")
        page = Body(b"<title>Log in</title>", content_type="text/html;charset=UTF-8")
        world.emulator.faults.next("/rest/echo", page)
        world.clock.advance(60)
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.history) == (200, (200,))
        assert b'"caller":"ada"' in reply.body
        assert world.refreshes == 1

    # What is none

    def test_what_has_gone_is_told_with_its_successor(self, world: World) -> None:
        """Removed for OAuth: no refresh; the event says once what took its place."""
        client = world.login("cloud", product="confluence", scopes=["read:confluence-user"])
        url = f"{client.base_url}/wiki/rest/api/content"
        replies = self._get(url, url, auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [(410, ())] * 2
        (event,) = world.named("gone")
        assert event.fields["hint"] == "/wiki/api/v2/pages"
        assert world.refreshes == 0

    def test_a_token_without_a_successor_is_reported(self, world: World) -> None:
        """The rejection of a static token goes to the program; the event says what to look at."""
        cloud = world.emulator.cloud
        source = StaticTokenSource.api_token(cloud.email, "scoped", cloud.sites[0].url)
        source.on_event = world.events.append
        url = f"{cloud.sites[0].url}/rest/api/3/myself"
        (reply,) = self._get(url, auth=self.auth(source))
        assert (reply.status, reply.history) == (401, ())
        (event,) = world.named("rejected")
        assert "StaticTokenSource.scoped_api_token()" in event.fields["error"]

    def test_a_missing_scope_is_reported_and_nothing_is_refreshed(self, world: World) -> None:
        """Another token would lack it, too; the event says what was granted and what is needed."""
        client = world.login("cloud", scopes=["read:jira-user", "offline_access"])
        url = f"{client.base_url}/rest/api/3/issue/ABC-1"
        (reply,) = self._get(url, auth=self.auth(client))
        assert (reply.status, reply.history) == (401, ())
        assert b"scope does not match" in reply.body
        assert world.refreshes == 0
        (event,) = world.named("scope_missing")
        assert set(event.fields["granted"].split()) == {"read:jira-user", "offline_access"}
        assert event.fields["needed"].split(" or ")[0] == "read:jira-work"
        assert event.fields["path"] == urlsplit(url).path
        assert len(world.emulator.requests) == 1

    def test_other_refusals_say_nothing_about_the_token(self, world: World, flavour: str) -> None:
        """Too many requests, missing rights or a broken server never cost a refresh."""
        client = world.login(flavour)
        statuses = [400, 402, 403, 404, 405, 407, 410, 429, 500, 503]
        for status in statuses:
            world.emulator.faults.next("/rest/echo", Status(status, retry_after=5))
        replies = self._get(*[echo(client)] * len(statuses), auth=self.auth(client))
        assert [(reply.status, reply.history) for reply in replies] == [
            (status, ()) for status in statuses
        ]
        assert world.refreshes == 0

    def test_throttling_by_the_gateway_is_handed_back(self, world: World) -> None:
        """A 429 with all its headers reaches the program, which knows best when to come back."""
        client = world.login("cloud")
        world.emulator.cloud.rate_limit = 7
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        assert world.refreshes == 0
        (event,) = world.named("rate_limited")
        assert (event.fields["retry_after"], event.fields["reason"]) == ("7", "jira-burst-based")
        assert len(world.emulator.requests) == 1
