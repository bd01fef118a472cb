"""Requests that go through a proxy."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from atlassian_auth_adapter.atlassian.gateway import OneServer
from atlassian_auth_adapter.errors import ConfigurationError

from .base import AdapterTests
from .world import BEARER, Call, FixedTokenSource, World, echo

__all__ = ["ProxyTests"]


class ProxyTests(AdapterTests):
    """For libraries whose clients take the option `proxy`, which their auth objects can see."""

    def test_through_a_proxy_the_rules_are_the_same(self, world: World) -> None:
        """The request line has the whole URL, also that of a redirected request."""
        server = "http://jira.example.com/redirect"
        auth = self.auth(FixedTokenSource(OneServer(server)))
        for target in ("/status/200", "http://jira.example.com/status/200"):
            inside = f"{server}?to={quote(target, safe='')}"
            call = Call("GET", f"{server}?to={quote(inside, safe='')}")
            self.exchange(call, auth=auth, proxy=world.emulator.foreign_url)
        hops = [request.headers.get("authorization") for request in world.emulator.requests]
        assert hops == [f"Bearer {BEARER}", f"Bearer {BEARER}", None] * 2

    def test_a_proxy_gets_no_token_for_this_machine(self, world: World, flavour: str) -> None:
        """It would read the token, because http to this machine is not encrypted: an error."""
        client = world.login(flavour)
        auth = self.auth(client)
        proxy = world.emulator.foreign_url
        with pytest.raises(ConfigurationError, match="NO_PROXY") as raised:
            self.exchange(Call("GET", echo(client)), auth=auth, proxy=proxy)
        assert isinstance(raised.value, self.request_error)
        assert not world.emulator.requests
        self.exchange(Call("GET", f"{world.emulator.foreign_url}/x"), auth=auth, proxy=proxy)
        (request,) = world.emulator.requests
        assert "authorization" not in request.headers
