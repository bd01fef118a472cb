"""An MCP server of your own, over stdio: its tool searches issues of Jira Cloud.

    python mcp_server.py       (as the command of a server in an MCP client)

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
_CLIENT_SECRET, _SITE_URL, _TOKEN_DIRECTORY and _CALLBACK_URL (http://localhost:8080/callback).
"""

import os

import httpx
from mcp.server import MCPServer

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

client = atlassian.atlassian_oauth_client_from_env(scopes=atlassian.scope_set("jira", "read"))
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)  # the browser opens; what it tells goes to standard error

server = MCPServer("issues")


@server.tool()
async def search(jql: str) -> list[str]:
    """Keys and summaries of the issues that a JQL query finds, the first 50."""
    query = {"jql": jql, "fields": "summary", "maxResults": 50}
    auth = atlassian.AtlassianHTTPXAuth(client)
    async with httpx.AsyncClient(auth=auth, base_url=client.base_url) as jira:
        answer = (await jira.get("/rest/api/3/search/jql", params=query)).raise_for_status()
    return [f"{issue['key']} {issue['fields']['summary']}" for issue in answer.json()["issues"]]


server.run()
