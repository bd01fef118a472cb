"""What the package reports, to the `on_event` hook and to its logger.

Events hold no secret, not even a prefix of one. They are reported outside every lock. An exception
of the hook is logged and ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

__all__ = ["Event", "EventName", "OnEvent", "logger", "report"]

logger: logging.Logger = logging.getLogger("atlassian_auth_adapter")

EventName = Literal[
    "refreshed",  # one token request brought a new token set
    "adopted",  # another process had refreshed already: no token request
    "replayed",  # after a lost answer the request was sent again, as the server allows
    "refused",  # the server refused the refresh token: a person must log in
    "throttled",  # the server asked to wait
    "unavailable",  # no usable answer from the token endpoint
    "store_failed",  # the store could not be read or written
    "lock_timeout",  # another process held the store's lock for too long
    "reauthorization_due",  # the login expires soon and needs a person
    "no_refresh_token",  # not asked for, or none came: the login ends with its access token
    "many_scopes",  # so many are asked for that the authorization page may refuse its own URL
    "scopes_not_granted",  # the server has left out some of the scopes that were asked for
    "state_not_checked",  # a code was accepted without its state, which could not be compared
    "not_revoked",  # the login that a sign-in has replaced could not be revoked
    "foreign_origin",  # a request outside the grant was sent without the token
    "proxied",  # a proxy got the token of a request to this machine, which is not encrypted
    "site_not_granted",  # the login does not reach the site with the cloud id
    "scope_missing",  # the resource server requires a scope that the grant lacks
    "anonymous",  # the resource server answered as if not logged in
    "rejected",  # the resource server rejects the token, and another one would not help now
    "gone",  # the resource was removed, for OAuth at least
    "app_access_blocked",  # an administrator's policy has left content out of the answer
    "rate_limited",  # the resource server asks to wait
]

_LEVELS = {
    "refreshed": logging.INFO,
    "adopted": logging.DEBUG,
    "foreign_origin": logging.INFO,
    "rate_limited": logging.INFO,
}


class Event(NamedTuple):
    """Something that was reported.

    Attributes:
        name: What happened.
        account: The account of the login, or "".
        fields: Details without secrets. For a refresh: `duration` (seconds, float), `waiters`
            (int), `generation` (int), `error` (text), `reauthorize_by` (POSIX timestamp, seconds),
            `reason` (as in LoginRequiredError). For a sign-in: `hint`, `needed`, `error`,
            `count` (of scopes that are asked for), `missing` (scopes, separated by blanks),
            `granted` (scopes, shortened to a line).
            For an answer of a resource server: `origin`, `path`, and some of `hint` (what to do
            instead, or ""), `granted` (scopes, shortened to a line), `needed` (scopes; " or "
            stands between alternatives), `missing` (the scopes that the login lacks of the nearest
            alternative), `error` (text), `retry_after` and `reason` (headers, as text). For a site:
            `cloud_id`, `reached` (the sites of the login). Cloud's reasons are
            "jira-quota-global-based", "jira-quota-tenant-based", "jira-burst-based",
            "jira-per-issue-on-write", "confluence-quota-global-based",
            "confluence-quota-tenant-based" and "confluence-burst-based". Source:
            developer.atlassian.com, pages on rate limits, 2026-02-02 and 2026-10-20.
    """

    name: EventName
    account: str = ""
    fields: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        details = "".join(f" {key}={value!r}" for key, value in self.fields.items())
        return f"atlassian_auth.{self.name} account={self.account!r}{details}"


OnEvent = Callable[[Event], object]


def report(on_event: OnEvent | None, event: Event) -> None:
    """Log the event and call the hook with it. Never raises; call it without holding a lock."""
    _log(_level(event), "%s", event)
    if on_event is None:
        return
    try:
        on_event(event)
    except Exception as error:  # noqa: BLE001 - the hook must not break a refresh
        _log(logging.WARNING, "on_event raised %s for %s", type(error).__name__, event.name)


def _log(level: int, text: str, *values: object) -> None:
    with suppress(Exception):  # of a filter or a handler of the program
        logger.log(level, text, *values)


def _level(event: Event) -> int:
    if event.name == "foreign_origin" and event.fields.get("hint"):
        return logging.WARNING  # there is something to do
    return _LEVELS.get(event.name, logging.WARNING)
