"""An audit log collector for Jira Cloud: each run prints the records that are new, one a line.

    python audit_log.py >> audit.jsonl

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
ATLASSIAN_CLIENT_SECRET, ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback),
ATLASSIAN_SITE_URL, ATLASSIAN_TOKEN_DIRECTORY, and in LAST_ID the last id that you have.
"""

import json
import os

import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:
    os.environ |= local.environ()

scopes = atlassian.scope_set("jira", "audit")
client = atlassian.atlassian_oauth_client_from_env(scopes=scopes)
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)

with requests.Session() as session:
    session.auth = atlassian.AtlassianAuth(client)
    url, query = f"{client.base_url}/rest/api/3/auditing/record", {"offset": 0, "limit": 1000}
    records, last = [], int(os.getenv("LAST_ID", "0"))
    while page := session.get(url, params=query).json()["records"]:  # the newest first
        records += (record for record in page if record["id"] > last)
        query["offset"] += len(page)
        if page[-1]["id"] <= last:
            break
    for record in reversed(records):
        print(json.dumps(record))
