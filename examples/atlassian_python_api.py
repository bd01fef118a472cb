"""atlassian-python-api and Jira Cloud: it takes a session of ours; PROJECT names a project.

    python atlassian_python_api.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import os

import requests
from atlassian import Jira

import atlassian_auth_adapter as adapter
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

client = adapter.atlassian_oauth_client_from_env(scopes=adapter.scope_set("jira", "read"))
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    adapter.login(client)

with requests.Session() as session:
    session.auth = adapter.AtlassianAuth(client)
    jira = Jira(client.site_url, session=session, cloud=True)
    issues = jira.enhanced_jql_get_list_of_tickets(f"project = {os.getenv('PROJECT', 'ACME')}")
    print(f"I am {jira.myself()['displayName']}.")
    print("Issues:", len(issues))
