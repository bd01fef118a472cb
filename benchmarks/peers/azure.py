"""azure-core: its policies for a bearer token. A credential of the program renews it."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.libraries import PATIENCE, answers_from_memory, library_named, many_connections
from benchmarks.logins import Login
from benchmarks.peers.base import Peer, Way


class Credential:
    """A credential with a token in memory."""

    def __init__(self, login: Login) -> None:
        from azure.core.credentials import AccessToken

        self.token = AccessToken(login.access_token, int(time.time() + login.lifetime))

    def get_token(self, *scopes: str, **_: Any) -> Any:
        """Called by azure-core."""
        return self.token


class AsyncCredential(Credential):
    """The same for tasks."""

    async def get_token(self, *scopes: str, **_: Any) -> Any:
        """Called by azure-core."""
        return self.token


def policy(login: Login) -> Any:
    """The policy for threads."""
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy

    return BearerTokenCredentialPolicy(Credential(login), "scope")


def async_policy(login: Login) -> Any:
    """The policy for tasks."""
    from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy

    return AsyncBearerTokenCredentialPolicy(AsyncCredential(login), "scope")


def request(url: str) -> Any:
    """A request on its way through a pipeline."""
    from azure.core.pipeline import PipelineContext, PipelineRequest
    from azure.core.rest import HttpRequest

    return PipelineRequest(HttpRequest("GET", url), PipelineContext(None))


def client(login: Login, memory: bool) -> Any:
    """A pipeline with the policy and a session of requests."""
    import requests
    from azure.core import PipelineClient
    from azure.core.pipeline.transport import RequestsTransport

    session = requests.Session()
    session.trust_env = False
    answers_from_memory(session) if memory else many_connections(session)
    transport = RequestsTransport(session=session, session_owner=False)
    return PipelineClient(login.api, policies=[policy(login)], transport=transport)


def get(made: Any, url: str) -> Any:
    """GET with the pipeline. http is for the server of this machine."""
    from azure.core.rest import HttpRequest

    answer = made.send_request(
        HttpRequest("GET", url),
        enforce_https=False,
        connection_timeout=PATIENCE,
        read_timeout=PATIENCE,
    )
    return answer.status_code


def async_client(login: Login, memory: bool) -> Any:
    """A pipeline with the policy and a session of aiohttp."""
    from azure.core import AsyncPipelineClient
    from azure.core.pipeline.transport import AioHttpTransport

    session = library_named("aiohttp").client(None, memory)
    transport = AioHttpTransport(session=session, session_owner=False)
    made = AsyncPipelineClient(login.api, policies=[async_policy(login)], transport=transport)
    return made, session


async def get_async(made: Any, url: str) -> Any:
    """GET with the pipeline, for tasks."""
    from azure.core.rest import HttpRequest

    answer = await made[0].send_request(HttpRequest("GET", url), enforce_https=False)
    return answer.status_code


async def close(made: Any) -> None:
    """Close pipeline and session."""
    await made[0].close()
    await made[1].close()


PEER = Peer(
    "azure-core",
    "azure-core",
    {
        "requests": Way(
            policy,
            client,
            request=request,
            apply=lambda made, request: made.on_request(request),
            get=get,
        ),
        "aiohttp": Way(
            async_policy,
            async_client,
            request=request,
            apply=lambda made, request: made.on_request(request),
            get=get_async,
            close=close,
        ),
    },
    "no origin, but https; it asks a credential of the program for each new token",
    {
        "requests": "from azure.core.pipeline.policies import BearerTokenCredentialPolicy; "
        "from azure.core.pipeline.transport import RequestsTransport",
        "aiohttp": "from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy; "
        "from azure.core.pipeline.transport import AioHttpTransport",
    },
    leeway=300.0,
    renews=False,
)
