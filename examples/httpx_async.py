"""httpx and Jira Cloud, async: tasks share one auth object and one login.

    python httpx_async.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import asyncio
import os

import httpx

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

client = atlassian.atlassian_oauth_client_from_env(scopes=atlassian.scope_set("jira", "read"))
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)


async def show() -> None:
    auth = atlassian.AtlassianHTTPXAuth(client)
    async with httpx.AsyncClient(auth=auth, base_url=client.base_url) as jira:
        paths = ("myself", "serverInfo", "project/search")
        answers = await asyncio.gather(*(jira.get(f"/rest/api/3/{path}") for path in paths))
    me, server, projects = (answer.json() for answer in answers)
    print(f"I am {me['displayName']} at {server['baseUrl']}.")
    print("Projects:", ", ".join(project["name"] for project in projects["values"]))


asyncio.run(show())  # or trio.run(show), without asyncio.gather
