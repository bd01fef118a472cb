"""`python -m atlassian_auth_adapter.testing.emulator`: runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from . import AtlassianEmulator

_PRODUCT_CALL = "rest/api/3/myself"


def describe(emulator: AtlassianEmulator) -> dict[str, Any]:
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
            "client_id": cloud.app.client_id,
            "client_secret": cloud.app.client_secret,
            "callback_url": cloud.app.callback_url,
            "sites": [{"id": s.id, "url": s.url, "name": s.name} for s in cloud.sites],
            "service_account": {
                "client_id": cloud.service_account.client_id,
                "client_secret": cloud.service_account.client_secret,
            },
            "email": cloud.email,
            "api_token": cloud.api_token,
            "authorization_url": f"{cloud.auth_url}/authorize?" + urlencode(query, quote_via=quote),
        },
        "data_center": {
            "url": server.url,
            "client_id": server.app.client_id,
            "client_secret": server.app.client_secret,
            "callback_url": server.app.callback_url,
            "service_account": {
                "client_id": server.service_account.client_id,
                "client_secret": server.service_account.client_secret,
            },
            "personal_access_token": server.personal_access_token,
        },
        "bitbucket": {
            "auth_url": bitbucket.auth_url,
            "api_url": bitbucket.api_url,
            "client_id": bitbucket.app.client_id,
            "client_secret": bitbucket.app.client_secret,
            "callback_url": bitbucket.app.callback_url,
        },
        "foreign_url": emulator.foreign_url,
    }


def _text(facts: dict[str, Any]) -> str:
    cloud, server, bitbucket = facts["cloud"], facts["data_center"], facts["bitbucket"]
    sites = "\n".join(
        f"  site           {s['url']}  ({s['name']}, {s['id']})" for s in cloud["sites"]
    )
    site = cloud["sites"][0]["id"] if cloud["sites"] else "CLOUD_ID"
    return f"""\
Atlassian emulator: test servers on this machine. No data in them is real.

Cloud
  auth           {cloud["auth_url"]}
  api            {cloud["api_url"]}
{sites}
  client id      {cloud["client_id"]}
  client secret  {cloud["client_secret"]}
  callback URL   {cloud["callback_url"]}
Data Center
  server         {server["url"]}
  client id      {server["client_id"]}
  client secret  {server["client_secret"]}
  callback URL   {server["callback_url"]}
  access token   {server["personal_access_token"]}  (personal)
Bitbucket Cloud
  auth           {bitbucket["auth_url"]}
  api            {bitbucket["api_url"]}
  client id      {bitbucket["client_id"]}
  client secret  {bitbucket["client_secret"]}
  callback URL   {bitbucket["callback_url"]}

Log in with a browser:
  {cloud["authorization_url"]}
Or without one, as the service account:
  curl -s {cloud["auth_url"]}/oauth/token -d grant_type=client_credentials \\
    -d client_id={cloud["service_account"]["client_id"]} \\
    -d client_secret={cloud["service_account"]["client_secret"]}
Then:
  curl -H "Authorization: Bearer ACCESS_TOKEN" {cloud["api_url"]}/ex/jira/{site}/{_PRODUCT_CALL}

Or with the command: put this into profiles.toml and the client secret above into
ATLASSIAN_CLIENT_SECRET, then run atlassian-auth login --profile emulator
  [emulator]
  client_id = "{cloud["client_id"]}"
  callback_url = "{cloud["callback_url"]}"
  site_url = "{cloud["sites"][0]["url"] if cloud["sites"] else ""}"
  scopes = "read:jira-user read:jira-work offline_access"
  store = "file"
  [emulator.cloud]
  auth_url = "{cloud["auth_url"]}"
  api_url = "{cloud["api_url"]}"
  audience = "{cloud["audience"]}"

Press Ctrl-C to stop it."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atlassian_auth_adapter.testing.emulator",
        description="Runs a local Atlassian (Cloud, Data Center, Bitbucket) to try out logins.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="first port; the hosts take the next ones (default: any)",
    )
    parser.add_argument("--sites", type=int, default=1, help="number of Cloud sites (default: 1)")
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
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM, then return 0."""
    options = _parser().parse_args(argv)
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with AtlassianEmulator(
        sites=options.sites, context_path=options.context_path, port=options.port
    ) as emulator:
        if options.access_token_lifetime is not None:
            for flavour in (emulator.cloud, emulator.data_center, emulator.bitbucket):
                flavour.access_token_lifetime = options.access_token_lifetime
        facts = describe(emulator)
        sys.stdout.write((json.dumps(facts) if options.json else _text(facts)) + "\n")
        sys.stdout.flush()
        while not done.wait(1.0):  # with a timeout: on Windows a bare wait ignores Ctrl-C
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
