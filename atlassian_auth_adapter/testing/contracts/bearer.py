"""A request carries the token."""

from __future__ import annotations

from atlassian_auth_adapter.clients.static import StaticTokenSource

from .base import AdapterTests
from .world import DATA, Call, World, echo

__all__ = ["BearerTests"]


class BearerTests(AdapterTests):
    """Which token a request carries, and how."""

    def test_every_request_carries_the_current_token(self, world: World, flavour: str) -> None:
        """The server knows the account of a program whose client has the auth object."""
        client = world.login(flavour)
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert b'"caller":""' not in reply.body
        (request,) = world.echoes
        assert request.headers["authorization"] == f"Bearer {client.get_access_token()}"
        assert reply.history == ()
        assert world.leaks() == []

    def test_the_scheme_is_spelled_as_data_center_compares_it(self, world: World) -> None:
        """Data Center answers with `token_type: bearer` and accepts only `Bearer`."""
        client = world.login("data_center")
        assert client.token_set().token_type == "bearer"
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert reply.headers["x-ausername"] != "anonymous"
        (request,) = world.echoes
        assert request.headers["authorization"].startswith("Bearer ")

    def test_auth_may_be_given_to_a_single_request(self, world: World) -> None:
        """A request's own auth object counts for this request, with everything it does."""
        client = world.login("cloud")
        world.expire()
        replies = self.exchange(
            Call("POST", echo(client), content=DATA, auth=self.auth(client)),
            Call("GET", echo(client)),
            auth=None,
        )
        assert [reply.status for reply in replies] == [200, 401]
        assert "authorization" not in world.echoes[-1].headers

    def test_a_personal_access_token_is_sent_and_its_rejection_handed_back(
        self, world: World
    ) -> None:
        """A static token cannot be renewed: a 401 is returned as it is, after one request."""
        server = world.emulator.data_center
        good = StaticTokenSource(server.personal_access_token, server.url)
        bad = StaticTokenSource("revoked", server.url)
        url = f"{server.url}/rest/echo"
        (reply,) = self._get(url, auth=self.auth(good))
        assert reply.status == 200
        world.emulator.reset_log()
        (reply,) = self._get(url, auth=self.auth(bad))
        assert reply.status == 401
        assert reply.history == ()
        assert b"must be authenticated" in reply.body
        assert len(world.emulator.requests) == 1

    def test_an_expired_token_is_replaced_before_the_request(
        self, world: World, flavour: str
    ) -> None:
        """An upload that can be sent only once works: it is not sent with the old token first."""
        client = world.login(flavour)
        world.clock.advance(3600)
        call = Call("POST", echo(client), **self.body(self.one_shot[0]))
        (reply,) = self.exchange(call, auth=self.auth(client))
        assert reply.status == 200
        (upload,) = world.echoes
        assert upload.body_length >= len(DATA)
        assert world.refreshes == 1
