"""No token is available: the error has both base classes, and holds no secret."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    ForeignOriginError,
    LoginRequiredError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
)
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.emulator import Status

from .base import AdapterTests
from .world import DATA, Call, World, echo, secrets_in

__all__ = ["ErrorTests"]

CAUSES = (
    "grant revoked",
    "no refresh token",
    "token endpoint down",
    "wrong client secret",
    "no client secret",
    "store broken",
)


class ErrorTests(AdapterTests):
    """What a program gets when the token cannot be renewed."""

    @pytest.mark.parametrize("when", ["before the request", "after a rejection"])
    @pytest.mark.parametrize("cause", CAUSES)
    def test_an_error_is_the_package_s_and_the_library_s(
        self, world: World, cause: str, when: str
    ) -> None:
        """SDKs that catch their library's errors catch it; it is no lost connection to them."""
        client, kind = _broken(world, cause)
        if when == "before the request":
            world.clock.advance(3600)
        else:
            world.emulator.cloud.expire_access_tokens()
        with pytest.raises(self.request_error) as raised:
            self.exchange(Call("POST", echo(client), content=DATA), auth=self.auth(client))
        assert isinstance(raised.value, kind)
        assert isinstance(raised.value, AtlassianAuthError)
        error: Any = raised.value
        assert not isinstance(error, (ConnectionError, *self.connection_errors))
        assert len(world.echoes) == (when == "after a rejection")
        assert self.request_of(error).method == "POST"
        assert str(self.request_of(error).url) == echo(client)
        _assert_clean(error, world)
        again: Any = pickle.loads(pickle.dumps(error))
        assert self.request_of(again).method == "POST"
        assert str(again) == str(error)
        assert getattr(again, "reason", "") == getattr(error, "reason", "")
        assert isinstance(again, kind)
        assert isinstance(again, self.request_error)
        _assert_clean(again, world)
        assert str(copy.copy(error)) == str(copy.deepcopy(error)) == str(error)

    def test_an_error_of_the_option_raise_can_be_pickled(self, world: World) -> None:
        """It names the origin only, not the rest of the URL."""
        client = world.login("cloud")
        with pytest.raises(ForeignOriginError) as raised:
            self._get(
                f"{world.emulator.foreign_url}/a?key=confidential",
                auth=self.auth(client, foreign="raise"),
            )
        assert world.emulator.requests == ()
        assert "confidential" not in str(raised.value)
        assert world.emulator.foreign_url in str(raised.value)
        again = pickle.loads(pickle.dumps(raised.value))
        assert isinstance(again, ForeignOriginError)
        assert isinstance(again, self.request_error)

    def test_a_client_works_again_after_an_outage(self, world: World) -> None:
        """The token endpoint is back: the next request succeeds, and nothing else is needed."""
        client, _ = _broken(world, "token endpoint down")
        world.emulator.cloud.expire_access_tokens()
        auth = self.auth(client)
        with pytest.raises(TokenEndpointUnavailableError):
            self._get(echo(client), auth=auth)
        world.emulator.faults.clear()
        world.clock.advance(60)
        (reply,) = self._get(echo(client), auth=auth)
        assert reply.status == 200


class _BreakingStore(MemoryTokenStore):
    """A store that fails once `broken` is set."""

    broken = False

    def load(self, key: Any) -> Any:
        if self.broken:
            raise TokenStoreError("the disk is gone")
        return super().load(key)


def _broken(world: World, cause: str) -> tuple[AtlassianOAuthClient, type[Exception]]:
    """A client that cannot renew its token, and the error that it raises."""
    match cause:
        case "grant revoked":
            client = world.login("cloud")
            world.emulator.cloud.revoke_grants()
            return client, LoginRequiredError
        case "no refresh token":
            return world.login("cloud", scopes=["read:jira-user"]), LoginRequiredError
        case "token endpoint down":
            client = world.login("cloud")
            world.emulator.faults.next("token", Status(503), times=None)
            return client, TokenEndpointUnavailableError
        case "wrong client secret":
            client = world.login("cloud")
            world.emulator.cloud.app.client_secret += "x"
            return client, TokenRequestRefusedError
        case "no client secret":
            once = [world.emulator.cloud.app.client_secret]
            client = world.login("cloud", client_secret=once.pop)
            return client, ConfigurationError
        case "store broken":
            store = _BreakingStore()
            client = world.login("cloud", store=store)
            store.broken = True
            return client, TokenStoreError
    raise AssertionError(f"unknown cause {cause!r}")


def _assert_clean(error: BaseException, world: World) -> None:
    """No secret is in what a log or a debugger shows of an error, its causes and contexts."""
    found: list[BaseException] = [error]
    for one in found:  # grows on the way
        request, response = getattr(one, "request", None), getattr(one, "response", None)
        text = f"{one} {one!r} {one.args} {vars(one)} {response}"
        text += f"{getattr(request, 'headers', '')} {getattr(request, 'url', '')}"
        text += f"{pickle.dumps(one)!r}"
        assert secrets_in(text, world.emulator) == set()
        assert response is None
        found += [e for e in (one.__cause__, one.__context__) if e and e not in found]
