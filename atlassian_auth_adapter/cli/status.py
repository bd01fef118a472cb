"""`atlassian-auth status`: the stored logins, and when they end; without secrets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from atlassian_auth_adapter.cli.terminal import (
    json_option,
    moment,
    print_rows,
    profile_option,
    say,
    show,
)
from atlassian_auth_adapter.cli.words import ENDED, about, sign_in
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.environment import text_of
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import AtlassianAuthError, LoginRequiredError
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.profiles.client import client_of, in_use
from atlassian_auth_adapter.profiles.file import load_profile, profile_names
from atlassian_auth_adapter.profiles.profile import Profile

__all__ = ["check_login", "command", "facts_of", "print_status", "state_of", "verdict"]

#: What each state means for a person; `check_login` has words for the others.
STATES = {
    "fresh": "valid",
    "stale": "valid; the next use refreshes it",
    "expired": "the token has expired; the next use refreshes it",
    "none": "no token yet; the next use fetches one",
}

#: Labels for people, and the facts that they show.
MOMENTS = {
    "last refresh": "obtained_at",
    "token ends": "expires_at",
    "unused until": "idle_until",
    "sign in by": "reauthorize_by",
    "server asks to wait": "throttled_until",
    "refresh under way": "pending_since",
}


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> int:
    """Show the stored login of a profile, or those of all profiles. No request, no secrets.

    Without -p and without $ATLASSIAN_PROFILE all profiles are listed. The exit code is 4 when a
    person has to sign in.
    """
    known = profile_names()
    if name or text_of("ATLASSIAN_PROFILE") or not known:
        facts = facts_of(*_loaded(load_profile(name)))
        show(facts, as_json, lambda: print_status(facts))
        return verdict(facts)
    listed = [_facts_or_error(each) for each in known]

    def human() -> None:
        if len(listed) == 1 and "error" not in listed[0]:
            print_status(listed[0])
            return
        for facts in listed:
            say(facts["profile"], style="bold")
            say(f"  {_line(facts)}")
        say("More: atlassian-auth status -p NAME", style="dim")

    show({"profiles": listed}, as_json, human)
    return max(map(verdict, listed))


def _loaded(profile: Profile) -> tuple[Profile, AtlassianClient]:
    return profile, client_of(profile)


def _facts_or_error(name: str) -> dict[str, Any]:
    try:
        return facts_of(*_loaded(load_profile(name)))
    except AtlassianAuthError as error:
        return {"profile": printable(name), **about(error, name).facts}


def _line(facts: dict[str, Any]) -> str:
    if "error" in facts:
        return f"{facts['error']['message']} {facts['error']['advice']}".strip()
    end = facts["reauthorize_by"]
    by = f"; sign in by {moment(end)}" if end is not None else ""
    return f"{facts['product']}, {facts['where']}: {state_of(facts)}{by}"


def verdict(facts: dict[str, Any]) -> int:
    """The exit code for these facts: the same for every command that tells of a login."""
    if "error" in facts:
        return int(facts["error"]["exit_code"])
    return 4 if facts["needs_login"] else 0


def check_login(client: AtlassianClient) -> None:
    """Raise if a person has to sign in, by what the store knows. For commands that use the login.

    What is left of the hour of an access token is not used when its login has ended.

    Raises:
        LoginRequiredError: There is no login, or it has ended.
    """
    if reason := _why_ended(client):
        raise LoginRequiredError(ENDED[reason], reason=reason)


def _why_ended(client: AtlassianClient) -> Any:
    """The reason as in `LoginRequiredError`; "" if there is a login, or none is needed."""
    status = client.status()
    if not isinstance(client, AtlassianOAuthClient):
        return ""
    if status.state == "none":
        return "no_token"
    return (status.reason or "no_refresh_token") if status.state == "login_required" else ""


def facts_of(profile: Profile, client: AtlassianClient) -> dict[str, Any]:
    """What is known of the login without a request; it holds no secret."""
    used, reason = in_use(profile), _why_ended(client)
    if client.product.own_cloud and not client.server_url:
        where = client.base_url  # known without a request: there are no sites
    else:
        where = client.site_url or client.server_url or client.cloud_id or "the only site"
    facts = {
        "profile": profile.name,
        "product": client.product.name,
        "where": where,
        "base_url": client.known_base_url(),
        "client_id": client.client_id,
        "store": used.store,
        "directory": str(used.directory),
        "variables": list(used.variables),
        **asdict(client.status()),
        "needs_login": bool(reason),
        "reason": reason,
    }
    if reason in ("refused", "answer_lost"):
        facts["expires_at"] = None  # the login is over, whatever is left of its access token
    return facts


def state_of(facts: dict[str, Any]) -> str:
    """The state of the login, for people."""
    if facts["needs_login"]:
        return f"{ENDED[facts['reason']]} Sign in: {sign_in(facts['profile'])}"
    return STATES[facts["state"]]


def print_status(facts: dict[str, Any]) -> None:
    """Print the facts for people: a line each, without those that are not known."""
    rows: list[tuple[str, str]] = [
        ("profile", facts["profile"]),
        ("place", f"{facts['product']}, {facts['where']}"),
        ("requests go to", facts["base_url"]),
        ("client id", facts["client_id"]),
        ("account", facts["account"]),
        ("store", f"{facts['store']}: {facts['directory']}"),
        ("overridden by", ", ".join(facts["variables"])),
        ("login", state_of(facts)),
    ]
    if facts["state"] != "none":
        rows.append(("scopes", " ".join(facts["scopes"]) or "unknown"))
    for label, fact in MOMENTS.items():
        if facts[fact] is not None:
            rows.append((label, moment(facts[fact])))
    rows.append(("refreshed by", facts["pending_owner"]))
    print_rows(row for row in rows if row[1])
