"""The SDK `jira` and Jira Cloud: search, create, attach, download, in the project of PROJECT.

    python jira_sdk.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback) and
ATLASSIAN_SITE_URL; with ATLASSIAN_TOKEN_DIRECTORY the next run need not sign in.
"""

import io
import os

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

client = atlassian.atlassian_oauth_client_from_env(scopes=atlassian.scope_set("jira", "write"))
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)

project = os.getenv("PROJECT", "ACME")
jira = jira_client(client)
issues = jira.search_issues(f"project = {project}", maxResults=False)
issue = jira.create_issue(project=project, summary="New", issuetype={"name": "Task"})
note = jira.add_attachment(issue, io.BytesIO(b"A note"), "note.txt")
print(f"I am {jira.myself()['displayName']}.")
print("Issues:", len(issues))
print("Attached:", note.get().decode())
jira.close()
