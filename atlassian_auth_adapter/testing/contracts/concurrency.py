"""Many requests at once, from threads, tasks and event loops: one refresh."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from atlassian_auth_adapter.testing.emulator import Hold

from .base import AdapterTests, meanwhile
from .world import DATA, DATA_SHA256, PATIENCE, Call, Reply, World, echo

__all__ = ["ConcurrencyTests"]


class ConcurrencyTests(AdapterTests):
    """How often many requests at once refresh."""

    def test_many_requests_with_a_rejected_token_refresh_once(self, world: World) -> None:
        """Sixteen requests are under way when the token expires: one refresh, sixteen answers."""
        client = world.login("cloud")
        hold = Hold()
        world.emulator.faults.next("/rest/echo", hold, times=16)
        calls = [Call("POST", echo(client), content=DATA)] * 16
        replies = meanwhile(
            hold,
            lambda: self.exchange(*calls, auth=self.auth(client), at_once=True),
            world.emulator.cloud.expire_access_tokens,
            requests=16,
        )
        assert [(reply.status, reply.history) for reply in replies] == [(200, (401,))] * 16
        assert [request.body_sha256 for request in world.echoes] == [DATA_SHA256] * 32
        assert world.refreshes == 1

    def test_many_requests_with_an_expired_token_refresh_once(self, world: World) -> None:
        """Sixteen requests start after its expiry: one refresh, and no request is rejected."""
        client = world.login("data_center")
        world.clock.advance(3600)
        calls = [Call("GET", echo(client))] * 16
        replies = self.exchange(*calls, auth=self.auth(client), at_once=True)
        assert [(reply.status, reply.history) for reply in replies] == [(200, ())] * 16
        assert world.refreshes == 1

    def test_threads_with_clients_of_their_own_share_one_object(self, world: World) -> None:
        """Four threads, each with a client (and an event loop, if it has any): one refresh."""
        client = world.login("cloud")
        auth = self.auth(client)
        world.expire()
        call = Call("POST", echo(client), content=DATA)
        barrier = threading.Barrier(4)

        def work(_: int) -> list[Reply]:
            barrier.wait(PATIENCE)
            return self.exchange(*[call] * 4, auth=auth, at_once=True)

        with ThreadPoolExecutor(4) as pool:
            replies = [reply for each in pool.map(work, range(4)) for reply in each]
        assert [reply.status for reply in replies] == [200] * 16
        assert world.refreshes == 1
