"""A service account and Jira Cloud: nobody signs in, and there is no refresh token to keep.

    python service_account.py

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID and
ATLASSIAN_CLIENT_SECRET of the account's credential, and ATLASSIAN_SITE_URL; for Data Center
ATLASSIAN_SERVER_URL.
"""

import os

import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

if "ATLASSIAN_CLIENT_ID" not in os.environ:
    local = AtlassianEmulator().cloud
    os.environ |= local.environ(local.service_account)

client = atlassian.atlassian_service_account_client_from_env()
with requests.Session() as session:
    session.auth = atlassian.AtlassianAuth(client)
    me = session.get(f"{client.base_url}/rest/api/2/myself").json()
    print(f"I am {me['displayName']}.")
    print("Time zone:", me["timeZone"])
