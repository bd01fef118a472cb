"""requests and Jira Cloud: one line, and every request of a session carries a valid token.

    python requests_session.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import os

import requests

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

with requests.Session() as session:
    session.auth = atlassian.AtlassianAuth(client)

    me = session.get(f"{client.base_url}/rest/api/3/myself").json()
    projects = session.get(f"{client.base_url}/rest/api/3/project/search").json()
    print(f"I am {me['displayName']}.")
    print("Projects:", ", ".join(project["name"] for project in projects["values"]))
