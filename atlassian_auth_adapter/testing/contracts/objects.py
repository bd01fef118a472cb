"""The auth object itself: copies, pickles, what it prints and what it accepts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from .base import AdapterTests
from .world import CLOUD, FixedTokenSource, World, echo, secrets_in

__all__ = ["ObjectTests"]


class ObjectTests(AdapterTests):
    """What a program does with an auth object besides sending requests."""

    def test_copies_are_the_same_object(self, world: World) -> None:
        """Two owners of one rotating refresh token would end the login."""
        auth = self.auth(world.login("cloud"))
        assert copy.copy(auth) is auth
        assert copy.deepcopy(auth) is auth
        assert copy.deepcopy({"auth": auth})["auth"] is auth

    def test_a_pickle_holds_no_secret_and_works_here(self, world: World) -> None:
        """The unpickled object shares the login with the pickled one."""
        client = world.login("cloud")
        pickled = pickle.dumps(self.auth(client, foreign="raise"))
        assert secrets_in(pickled, world.emulator) == set()
        again = pickle.loads(pickled)
        assert (again.source, again.foreign) == (client, "raise")
        world.expire()
        (reply,) = self._get(echo(client), auth=again)
        assert reply.status == 200
        (reply,) = self._get(echo(client), auth=self.auth(client))
        assert (reply.status, reply.history) == (200, ())
        assert world.refreshes == 1

    def test_it_prints_no_secret(self, world: World, flavour: str) -> None:
        """Neither the object nor its attributes."""
        auth = self.auth(world.login(flavour))
        text = f"{auth} {auth!r} {vars(auth)}"
        assert secrets_in(text, world.emulator) == set()

    def test_it_is_true(self, world: World) -> None:
        """Libraries test `if auth:` for whether there is one, and treat pairs as Basic."""
        auth = self.auth(world.login("cloud"))
        assert auth
        assert not isinstance(auth, tuple | dict)

    def test_it_accepts_token_sources_only(self) -> None:
        """A token as a string is not one; the error names what to pass."""
        sources: tuple[Any, ...] = ("token", None, len)
        for source in sources:
            with pytest.raises(TypeError, match="TokenSource"):
                self.auth(source)

    def test_the_option_foreign_is_checked(self) -> None:
        """A misspelled option is an error, not "bare"."""
        with pytest.raises(ValueError, match="bare"):
            self.auth(FixedTokenSource(CLOUD), foreign="rise")
