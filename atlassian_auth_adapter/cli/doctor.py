"""`atlassian-auth doctor`: one check after the other, from the profile to an answered request.

It prints no secrets: the output is made to be pasted into a ticket.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

import click

from atlassian_auth_adapter.atlassian.scopes import lacking, scopes_for, shortened
from atlassian_auth_adapter.cli.terminal import (
    json_option,
    moment,
    profile_option,
    say,
    show,
)
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationError,
    ConfigurationError,
    PortUnavailableError,
)
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.stores import choose_store, client_secret_of
from atlassian_auth_adapter.refresh.source import REAUTHORIZATION_NOTICE
from atlassian_auth_adapter.signin.loopback import LoopbackURI
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, NoAnswerError, Transport

__all__ = ["Check", "checks", "clock_check", "command"]

Result = Literal["ok", "warn", "fail"]
#: Seconds by which the clock may differ from a server's: tokens are refreshed at least 10 s before
#: they expire, and they are valid for an hour.
SKEW_WARN, SKEW_FAIL = 10.0, 300.0

MARKS = {"ok": ("\u2713", "green"), "warn": ("!", "yellow"), "fail": ("\u2717", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result.

    Attributes:
        name: Of the check.
        result: "ok", "warn" (works, but look at it) or "fail".
        text: What was found.
        advice: What to do next; "" for nothing.
    """

    name: str
    result: Result
    text: str
    advice: str = ""


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> int:
    """Check profile, network and login, and say what to do.

    Sends requests to the servers of the profile, and refreshes the token if it expires soon. The
    output has no secrets: it can be pasted into a ticket.
    """
    found = []
    for check in checks(name):
        found.append(check)
        if not as_json:
            _print(check)
    failed = sum(check.result == "fail" for check in found)
    facts = {"checks": [asdict(check) for check in found], "failed": failed}
    summary = f"{failed} of {len(found)} checks failed."
    show(facts, as_json, lambda: say(summary, style="bold"))
    return 8 if failed else 0


def _print(check: Check) -> None:
    mark, style = MARKS[check.result]
    say(f"{mark} {check.name}: {check.text}", style=style if check.result != "ok" else None)
    if check.advice:
        say(f"  {check.advice}")


def checks(name: str) -> Iterator[Check]:
    """The checks, each made when it is asked for; those that cannot be made are left out."""
    try:
        profile = load_profile(name)
        client = client_of(profile)
    except AtlassianAuthError as error:
        yield Check("profile", "fail", str(error), "Correct it, or make one: atlassian-auth login")
        return
    yield Check("profile", "ok", f"{profile.name}: {client!r}")
    yield _tried("store", lambda: f"{choose_store(profile.store)}: written and read back")
    no_secret = "none: right if the app is a public client"
    yield _tried("client secret", lambda: "found" if client_secret_of(profile) else no_secret)
    yield from _network(client)
    if isinstance(client, AtlassianOAuthClient):
        yield _tried(
            "authorization page",  # not more: it does not tell whether the registration is right
            client.check_registration,
            "Compare client id, callback URL and scopes with the app's registration, letter by "
            "letter.",
        )
        yield from _callback(client.callback_url)
    yield from _login(client)


def _tried(name: str, look: Callable[[], str], if_refused: str = "") -> Check:
    try:
        return Check(name, "ok", look())
    except AuthorizationError as error:
        return Check(name, "fail", str(error), if_refused)
    except AtlassianAuthError as error:
        return Check(name, "fail", str(error))


# --- the network ----------------------------------------------------------------------------------


def _network(client: AtlassianClient) -> Iterator[Check]:
    """Each host once: its name, the connection, TLS; then the first clock that a host sends."""
    skews = []
    urls = dict.fromkeys((client.issuer, client.resource_server.base_url, client.site_url))
    if client.verify is False:
        yield Check(
            "TLS",
            "warn",
            "certificates are not checked (verify = false): another server can take the tokens",
            "Set `verify` to true, or to the path of the company's CA bundle.",
        )
    for url in filter(None, urls):
        check, answer = _asked(client.transport, url)
        yield check
        if answer and (skew := _skew(answer)) is not None:
            skews.append((urlsplit(url).hostname or "", skew))
    if skews:
        yield clock_check(*skews[0])


def _asked(transport: Transport, url: str) -> tuple[Check, Answer | None]:
    host = urlsplit(url).hostname or ""
    proxy = transport.proxy_for(url)
    way = f"through the proxy {proxy}" if proxy else "directly"
    try:
        if not proxy:
            socket.getaddrinfo(host, None)
        answer = transport.send("GET", url)
    except NoAnswerError as error:
        advice = (
            "Check proxy and firewall. If the company signs certificates itself, set `verify` to "
            "the path of its CA bundle."
        )
        text = f"no answer, asked {way}: {error}"
        return Check(f"network {host}", "fail", text, advice), None
    except AtlassianAuthError as error:
        return Check(f"network {host}", "fail", str(error)), None
    except (OSError, UnicodeError) as error:  # UnicodeError: it cannot be a name of DNS
        advice = "Check the URL and the network connection."
        return Check(f"DNS {host}", "fail", str(error), advice), None
    return Check(f"network {host}", "ok", f"answers, asked {way}"), answer


def _skew(answer: Answer) -> float | None:
    """Seconds by which our clock is ahead of the server's; None when it does not say."""
    try:
        return time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def clock_check(host: str, skew: float) -> Check:
    """The check of a clock that is so many seconds ahead of a server's (negative: behind)."""
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {host}"
    if abs(skew) <= SKEW_WARN:
        return Check("clock", "ok", text)
    result: Result = "warn" if abs(skew) < SKEW_FAIL else "fail"
    return Check("clock", result, text, "Set the clock by NTP.")


# --- the registration and the login ---------------------------------------------------------------


def _callback(callback_url: str) -> Iterator[Check]:
    """Whether `login` could listen there."""
    try:
        uri = LoopbackURI.parse(callback_url)
        if uri is None:
            return
        for opened in uri.listen():
            opened.close()
    except PortUnavailableError as error:
        yield Check("callback port", "warn", str(error), "Free it while you sign in.")
    except ConfigurationError as error:
        yield Check("callback port", "fail", str(error))
    else:
        yield Check("callback port", "ok", f"{uri.port} is free")


def _login(client: AtlassianClient) -> Iterator[Check]:
    advice = "Sign in: atlassian-auth login"
    try:
        status = client.status()
        if isinstance(client, AtlassianOAuthClient):
            if status.state == "none":
                yield Check("login", "fail", "not signed in", advice)
                return
            if status.state == "login_required":
                yield Check("login", "fail", f"it has ended: {status.reason}", advice)
                return
        token_set = client.token_set()
        status = client.status()
    except AtlassianAuthError as error:
        yield Check("login", "fail", str(error))
        return
    yield Check("login", "ok", f"the token is valid until {moment(token_set.expires_at)}")
    if status.reauthorize_by is not None:
        yield _end_of_login(status.reauthorize_by)
    if isinstance(client, AtlassianOAuthClient):
        yield from _scopes(client, token_set)
    yield _tried(
        "resource server",
        lambda: f"accepts the token of {client.test_connection().name or 'this account'}",
    )


def _end_of_login(end: float) -> Check:
    is_soon = end - time.time() < REAUTHORIZATION_NOTICE
    advice = "Sign in again before then: atlassian-auth login" if is_soon else ""
    return Check("end of the login", "warn" if is_soon else "ok", moment(end), advice)


def _scopes(client: AtlassianOAuthClient, token_set: TokenSet) -> Iterator[Check]:
    if not token_set.refresh_token:
        yield Check(
            "refresh token",
            "fail",
            "missing: the login ends with its access token",
            "Add offline_access to the scopes and sign in again.",
        )
    granted = token_set.scopes
    if missing := [scope for scope in client.scopes_not_granted() if scope != "offline_access"]:
        yield Check(
            "scopes",
            "warn",
            f"asked for, not granted: {' '.join(missing)}",
            "Check their names, add them to the app, and sign in again.",
        )
    else:
        yield Check("scopes", "ok", f"granted: {shortened(granted)}")
    needed = scopes_for("GET", urlsplit(client.identity_url).path)
    if missing_here := lacking(needed, granted):
        yield Check(
            "scopes of the product",
            "warn",
            f"to read your own account, {' or '.join(needed)} is needed",
            f"Add {missing_here} to the app and to the profile, and sign in again.",
        )
