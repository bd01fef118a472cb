"""Jira's REST resources for both flavours, in memory.

Field names and types are those of the Jira Cloud OpenAPI document and of Jira Data Center's REST
API 2; values are made up. Of JQL, projects and keys are interpreted.

Reading order: `state.py` (what a Jira holds), `constants.py` (lists that never change),
`collections.py` and `kinds.py` (what clients make), then what is special: `server.py`, `issues.py`,
`issue_parts.py`, `files.py`, `properties.py`, `projects.py`, `people.py`, `agile.py`,
`dashboards.py`, `service_management.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from atlassian_auth_adapter.testing.emulator.attachments import Attachments
from atlassian_auth_adapter.testing.emulator.echo import ECHO
from atlassian_auth_adapter.testing.emulator.hosts import Caller, Routes, Row
from atlassian_auth_adapter.testing.emulator.http import Request, Response

from .agile import Agile
from .collections import Collection
from .constants import constant_rows
from .dashboards import Dashboards
from .files import Files
from .issue_parts import IssueParts
from .issues import Issues
from .kinds import kinds
from .people import People
from .projects import Projects
from .properties import Properties
from .server import Server
from .service_management import ServiceManagement
from .state import API, InvalidError, State, missing


class Topic(Protocol):
    """What serves some of the resources."""

    def rows(self) -> list[Row]:
        """Its routes."""


class Jira:
    """One Jira: a Cloud site's, or the Data Center server's. Threads may share it."""

    def __init__(self, *, cloud: bool, media_url: Callable[[], str] = str) -> None:
        self._state = State(cloud=cloud, media_url=media_url)
        self.attachments: Attachments = self._state.attachments
        self._routes: Routes | None = None  # made when they are needed: most tests need none

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request below the product's root."""
        with self._state.lock:
            self._routes = self._routes or _routes(self._state)
        try:
            return self._routes.answer(request, caller)
        except InvalidError as invalid:
            return invalid.response


def _routes(state: State) -> Routes:
    """The resources; the first pattern that fits a path wins."""
    collections = {kind.name: Collection(kind, state) for kind in kinds(cloud=state.cloud)}
    topics: tuple[Topic, ...] = (
        Server(state),
        Files(state),
        Issues(state),
        IssueParts(state, collections),
        Projects(state),
        People(state),
        Agile(state),
        Properties(state),
        ServiceManagement(state),
        Dashboards(state, collections),
        *collections.values(),
    )
    return Routes(
        missing,
        *ECHO,
        *constant_rows(API, state.api, lambda call: missing(call.request)),
        *(row for topic in topics for row in topic.rows()),
    )
