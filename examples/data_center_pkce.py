"""Jira Data Center with PKCE: the login is kept in files, the next process goes on with it.

    python data_center_pkce.py

As it stands it asks a local Jira. For your own server set ATLASSIAN_SERVER_URL,
ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback), ATLASSIAN_TOKEN_DIRECTORY, and
ATLASSIAN_CLIENT_ID and ATLASSIAN_CLIENT_SECRET of the incoming application link.
"""

import os
import tempfile

import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().data_center
directory = tempfile.TemporaryDirectory()
if local:
    os.environ |= local.environ() | {"ATLASSIAN_TOKEN_DIRECTORY": directory.name}

client = atlassian.atlassian_oauth_client_from_env(scopes=["READ"])
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)

with directory, requests.Session() as session:
    session.auth = atlassian.AtlassianAuth(client)
    projects = session.get(f"{client.base_url}/rest/api/2/project").json()
    print(f"I am {client.test_connection().name}.")
    print("Projects:", ", ".join(project["name"] for project in projects))
