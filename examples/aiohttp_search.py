"""aiohttp and Jira Cloud: all pages of a search, in the project that PROJECT names.

    python aiohttp_search.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import asyncio
import os

import aiohttp

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
    auth, url = atlassian.AtlassianAiohttpAuth(client), f"{client.base_url}/rest/api/3/search/jql"
    query, ids = {"jql": f"project = {os.getenv('PROJECT', 'ACME')} order by key"}, []
    async with aiohttp.ClientSession(middlewares=(auth,), raise_for_status=True) as jira:
        while query.get("nextPageToken") != "":
            page = await (await jira.get(url, params=query)).json()
            query["nextPageToken"] = page.get("nextPageToken", "")
            ids += [issue["id"] for issue in page["issues"]]
    print(f"I am {client.test_connection().name}.\nIssues: {len(ids)}")


asyncio.run(show())
