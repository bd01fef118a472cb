"""`atlassian-auth login`: makes a profile, signs in, and shows the account."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, get_args

import click

from atlassian_auth_adapter.atlassian.gateway import is_cloud_host
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.products import PRODUCTS, product_named
from atlassian_auth_adapter.atlassian.scopes import ScopeSetName, scope_set
from atlassian_auth_adapter.atlassian.sites import cloud_id_of
from atlassian_auth_adapter.cli.identity import missing_scopes
from atlassian_auth_adapter.cli.registration import SETS_OF, registration, where_registered
from atlassian_auth_adapter.cli.status import facts_of, print_status
from atlassian_auth_adapter.cli.terminal import (
    json_option,
    profile_option,
    say,
    show,
    text_of_option,
)
from atlassian_auth_adapter.cli.words import sign_in
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.clients.environment import (
    PLACE_ARGUMENTS,
    VARIABLES,
    arguments_from_env,
    has_client_secret,
    text_of,
)
from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.clients.places import Place
from atlassian_auth_adapter.clients.texts import one_line
from atlassian_auth_adapter.errors import (
    AmbiguousSiteError,
    AtlassianAuthError,
    ConfigurationError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.profiles.client import client_of, in_use, with_variables
from atlassian_auth_adapter.profiles.directories import TOKEN_DIRECTORY
from atlassian_auth_adapter.profiles.file import chosen_name, profiles, save_profile
from atlassian_auth_adapter.profiles.profile import Profile, StoreName
from atlassian_auth_adapter.profiles.secrets import client_secret_of, drop_secret, keep_secret
from atlassian_auth_adapter.profiles.stores import choose_store, place_in
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.signin.login import login
from atlassian_auth_adapter.signin.terminal import pasted_lines
from atlassian_auth_adapter.transport import Transport

__all__ = ["command"]

#: The default callback URL; register it for the app.
CALLBACK_URL = "http://localhost:8080/callback"


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


_text_option = partial(click.option, callback=text_of_option)


@click.command(cls=_Login)
@profile_option
@json_option
@_text_option("--site", "site_url", metavar="URL", help="Cloud: https://acme.atlassian.net.")
@_text_option("--cloud-id", metavar="ID", help="Cloud, in place of --site.")
@_text_option("--server", "server_url", metavar="URL", help="Data Center, context path included.")
@click.option("--product", type=click.Choice([*PRODUCTS]))
@_text_option("--client-id", metavar="ID", help="Of the OAuth 2.0 app or application link.")
@_text_option("--callback-url", metavar="URL", help=f"As registered. Default: {CALLBACK_URL}")
@_text_option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Repeat it for each scope.")
@click.option(
    "--scopes",
    "scope_sets",
    multiple=True,
    type=click.Choice(get_args(ScopeSetName)),
    help="A named set of scopes, on Jira and Confluence Cloud. Repeat it for more.",
)
@_text_option(
    "--gateway-path",
    "gateway_paths",
    multiple=True,
    metavar="PATH",
    help="Cloud: a further API of the gateway, such as /graphql. Repeat it for more.",
)
@click.option("--store", type=click.Choice(get_args(StoreName)), help="Where the login is kept.")
@click.option("--new-secret", is_flag=True, help="Ask for the client secret again.")
@click.option("--service-account", is_flag=True, help="Use client credentials, no person.")
@click.option("--no-browser", is_flag=True, help="Show the URL only; open it where you want.")
@click.option("--paste", is_flag=True, help="Do not wait for the browser: paste its address.")
@click.option("--timeout", type=click.IntRange(min=1), default=300, metavar="SECONDS")
def command(
    name: str,
    as_json: bool,
    new_secret: bool,
    service_account: bool,
    no_browser: bool,
    paste: bool,
    timeout: int,
    scope_sets: tuple[ScopeSetName, ...],
    **options: Any,
) -> None:
    """Sign in with the browser, or as a service account.

    The first time it says what has to be registered, makes the profile and asks for what is
    missing. Scopes have to be added to the app before they are asked for; --scopes has the usual
    ones. The client secret is asked for, or taken from $ATLASSIAN_CLIENT_SECRET; it is never an
    option.
    """
    given = {key: value for key, value in options.items() if value}
    if service_account:
        given["flow"] = "client_credentials"
    _check_variables(given | ({"scopes": ()} if scope_sets else {}))
    known = profiles()
    before = known.get(chosen_name(name, known), Profile(chosen_name(name, known)))
    # Tried before anything is asked for: a login that cannot be stored must not be fetched.
    given["store"] = _working_store(before, given.get("store"))
    profile = _answered(before, given, scope_sets)
    is_asked = new_secret or (not before.client_id and _may_be_public(profile))
    _keep_secret(profile, ask=is_asked)
    client = client_of(profile)
    if isinstance(client, AtlassianOAuthClient):
        _sign_in(client, open_browser=not no_browser, receive=not paste, timeout=timeout)
    _leave(before, save_profile(profile))
    profile, client = _at_a_site(profile, client)
    _tell(profile, client, as_json)


def _tell(profile: Profile, client: AtlassianClient, as_json: bool) -> None:
    """Who has signed in; a login that may not ask for it is a login all the same."""
    missing = missing_scopes(client)
    identity = None if missing else client.test_connection()
    facts = facts_of(profile, client) | {
        "identity": identity.id if identity else "",
        "name": identity.name if identity else "",
        "missing_scopes": missing.split(),
    }

    def human() -> None:
        who = f" as {identity.name or identity.id}" if identity else ""
        say(f"Signed in{who}.", style="bold green")
        if missing:
            say(
                f"Whose login it is cannot be told without the scope {missing}. To see it, add "
                "that scope to the app and to those that you ask for, and sign in again: "
                f"{sign_in(profile.name)} --scope ... (once for each scope). Other requests work."
            )
        print_status(facts)

    show(facts, as_json, human)


def _check_variables(given: dict[str, Any]) -> None:
    """Raise if a variable of the environment contradicts an option, over which it would win."""
    for variable, (argument, _) in VARIABLES.items():
        text = text_of(variable)
        place_given = bool(PLACE_ARGUMENTS & given.keys())
        if argument not in given and not (argument in PLACE_ARGUMENTS and place_given):
            continue
        value = given.get(argument, "")
        if variable == TOKEN_DIRECTORY:
            is_same = value == "file"
        else:
            is_same = text.split() == (list(value) if isinstance(value, tuple) else value.split())
        if text and not is_same:  # the scopes of a named set count as others
            raise click.UsageError(
                f"{variable} is set to something else than the option says, and wins over the "
                "profile. Unset it, or leave the option out."
            )


def _working_store(before: Profile, wanted: StoreName | None) -> StoreName:
    """The store of the profile, tried out; also the directory that a variable names."""
    name = choose_store(wanted or before.store)
    used = in_use(before).store
    if used and used != name and text_of(TOKEN_DIRECTORY):
        choose_store(used)
    return name


def _answered(
    before: Profile, given: dict[str, Any], scope_sets: tuple[ScopeSetName, ...]
) -> Profile:
    """The profile with the options, and with the answers to what is missing. Answers are kept."""
    profile = before
    if PLACE_ARGUMENTS & given.keys():  # they replace the place as a whole
        profile = profile._replace(cloud_id="", site_url="", server_url="")
    profile = profile._replace(**given)
    # The secret is kept under the client id, so that of the environment is kept too.
    profile = profile._replace(client_id=profile.client_id or text_of("ATLASSIAN_CLIENT_ID"))
    is_person = profile.flow == "authorization_code"
    if is_person and not with_variables(profile).callback_url:
        profile = profile._replace(callback_url=CALLBACK_URL)
    is_new, is_told = not profile.client_id, not is_person
    if not _has_place(profile):
        _need_terminal("--site or --server")
        if is_person:
            _say_registration(profile, None)
        is_told, profile = True, _with_place(profile)
    place = place_in(with_variables(profile).arguments())  # an invalid one is refused now
    if not (is_person or place.server.client_grants):
        raise click.UsageError(
            f"{place.product.name} has no service accounts: a person signs in. Leave "
            "--service-account out, or choose another --product."
        )
    profile = _with_scope_sets(profile, place, scope_sets, given.get("scopes", ()))
    if is_new:
        _need_terminal("--client-id")
    _try_place(place)
    if not is_told and (is_new or scope_sets or not _has_secret(profile)):
        _say_registration(profile, place)
    if is_new:
        where = where_registered(place)
        question = f"Client id, from {where.credentials}" if is_person else "Client id"
        profile = profile._replace(client_id=_ask(question, "--client-id"))
    save_profile(_kept(before, profile))
    return profile


def _has_place(profile: Profile) -> bool:
    used = with_variables(profile)
    is_given = {"cloud", *PLACE_ARGUMENTS} & used.arguments().keys()
    return bool(is_given or product_named(used.product).own_cloud)


def _with_place(profile: Profile) -> Profile:
    url = _ask("Site or server (https://acme.atlassian.net)", "--site or --server")
    is_cloud = is_cloud_host(Location.of(url).host)
    return profile._replace(site_url=url) if is_cloud else profile._replace(server_url=url)


def _with_scope_sets(
    profile: Profile, place: Place, sets: tuple[ScopeSetName, ...], more: Iterable[str]
) -> Profile:
    if not sets:
        return profile
    if place.kind != "cloud_site" or profile.flow != "authorization_code":
        raise click.UsageError(
            "--scopes is for people who sign in to Jira or Confluence Cloud. Repeat --scope, "
            "or for a service account choose the scopes when it is made."
        )
    named = scope_set(place.product.name, *sets)
    return profile._replace(scopes=tuple(dict.fromkeys((*named, *more))))


def _say_registration(profile: Profile, place: Place | None) -> None:
    used = with_variables(profile)
    product = product_named(used.product)
    say(registration(product, place, used.callback_url, used.scopes) + "\n", stderr=True)


def _try_place(place: Place) -> None:
    """Ask the hosts of the place whether they are there, before a person answers questions.

    Raises:
        ConfigurationError: The URL is not that of a site.
        ResourceUnavailableError: There is no answer.
    """
    settings = arguments_from_env({})
    transport = Transport(settings.get("verify", True), settings.get("proxy"))
    transport.get(place.server.issuer, accept="*/*")
    if place.site.url:
        try:
            cloud_id_of(transport, place.site.url)
        except ResourceUnavailableError as error:
            if error.status is None:  # else the site does not tell it here, and the login may
                raise


def _ask(question: str, option: str) -> str:
    return one_line(click.prompt(question, err=True), option)


def _need_terminal(option: str) -> None:
    if not _has_terminal():
        raise click.UsageError(f"{option} is missing, and there is no terminal to ask for it.")


def _has_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty())


def _may_be_public(profile: Profile) -> bool:
    """Whether only the person knows if there is a client secret: it is asked for once."""
    server = place_in(with_variables(profile).arguments()).server
    return server.public_clients and _has_terminal() and not has_client_secret()


def _has_secret(profile: Profile) -> bool:
    """Whether its client secret is kept, or comes from the environment."""
    try:
        client_secret_of(with_variables(profile))
    except ConfigurationError:
        return False
    return True


def _keep_secret(profile: Profile, *, ask: bool) -> None:
    """Keep the client secret; ask for it if it is not known yet."""
    if ask and not _has_terminal():
        raise click.UsageError("--new-secret needs a terminal to ask for the secret.")
    if not ask and (_has_secret(profile) or not _has_terminal()):
        client_secret_of(with_variables(profile))  # raises if it is not known
        return
    has_none = place_in(with_variables(profile).arguments()).server.public_clients
    answer: str = click.prompt(
        f"Client secret (not shown{'; Enter alone for a public client' * has_none})",
        default="" if has_none else None,
        show_default=False,
        hide_input=True,
        err=True,
    )
    if answer:
        keep_secret(with_variables(profile), SecretText(one_line(answer, "client_secret")))


def _kept(before: Profile, profile: Profile) -> Profile:
    """The profile as it is saved before the sign-in: with the store that has its login."""
    return profile._replace(store=before.store or profile.store)


def _leave(before: Profile, profile: Profile) -> None:
    """Forget what another store has kept for the profile, now that the new one has a login."""
    if before.store in ("", profile.store):
        return
    with suppress(AtlassianAuthError):  # the store may be the one that does not work
        old = client_of(before)
        if old.server_url:  # a revocation on Cloud could end the new login as well
            with suppress(AtlassianAuthError):
                old.revoke()
        old.forget()
    with suppress(AtlassianAuthError):
        drop_secret(with_variables(before), profiles().values())


def _sign_in(
    client: AtlassianOAuthClient, *, open_browser: bool, receive: bool, timeout: int
) -> None:
    say("If the browser shows an error page, press Ctrl-C to read what it means.", stderr=True)
    with pasted_lines() as paste:
        login(
            client,
            open_browser=open_browser,
            receive=receive,
            paste=paste,
            timeout=timeout,
            tell=lambda text: say(text, stderr=True, whole=True),
        )


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
        profile = save_profile(profile._replace(cloud_id=chosen.id, site_url=chosen.url))
        client = client_of(profile)
    return profile, client
