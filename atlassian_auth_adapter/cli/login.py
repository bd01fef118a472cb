"""`atlassian-auth login`: makes a profile, signs in, and shows the account."""

from __future__ import annotations

import itertools
import logging
import sys
import textwrap
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import click

from atlassian_auth_adapter.atlassian.gateway import Location, is_cloud_host
from atlassian_auth_adapter.atlassian.products import PRODUCTS, product_named
from atlassian_auth_adapter.atlassian.scopes import ScopeSetName, scope_set
from atlassian_auth_adapter.cli.status import facts_of, print_status
from atlassian_auth_adapter.cli.terminal import (
    json_option,
    profile_option,
    say,
    show,
    text_of_option,
)
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.environment import PLACE_ARGUMENTS, has_client_secret, text_of
from atlassian_auth_adapter.clients.oauth import (
    MANY_SCOPES,
    NO_REFRESH_TOKEN,
    NOT_GRANTED,
    AtlassianOAuthClient,
)
from atlassian_auth_adapter.clients.places import Place
from atlassian_auth_adapter.clients.texts import one_line
from atlassian_auth_adapter.errors import AmbiguousSiteError, ConfigurationError
from atlassian_auth_adapter.events import Event, logger
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import chosen_name, profiles, save_profile
from atlassian_auth_adapter.profiles.profile import Profile, StoreName
from atlassian_auth_adapter.profiles.stores import choose_store, client_secret_of, place_in
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.signin.login import login
from atlassian_auth_adapter.signin.terminal import pasted_lines

__all__ = ["command"]

#: The default callback URL; register it for the app.
CALLBACK_URL = "http://127.0.0.1:8765/callback"
#: Products that have named sets of scopes.
SETS_OF = ("jira", "confluence")
#: Hints of the events that `signin.login` tells the person in words.
TOLD = (MANY_SCOPES, NOT_GRANTED, NO_REFRESH_TOKEN)


class _Login(click.Command):
    """Lists the named sets of scopes in its help."""

    def format_epilog(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        width = formatter.width - 4
        with formatter.section("Named sets of scopes, by --product and --scopes"):
            for product, name in itertools.product(SETS_OF, get_args(ScopeSetName)):
                scopes = " ".join(scope_set(product, name))
                lines = textwrap.wrap(scopes, width, break_on_hyphens=False)  # they are copied
                formatter.write(f"  {product} {name}\n")
                formatter.write("".join(f"    {line}\n" for line in lines))


text_option = partial(click.option, callback=text_of_option)


@click.command(cls=_Login)
@profile_option
@json_option
@text_option("--site", "site_url", metavar="URL", help="Cloud: https://acme.atlassian.net.")
@text_option("--cloud-id", metavar="ID", help="Cloud, in place of --site.")
@text_option("--server", "server_url", metavar="URL", help="Data Center, context path included.")
@click.option("--product", type=click.Choice([*PRODUCTS]))
@text_option("--client-id", metavar="ID", help="Of the OAuth 2.0 app or application link.")
@text_option("--callback-url", metavar="URL", help=f"As registered. Default: {CALLBACK_URL}")
@text_option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Repeat it for each scope.")
@click.option(
    "--scopes",
    "scope_sets",
    multiple=True,
    type=click.Choice(get_args(ScopeSetName)),
    help="A named set of scopes, on Jira and Confluence Cloud. Repeat it for more.",
)
@click.option("--store", type=click.Choice(get_args(StoreName)), help="Where the login is kept.")
@click.option("--new-secret", is_flag=True, help="Ask for the client secret again.")
@click.option("--service-account", is_flag=True, help="Use client credentials, no person.")
@click.option("--no-browser", is_flag=True, help="Show the URL only, and paste the redirect.")
@click.option("--timeout", type=click.IntRange(min=1), default=300, metavar="SECONDS")
def command(
    name: str,
    as_json: bool,
    new_secret: bool,
    service_account: bool,
    no_browser: bool,
    timeout: int,
    scope_sets: tuple[ScopeSetName, ...],
    **options: Any,
) -> None:
    """Sign in with the browser, or as a service account.

    The first time it makes the profile and asks for what is missing. Scopes have to be added to the
    app before they are asked for; --scopes has the usual ones. The client secret is asked for, or
    taken from $ATLASSIAN_CLIENT_SECRET; it is never an option.
    """
    if service_account:
        options["flow"] = "client_credentials"
    profile = _profile(name, {key: value for key, value in options.items() if value}, scope_sets)
    # Tried out before the person signs in: a login that cannot be stored must not be fetched.
    profile = replace(profile, store=choose_store(profile.store))
    profile = save_profile(profile, _secret_for(profile, ask=new_secret or _may_be_public(profile)))
    client = client_of(profile)
    if isinstance(client, AtlassianOAuthClient):
        _sign_in(client, open_browser=not no_browser, timeout=timeout)
    profile, client = _at_a_site(profile, client)
    identity = client.test_connection()
    facts = facts_of(profile, client) | {"identity": identity.id, "name": identity.name}

    def human() -> None:
        say(f"Signed in as {identity.name or identity.id}.", style="bold green")
        print_status(facts)

    show(facts, as_json, human)


def _profile(
    name: str, given: dict[str, Any], scope_sets: tuple[ScopeSetName, ...] = ()
) -> Profile:
    """The profile with the options, and with the answers to what is missing."""
    known = profiles()
    chosen = chosen_name(name, known)
    profile = known.get(chosen, Profile(chosen))
    if PLACE_ARGUMENTS & given.keys():  # they replace the place as a whole
        profile = replace(profile, cloud_id="", site_url="", server_url="")
    profile = replace(profile, **given)
    has_place = {"cloud", *PLACE_ARGUMENTS} & profile.arguments().keys()
    if not (has_place or product_named(profile.product).own_cloud):
        url = _ask("Site or server (https://acme.atlassian.net)", "--site or --server")
        is_cloud = is_cloud_host(Location.of(url).host)
        profile = replace(profile, site_url=url) if is_cloud else replace(profile, server_url=url)
    place = place_in(profile.arguments())  # an invalid one is refused before it is saved
    if profile.flow == "client_credentials" and not place.server.client_grants:
        raise click.UsageError(
            f"{place.product.name} has no service accounts: a person signs in. Leave "
            "--service-account out, or choose another --product."
        )
    if scope_sets:
        profile = _with_sets(profile, place, scope_sets, given.get("scopes", ()))
    if not profile.client_id:  # the secret is kept under it, so that of the environment is kept too
        client_id = text_of("ATLASSIAN_CLIENT_ID")
        where = place.server.registered_at
        client_id = client_id or _ask(f"Client id, from {where}", "--client-id")
        profile = replace(profile, client_id=client_id)
    if not profile.callback_url and profile.flow == "authorization_code":
        profile = replace(profile, callback_url=CALLBACK_URL)
        say(f"Register {CALLBACK_URL} as the callback URL of the app.", stderr=True)
    return profile


def _with_sets(
    profile: Profile, place: Place, names: tuple[ScopeSetName, ...], more: tuple[str, ...]
) -> Profile:
    """The profile with the scopes of named sets and more; says which ones the app has to have."""
    if place.kind != "cloud_site" or profile.flow != "authorization_code":
        raise click.UsageError(
            "--scopes is for people who sign in to Jira or Confluence Cloud. Repeat --scope, "
            "or for a service account choose the scopes when it is made."
        )
    scopes = tuple(dict.fromkeys((*scope_set(profile.product, *names), *more)))
    added = " ".join(scope for scope in scopes if scope != place.server.refresh_token_scope)
    say(f"Add these scopes to the app, under Permissions: {added}", stderr=True)
    return replace(profile, scopes=scopes)


def _ask(question: str, option: str) -> str:
    if not _has_terminal():
        raise click.UsageError(f"{option} is missing, and there is no terminal to ask for it.")
    return one_line(click.prompt(question, err=True), option)


def _has_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty())


def _may_be_public(profile: Profile) -> bool:
    """Whether only the person knows if there is a client secret: it is asked for once."""
    server = place_in(profile.arguments()).server
    is_known = has_client_secret() or profile.name in profiles() or not _has_terminal()
    return server.public_clients and not is_known


def _secret_for(profile: Profile, *, ask: bool) -> str:
    """The client secret to keep; "" when one is kept, comes from the environment, or is missing."""
    if not ask:
        try:
            client_secret_of(profile)
        except ConfigurationError:
            if not _has_terminal():
                raise
        else:
            return ""
    elif not _has_terminal():
        raise click.UsageError("--new-secret needs a terminal to ask for the secret.")
    has_none = place_in(profile.arguments()).server.public_clients
    secret: str = click.prompt(
        f"Client secret (not shown{'; Enter alone for a public client' * has_none})",
        default="" if has_none else None,
        show_default=False,
        hide_input=True,
        err=True,
    )
    return SecretText(one_line(secret, "client_secret")) if secret else ""


def _sign_in(client: AtlassianOAuthClient, *, open_browser: bool, timeout: int) -> None:
    say("If the browser shows an error page, press Ctrl-C to read what it means.", stderr=True)
    logger.addFilter(_is_not_told)
    try:
        with pasted_lines() as paste:
            login(
                client,
                open_browser=open_browser,
                paste=paste,
                timeout=timeout,
                tell=lambda text: say(text, stderr=True, soft_wrap=True),
            )
    finally:
        logger.removeFilter(_is_not_told)


def _is_not_told(record: logging.LogRecord) -> bool:
    """Whether `login` does not tell the event of a log record in its own words."""
    event = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return not (isinstance(event, Event) and event.fields.get("hint") in TOLD)


def _at_a_site(profile: Profile, client: AtlassianClient) -> tuple[Profile, AtlassianClient]:
    """Profile and client, of the site that the person chooses if the login reaches several."""
    try:
        _ = client.base_url
    except AmbiguousSiteError as error:
        if not _has_terminal():
            raise
        sites = {str(number): site for number, site in enumerate(error.sites, 1)}
        for number, site in sites.items():
            say(f"  {number}  {site.url or site.name}", stderr=True)
        chosen = sites[click.prompt("Which site", type=click.Choice(list(sites)), err=True)]
        profile = save_profile(replace(profile, cloud_id=chosen.id, site_url=chosen.url))
        client = client_of(profile)
    return profile, client
