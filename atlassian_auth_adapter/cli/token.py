"""`atlassian-auth token`: a valid access token, for scripts."""

from __future__ import annotations

import json
import sys

import click

from atlassian_auth_adapter.cli.terminal import json_option, profile_option
from atlassian_auth_adapter.profiles.client import client_of, stored_token_set
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.tokens import TokenSet

__all__ = ["command"]


@click.command()
@profile_option
@json_option
@click.option("--header", is_flag=True, help="atlassian-auth token --header | curl -H @- URL")
@click.option("--show", is_flag=True, help="Print it even to a terminal.")
def command(name: str, as_json: bool, header: bool, show: bool) -> None:
    """Print a valid access token, for scripts; it is refreshed if necessary.

    To a terminal it is only printed with --show, or when the question is answered with yes.
    """
    if sys.stdout.isatty() and not show:
        if not sys.stdin.isatty():
            raise click.UsageError("standard output is a terminal: give --show to print to it.")
        click.confirm("Anyone who sees the token can use it. Print it?", abort=True, err=True)
    profile = load_profile(name)
    token_set = stored_token_set(profile) or _fetched(profile)
    if as_json:
        facts = {
            "access_token": token_set.access_token,
            "token_type": token_set.authorization.partition(" ")[0],
            "expires_at": token_set.expires_at,
            "scope": token_set.scope,
        }
        sys.stdout.write(json.dumps(facts) + "\n")
    elif header:
        sys.stdout.write(f"Authorization: {token_set.authorization}\n")
    else:
        sys.stdout.write(token_set.access_token + "\n")


def _fetched(profile: Profile) -> TokenSet:
    from atlassian_auth_adapter.cli.status import check_login  # a valid token does not need it

    client = client_of(profile)
    check_login(client)
    client.get_access_token()  # which site it is for does not matter
    token_set = client.current()
    assert token_set is not None  # noqa: S101 - it has just been handed out
    return token_set
