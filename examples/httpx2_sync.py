"""httpx2 and Confluence Cloud.

    python httpx2_sync.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import os

import httpx2

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

client = atlassian.atlassian_oauth_client_from_env(
    product="confluence", scopes=atlassian.scope_set("confluence", "read")
)
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)

auth = atlassian.AtlassianHTTPX2Auth(client)
with httpx2.Client(auth=auth, base_url=client.base_url) as confluence:
    me = confluence.get("/wiki/rest/api/user/current").json()
    spaces = confluence.get("/wiki/api/v2/spaces").json()
    print(f"I am {me['displayName']}.")
    print("Spaces:", ", ".join(space["name"] for space in spaces["results"]))
