"""A host platform keeps the login: it has two functions, and calls the program for each command.

    python context_store.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL and ATLASSIAN_SITE_URL.
"""

import os

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

contexts = [{}]  # stands for the platform, which keeps what it was given last


def command(name: str, redirect: str = "") -> str:
    store = atlassian.ContextTokenStore(lambda: dict(contexts[-1]), contexts.append)
    client = atlassian.atlassian_oauth_client_from_env(store=store)
    if name == "start":
        return client.oauth_start()
    if name == "complete":
        client.oauth_complete(redirect)
        return "Signed in."
    return f"I am {client.test_connection().name}."


local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()
url = command("start")
print(
    command("complete", local.authorize(url) if local else input(f"Open {url}\nThen paste: ")),
    command("test"),
    f"Kept: {', '.join(sorted(contexts[-1].keys() & {'token', 'refresh_token', 'valid_until'}))}",
    sep="\n",
)
