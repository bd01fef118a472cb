"""`atlassian-auth doctor`: one check after the other, from the profile to an answered request.

Nothing that it prints is secret: it is made to be pasted into a ticket.
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

from atlassian_auth_adapter.atlassian.scopes import scopes_for
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
    ConfigurationError,
    PortUnavailableError,
)
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.stores import choose_store, client_secret_of
from atlassian_auth_adapter.signin.loopback import LoopbackURI
from atlassian_auth_adapter.transport import Answer, NoAnswerError

__all__ = ["Check", "checks", "clock_check", "command"]

Result = Literal["ok", "warn", "fail"]
#: Seconds by which the clock may differ from a server's: tokens are renewed 10 s before their end
#: at the latest, and lifetimes are an hour.
SKEW_WARN, SKEW_FAIL = 10.0, 300.0
#: Seconds ahead of the end of a login from which on it is worth a warning.
SOON = 14 * 86400.0

MARKS = {"ok": ("\u2713", "green"), "warn": ("!", "yellow"), "fail": ("\u2717", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what to do about it.

    Attributes:
        name: Of the check.
        result: "ok", "warn" (works, but look at it) or "fail".
        text: What was found.
        advice: What to do next, "" if nothing.
    """

    name: str
    result: Result
    text: str
    advice: str = ""


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> int:
    """Check what can be wrong, and say what to do. No secrets: safe to paste into a ticket.

    Makes requests to the servers of the profile, and a refresh if one is due.
    """
    found = []
    for check in checks(name):
        found.append(check)
        if not as_json:
            _print(check)
    failed = sum(check.result == "fail" for check in found)
    facts = {"checks": [asdict(check) for check in found], "failed": failed}

    def human() -> None:
        say(f"{failed} of {len(found)} checks failed." if failed else "All is well.", style="bold")

    show(facts, as_json, human)
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
        yield Check("profile", "fail", str(error), "Make one with: atlassian-auth login")
        return
    yield Check("profile", "ok", f"{profile.name}: {client!r}")
    yield _tried("store", lambda: f"{choose_store(profile.store)}: written and read back")
    yield _tried("client secret", lambda: "it is there" if client_secret_of(profile) else "")
    yield from _network(client)
    if isinstance(client, AtlassianOAuthClient):
        yield _tried(
            "registration",
            client.check_registration,
            "Compare client id, callback URL and scopes with the app's registration, letter by "
            "letter.",
        )
        yield from _callback(client.callback_url)
    yield from _login(client)


def _tried(name: str, look: Callable[[], str], advice: str = "") -> Check:
    try:
        return Check(name, "ok", look())
    except AtlassianAuthError as error:
        return Check(name, "fail", str(error), advice)


# --- the network ----------------------------------------------------------------------------------


def _network(client: AtlassianClient) -> Iterator[Check]:
    """Each host once: its name, the way to it, TLS, and its clock."""
    transport = client.transport
    urls = dict.fromkeys((client.issuer, client.resource_server.base_url, client.site_url))
    dates = []
    for url in filter(None, urls):
        host = urlsplit(url).hostname or ""
        proxy = transport.proxy_for(url)
        way = f"through the proxy {proxy}" if proxy else "directly"
        if not proxy:
            try:
                socket.getaddrinfo(host, None)
            except (OSError, UnicodeError) as error:  # UnicodeError: it cannot be a name of DNS
                yield Check(
                    f"DNS {host}", "fail", str(error), "Is the URL right, is there a network?"
                )
                continue
        try:
            answer = transport.send("GET", url)
        except NoAnswerError as error:
            yield Check(
                f"network {host}",
                "fail",
                f"no answer, asked {way}: {error}",
                "Check proxy and firewall; for a company's own certificates give `verify` the "
                "path of its CA bundle.",
            )
            continue
        except AtlassianAuthError as error:
            yield Check(f"network {host}", "fail", str(error))
            continue
        yield Check(f"network {host}", "ok", f"answers, asked {way}")
        dates.append((host, _skew(answer)))
    for host, skew in [(host, skew) for host, skew in dates if skew is not None][:1]:
        yield clock_check(host, skew)


def _skew(answer: Answer) -> float | None:
    """Seconds by which our clock is ahead of the server's; None when it does not say."""
    try:
        return time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def clock_check(host: str, skew: float) -> Check:
    """What to say of a clock that is so many seconds ahead of a server's (negative: behind)."""
    result: Result = "ok"
    if abs(skew) > SKEW_WARN:
        result = "warn" if abs(skew) < SKEW_FAIL else "fail"
    way = "ahead of" if skew > 0 else "behind"
    text = f"{abs(skew):.0f} s {way} {host}"
    return Check("clock", result, text, "" if result == "ok" else "Set it by NTP.")


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
        yield Check("callback port", "warn", str(error), "Signing in needs it for a moment.")
    except ConfigurationError as error:
        yield Check("callback port", "fail", str(error))
    else:
        yield Check("callback port", "ok", f"{uri.port} is free")


def _login(client: AtlassianClient) -> Iterator[Check]:
    try:
        status = client.status()
    except AtlassianAuthError as error:
        yield Check("login", "fail", str(error))
        return
    if status.state in ("none", "login_required") and isinstance(client, AtlassianOAuthClient):
        yield Check(
            "login",
            "fail",
            "nobody has signed in" if status.state == "none" else f"it is over: {status.reason}",
            "Sign in: atlassian-auth login",
        )
        return
    try:
        token_set = client.token_set()
    except AtlassianAuthError as error:
        yield Check("login", "fail", str(error))
        return
    yield Check("login", "ok", f"the token is valid until {moment(token_set.expires_at)}")
    status = client.status()
    if status.reauthorize_by is not None:
        is_soon = status.reauthorize_by - time.time() < SOON
        yield Check(
            "end of the login",
            "warn" if is_soon else "ok",
            moment(status.reauthorize_by),
            "Sign in again before: atlassian-auth login" if is_soon else "",
        )
    if isinstance(client, AtlassianOAuthClient):
        yield from _scopes(
            client, token_set.scopes, has_refresh_token=bool(token_set.refresh_token)
        )
    yield _tried(
        "resource server",
        lambda: f"answers to {client.test_connection().name or 'us'}, not to nobody",
    )


def _scopes(
    client: AtlassianOAuthClient, granted: frozenset[str], *, has_refresh_token: bool
) -> Iterator[Check]:
    if not has_refresh_token:
        yield Check(
            "refresh token",
            "fail",
            "there is none: the login ends with its token",
            "Add offline_access to the scopes and sign in again.",
        )
    asked = set(client.get_oauth_scopes()) - {"offline_access"}
    if missing := sorted(asked - granted):
        yield Check(
            "scopes",
            "warn",
            f"asked for, not granted: {' '.join(missing)}",
            "Add them to the app, and sign in again.",
        )
    else:
        yield Check("scopes", "ok", f"granted: {' '.join(sorted(granted))}")
    path = urlsplit(client.identity_url).path
    needed = scopes_for("GET", path)
    if needed and not any(set(each.split()) <= granted for each in needed):
        yield Check(
            "scopes of the product",
            "warn",
            f"to ask who we are it takes {' or '.join(needed)}",
            "Add one of these to the app and to the profile, and sign in again.",
        )
