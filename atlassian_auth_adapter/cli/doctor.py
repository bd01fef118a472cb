"""`atlassian-auth doctor`: one check after the other, from the profile to an answered request.

It prints no secrets: the output is made to be pasted into a ticket.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import click

from atlassian_auth_adapter.atlassian.scopes import shortened
from atlassian_auth_adapter.cli.identity import missing_scopes
from atlassian_auth_adapter.cli.status import check_login
from atlassian_auth_adapter.cli.terminal import (
    json_option,
    moment,
    profile_option,
    say,
    show,
)
from atlassian_auth_adapter.cli.words import about, as_options, sign_in
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.environment import has_client_secret
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationError,
    PortUnavailableError,
    TokenStoreError,
)
from atlassian_auth_adapter.profiles.client import client_of, in_use, with_variables
from atlassian_auth_adapter.profiles.directories import config_file
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.profiles.secrets import client_secret_of
from atlassian_auth_adapter.profiles.stores import choose_store
from atlassian_auth_adapter.refresh.source import REAUTHORIZATION_NOTICE
from atlassian_auth_adapter.signin.loopback import LoopbackURI
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, NoAnswerError, Transport, origin_of

__all__ = ["Check", "checks", "clock_check", "command"]

#: Names of checks that the summary looks at.
LOGIN, SECRET = "login", "client secret"
Result = Literal["ok", "warn", "fail"]
#: Seconds by which the clock may differ from a server's: tokens are refreshed at least 10 s before
#: they expire, and they are valid for an hour.
SKEW_WARN, SKEW_FAIL = 10.0, 300.0

#: Hosts that a client asks, by what they are to it.
ROLES = {"issuer": "authorization server", "base_url": "API", "site_url": "site"}
MARKS = {"ok": ("\u2713", "green"), "warn": ("!", "yellow"), "fail": ("\u2717", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result.

    Attributes:
        name: Of the check.
        result: "ok", "warn" (works, but look at it) or "fail".
        text: What was found.
        advice: What to do next; "" for nothing.
        code: The exit code that another command has for it; 0 if it has not failed.
    """

    name: str
    result: Result
    text: str
    advice: str = ""
    code: int = 0


@click.command()
@profile_option
@json_option
@click.option("--refresh", is_flag=True, help="Refresh the token, which proves the client secret.")
def command(name: str, as_json: bool, refresh: bool) -> int:
    """Check profile, network and login, and say what to do.

    Sends requests to the servers of the profile, and refreshes the token if it expires soon. The
    output has no secrets: it can be pasted into a ticket.
    """
    found = []
    for check in checks(name, refresh=refresh):
        found.append(check)
        if not as_json:
            _print(check)
    failed = [check for check in found if check.result == "fail"]
    facts = {"checks": [asdict(check) for check in found], "failed": len(failed)}
    show(facts, as_json, lambda: _summarize(found, refresh=refresh))
    if any(check.name == LOGIN and check.code == 4 for check in failed):
        return 4  # as every command that uses the login
    return 8 if failed else 0


def _print(check: Check) -> None:
    mark, style = MARKS[check.result]
    say(
        f"{mark} {check.name}: {check.text}",
        style=style if check.result != "ok" else "",
        hang="  ",
    )
    if check.advice:
        say(f"  {check.advice}")


def _summarize(found: list[Check], *, refresh: bool) -> None:
    failed = sum(check.result == "fail" for check in found)
    say(f"{failed} of {len(found)} checks failed.", style="bold")
    if not refresh and any(check.name == SECRET for check in found):
        say(
            "Not tried: whether the server accepts the client secret, and renews the login. To try "
            "it: atlassian-auth doctor --refresh"
        )


def checks(name: str, *, refresh: bool = False) -> Iterator[Check]:
    """The checks, each made when it is asked for; those that cannot be made are left out."""
    try:
        profile = load_profile(name)
    except AtlassianAuthError as error:  # by hand: the command writes into no file that is wrong
        yield _failed("profile", error, name, f"Correct it in {config_file()}.")
        return
    try:
        client = client_of(profile)
    except AtlassianAuthError as error:
        yield _failed("profile", error, name)
        return
    used = in_use(profile)
    text = f"{profile.name}: {client.product.name} with the client id {client.client_id}"
    if used.variables:
        text += f"; these variables win over it: {', '.join(used.variables)}"
    yield Check("profile", "ok", text)
    tried = partial(_tried, profile=profile.name)
    yield tried("store", lambda: f"{choose_store(used.store)}: {used.directory}: written and read")
    yield tried(SECRET, lambda: _secret(profile))
    yield from _network(client)
    if isinstance(client, AtlassianOAuthClient):
        yield tried(
            "authorization page",  # not more: it does not tell whether the registration is right
            client.check_registration,
        )
        yield from _callback(client.callback_url, profile.name)
    yield from _login(client, profile.name, refresh=refresh)


def _secret(profile: Profile) -> str:
    """Where the client secret comes from."""
    if not client_secret_of(with_variables(profile)):
        return "none: right if the app is a public client"
    return "from the environment" if has_client_secret() else "kept for the profile"


def _tried(name: str, look: Callable[[], str], profile: str) -> Check:
    try:
        return Check(name, "ok", look())
    except AtlassianAuthError as error:
        return _failed(name, error, profile)


def _failed(name: str, error: AtlassianAuthError, profile: str, advice: str = "") -> Check:
    """The check for an error, in the words of the command; the advice is for one that has none."""
    said = about(error, profile)
    if not isinstance(error, TokenStoreError):  # whose texts end with what to do
        advice = advice or f"Correct it in {config_file()}, or with: {sign_in(profile)}"
    advice = said.advice or advice
    if isinstance(error, AuthorizationError):
        advice = "Compare client id, callback URL and scopes letter by letter with the app."
    return Check(name, "fail", said.text, advice, said.code)


# --- the network ----------------------------------------------------------------------------------


def _network(client: AtlassianClient) -> Iterator[Check]:
    """Each host once: its name, the connection, TLS; then the first clock that a host sends."""
    skews = []
    if client.verify is False:
        yield Check(
            "TLS",
            "warn",
            "certificates are not checked, as the profile says: another server can take the tokens",
            "Take verify = false out of the profile, or set ATLASSIAN_CA_BUNDLE to the path of the "
            "company's CA bundle.",
        )
    for url, roles in _hosts(client).items():
        check, answer = _asked(client.transport, url, f"{' and '.join(roles)} {_place(url)}")
        yield check
        if answer and (skew := _skew(answer)) is not None:
            skews.append((urlsplit(url).hostname or "", skew))
    if skews:
        yield clock_check(*skews[0])


def _hosts(client: AtlassianClient) -> dict[str, list[str]]:
    """The URL of each host, with its roles."""
    urls = {
        "issuer": client.issuer,
        "base_url": client.resource_server.base_url,
        "site_url": client.site_url,
    }
    roles: dict[str, list[str]] = {}
    first: dict[str, str] = {}  # of each host
    for role, url in urls.items():
        if url:
            roles.setdefault(first.setdefault(origin_of(url), url), []).append(ROLES[role])
    return roles


def _place(url: str) -> str:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (80 if parts.scheme == 'http' else 443)}"


def _asked(transport: Transport, url: str, what: str) -> tuple[Check, Answer | None]:
    proxy = transport.proxy_for(url)
    way = f"through the proxy {proxy}" if proxy else "directly"
    name = f"network, {what}"
    try:
        if not proxy:
            socket.getaddrinfo(urlsplit(url).hostname or "", None)
        answer = transport.send("GET", url)
    except NoAnswerError as error:
        advice = (
            "Check the proxy: HTTPS_PROXY, NO_PROXY, ATLASSIAN_PROXY, and whether it runs."
            if proxy
            else "Check firewall and proxy (HTTPS_PROXY, ATLASSIAN_PROXY)."
        )
        advice += (
            " If a company signs certificates itself, set ATLASSIAN_CA_BUNDLE to its CA bundle."
        )
        text = f"no answer, asked {way}: {as_options(str(error))}"
        return Check(name, "fail", text, advice, 6), None
    except AtlassianAuthError as error:
        return _failed(name, error, ""), None
    except (OSError, UnicodeError) as error:
        why = error if isinstance(error, OSError) else "it cannot be one"
        advice = "Check the name in the URL of the site or server, and the network connection."
        return Check(name, "fail", f"DNS does not know the name: {why}", advice, 6), None
    return Check(name, "ok", f"answers, asked {way}"), answer


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


def _callback(callback_url: str, profile: str) -> Iterator[Check]:
    """Whether `login` could listen there."""
    name = "callback port"
    try:
        uri = LoopbackURI.parse(callback_url)
        if uri is None:
            return
        for opened in uri.listen():
            opened.close()
    except PortUnavailableError as error:
        said = about(error, profile)
        yield Check(name, "warn", said.text, said.advice)
    except AtlassianAuthError as error:
        yield _failed(name, error, profile)
    else:
        yield Check(name, "ok", f"{uri.port} is free")


def _login(client: AtlassianClient, profile: str, *, refresh: bool) -> Iterator[Check]:
    try:
        check_login(client)
        if refresh:
            client.refresh()
        token_set = client.token_set()
        status = client.status()
    except AtlassianAuthError as error:
        yield _failed(LOGIN, error, profile)
        return
    renewed = "it was renewed, with this client secret; " if refresh else ""
    yield Check(LOGIN, "ok", f"{renewed}the token is valid until {moment(token_set.expires_at)}")
    if status.reauthorize_by is not None:
        yield _end_of_login(status.reauthorize_by, profile)
    if isinstance(client, AtlassianOAuthClient):
        yield from _scopes(client, token_set, profile)
    yield _account(client, profile)


def _account(client: AtlassianClient, profile: str) -> Check:
    """Whether the server accepts the token, and for whom, if the login may ask that."""
    name = "account"
    try:
        if missing := missing_scopes(client):
            return Check(
                name,
                "warn",
                f"unknown: to ask for it the login lacks {missing}; other requests work without",
                f"To see it, add {missing} to the app and to the scopes of the profile, and sign "
                f"in again: {sign_in(profile)}",
            )
        identity = client.test_connection()
    except AtlassianAuthError as error:
        return _failed(name, error, profile)
    return Check(name, "ok", f"the API accepts the token of {identity.name or identity.id}")


def _end_of_login(end: float, profile: str) -> Check:
    is_soon = end - time.time() < REAUTHORIZATION_NOTICE
    advice = f"Sign in again before then: {sign_in(profile)}" if is_soon else ""
    return Check("end of the login", "warn" if is_soon else "ok", moment(end), advice)


def _scopes(client: AtlassianOAuthClient, token_set: TokenSet, profile: str) -> Iterator[Check]:
    if not token_set.refresh_token:
        yield Check(
            "refresh token",
            "fail",
            "missing: the login ends with its access token",
            f"Add offline_access to the scopes, and sign in again: {sign_in(profile)}",
        )
    if missing := [scope for scope in client.scopes_not_granted() if scope != "offline_access"]:
        yield Check(
            "scopes",
            "warn",
            f"asked for, not granted: {' '.join(missing)}",
            "Check their names, add them to the app, at Permissions, and sign in again: "
            f"{sign_in(profile)}",
        )
    else:
        yield Check("scopes", "ok", f"granted: {shortened(token_set.scopes)}")
