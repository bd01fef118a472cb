"""The SDK `jira` and Jira Cloud: search, create, attach, download.

Runs offline, against a local Atlassian. For your own site leave the emulator out and put in what
the comments say.
"""

import io

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.sdk.jira import jira_client
from atlassian_auth_adapter.testing import AtlassianEmulator

with AtlassianEmulator() as emulator:
    cloud = emulator.cloud
    hosts = atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    client = atlassian.create_atlassian_oauth_client(
        cloud.app.client_id,  # your app's, from developer.atlassian.com
        cloud.app.client_secret,
        cloud.app.callback_url,
        site_url=cloud.sites[0].url,  # "https://acme.atlassian.net"
        cloud=hosts,  # leave this out
        scopes=atlassian.scope_set("jira", "write"),
    )
    url = client.oauth_start()
    redirect = cloud.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
    client.oauth_complete(redirect)

    jira = jira_client(client)
    issues = jira.search_issues("project = ACME", maxResults=False)
    issue = jira.create_issue(project="ACME", summary="New", issuetype={"name": "Task"})
    note = jira.add_attachment(issue, io.BytesIO(b"A note"), "note.txt")
    print(f"I am {jira.myself()['displayName']}.")
    print("Issues:", len(issues))
    print("Attached:", note.get().decode())
    jira.close()
