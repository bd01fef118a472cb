"""`python -m atlassian_auth_adapter.testing.emulator`: runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from . import Emulator
from .accounts import App
from .flavour import Flavour


def describe(emulator: Emulator) -> dict[str, Any]:
    """Everything that a client needs to log in here."""
    cloud, server, bitbucket = emulator.cloud, emulator.data_center, emulator.bitbucket
    query = {
        "audience": cloud.audience,
        "client_id": cloud.app.client_id,
        "scope": "read:jira-user read:jira-work offline_access",
        "redirect_uri": cloud.app.callback_url,
        "state": "demo",
        "response_type": "code",
        "prompt": "consent",
    }
    return {
        "cloud": {
            "auth_url": cloud.auth_url,
            "api_url": cloud.api_url,
            "audience": cloud.audience,
            **_app(cloud),
            "environ": cloud.environ(),
            "sites": [{"id": s.id, "url": s.url, "name": s.name} for s in cloud.sites],
            "service_account": _credentials(cloud.service_account),
            "email": cloud.email,
            "api_token": cloud.api_token,
            "authorization_url": f"{cloud.auth_url}/authorize?" + urlencode(query, quote_via=quote),
        },
        "data_center": {
            "url": server.url,
            **_app(server),
            "service_account": _credentials(server.service_account),
            "personal_access_token": server.personal_access_token,
        },
        "bitbucket": {
            "auth_url": bitbucket.auth_url,
            "api_url": bitbucket.api_url,
            **_app(bitbucket),
        },
        "trello": {
            "auth_url": emulator.trello.auth_url,
            "api_url": emulator.trello.api_url,
            "audience": emulator.trello.audience,
            **_app(emulator.trello),
        },
        "foreign_url": emulator.foreign_url,
    }


def _credentials(app: App) -> dict[str, str]:
    return {"client_id": app.client_id, "client_secret": app.client_secret}


def _app(flavour: Flavour) -> dict[str, str]:
    return {**_credentials(flavour.app), "callback_url": flavour.app.callback_url}


def _text(facts: dict[str, Any]) -> str:
    cloud, server, bitbucket = facts["cloud"], facts["data_center"], facts["bitbucket"]
    sites = [("site", f"{s['url']}  ({s['name']}, {s['id']})") for s in cloud["sites"]]
    first = cloud["sites"][0] if cloud["sites"] else {"id": "CLOUD_ID", "url": ""}
    token = f"{server['personal_access_token']}  (personal)"
    myself = f"{cloud['api_url']}/ex/jira/{first['id']}/rest/api/3/myself"
    return f"""\
Atlassian emulator: test servers on this machine. No data in them is real.

Cloud
{_rows(*_hosts(cloud), *sites, *_registration(cloud))}
Data Center
{_rows(("server", server["url"]), *_registration(server), ("access token", token))}
Bitbucket Cloud
{_rows(*_hosts(bitbucket), *_registration(bitbucket))}
Trello
{_rows(*_hosts(facts["trello"]), *_registration(facts["trello"]))}

{_command(facts)}
For a program of yours that calls atlassian_oauth_client_from_env(), in another terminal:
{_exports(cloud["environ"])}

Or by hand, with a browser, which ends at the callback URL; the code is in the address:
  {cloud["authorization_url"]}
Or without one, as the service account:
  curl -s {cloud["auth_url"]}/oauth/token -d grant_type=client_credentials \\
    -d client_id={cloud["service_account"]["client_id"]} \\
    -d client_secret={cloud["service_account"]["client_secret"]}
Then:
  curl -H "Authorization: Bearer ACCESS_TOKEN" {myself}

Press Ctrl-C to stop it."""


def _exports(variables: Mapping[str, str]) -> str:
    return "\n".join(f"  export {name}={shlex.quote(text)}" for name, text in variables.items())


#: The first port may be this one at most: each host takes the next.
LAST_PORT = 65000
#: What the profile of the command asks for.
SCOPES = ("read:jira-user", "read:jira-work", "offline_access")


def profile(facts: dict[str, Any]) -> dict[str, Any]:
    """A profile of the command for this Cloud, by the keys of profiles.toml."""
    cloud = facts["cloud"]
    return {
        "client_id": cloud["client_id"],
        "callback_url": cloud["callback_url"],
        "site_url": cloud["sites"][0]["url"] if cloud["sites"] else "",
        "scopes": SCOPES,
        "store": "file",
        "cloud": {name: cloud[name] for name in ("auth_url", "api_url", "audience")},
    }


def _command(facts: dict[str, Any]) -> str:
    """How to sign in with the command: the profile is saved, or has to be written."""
    if saved := facts.get("saved_profile"):
        return (
            "The profile is saved. To log in, in another terminal:\n"
            f"  atlassian-auth login --profile {shlex.quote(saved)}\n"
            "  atlassian-auth api /rest/api/3/myself --profile "
            f"{shlex.quote(saved)}\n"
        )
    table = profile(facts)
    hosts = table.pop("cloud")
    lines = [f"  {key} = {json.dumps(value)}" for key, value in table.items()]
    lines += ["  [emulator.cloud]", *(f'  {key} = "{value}"' for key, value in hosts.items())]
    return "\n".join(
        (
            "To log in with the command, in another terminal:",
            "start this with --save-profile: atlassian-auth emulator --save-profile. Or put this",
            "into profiles.toml and the client secret above into ATLASSIAN_CLIENT_SECRET, then run",
            "  atlassian-auth login --profile emulator",
            "  [emulator]",
            *lines,
            "",
        )
    )


def fix_secrets(emulator: Emulator) -> None:
    """The client secrets are the same whenever the emulator is started: a saved profile works on.

    They are no secrets then, and need not be: everything is on this machine, and made up.
    """
    for flavour in emulator.flavours:
        for app in (flavour.app, flavour.service_account):
            if app.client_secret:  # else it is a public client
                app.client_secret = f"emulator-secret-of-{app.client_id}"


def _rows(*rows: tuple[str, str]) -> str:
    return "\n".join(f"  {name:<15}{value}" for name, value in rows)


def _hosts(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("auth", facts["auth_url"]), ("api", facts["api_url"])]


def _registration(app: Mapping[str, str]) -> list[tuple[str, str]]:
    names = ("client id", "client secret", "callback URL")
    return [(name, app[name.lower().replace(" ", "_")]) for name in names]


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("give a number from 0 on")
    return int(text)


def _port(text: str) -> int:
    """A first port, with room for those of the other hosts."""
    if (number := _number(text)) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"choose one from 1 to {LAST_PORT}")
    return number


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong with a command line by `refuse`, where that is given."""

    refuse: Callable[[str], NoReturn] | None = None

    def error(self, message: str) -> NoReturn:
        if self.refuse:
            self.refuse(message)
        super().error(message)


def _parser(prog: str, *, may_save: bool) -> _Parser:
    parser = _Parser(
        prog=prog,
        description="Runs a local Atlassian (Cloud, Data Center, Bitbucket, Trello) for logins.",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=0,
        help="first port; the hosts take the next ones, and the client secrets are the same each "
        "time (default: any)",
    )
    parser.add_argument(
        "--sites", type=_number, default=1, help="number of Cloud sites (default: 1)"
    )
    parser.add_argument(
        "--context-path", default="/jira", help="path of the Data Center server (default: /jira)"
    )
    parser.add_argument(
        "--access-token-lifetime",
        type=float,
        metavar="SECONDS",
        help="for every flavour (default: 3600; Bitbucket Cloud 7200)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    if may_save:
        parser.add_argument(
            "--save-profile",
            nargs="?",
            const="emulator",
            metavar="NAME",
            help="save a profile of the command for this Cloud (default name: emulator)",
        )
    return parser


def main(
    argv: Sequence[str] | None = None,
    *,
    prog: str = "python -m atlassian_auth_adapter.testing.emulator",
    save: Callable[[str, dict[str, Any], str], object] | None = None,
    refuse: Callable[[str], NoReturn] | None = None,
) -> int:
    """Run until SIGINT or SIGTERM, then return 0.

    With `save` there is the option --save-profile: it is called with a name, a profile as of
    `profile()`, and the client secret. `refuse` raises for a wrong command line; without it the
    process ends with 2.
    """
    parser = _parser(prog, may_save=bool(save))
    parser.refuse = refuse
    options = parser.parse_args(argv)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    try:
        started = Emulator(
            sites=options.sites, context_path=options.context_path, port=options.port
        )
    except OSError as error:
        parser.error(f"cannot listen at the ports from {options.port} on: {error.strerror}")
    with started as emulator:
        if options.port:
            fix_secrets(emulator)
        if options.access_token_lifetime is not None:
            for flavour in emulator.flavours:
                flavour.access_token_lifetime = options.access_token_lifetime
        facts = describe(emulator)
        if save and options.save_profile:
            facts["saved_profile"] = options.save_profile
            save(options.save_profile, profile(facts), facts["cloud"]["client_secret"])
        sys.stdout.write((json.dumps(facts) if options.json else _text(facts)) + "\n")
        sys.stdout.flush()
        while not done.wait(1.0):  # with a timeout: on Windows a bare wait ignores Ctrl-C
            pass
    if not options.json:
        sys.stdout.write("The emulator has stopped. Its logins have ended with it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
