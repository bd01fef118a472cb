"""atlassian-python-api and Jira Cloud: it takes a session of ours.

Runs offline, against a local Atlassian. For your own site leave the emulator out and put in what
the comments say.
"""

import requests
from atlassian import Jira

import atlassian_auth_adapter as adapter
from atlassian_auth_adapter.testing import AtlassianEmulator

with AtlassianEmulator() as emulator, requests.Session() as session:
    cloud = emulator.cloud
    hosts = adapter.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    client = adapter.create_atlassian_oauth_client(
        cloud.app.client_id,  # your app's, from developer.atlassian.com
        cloud.app.client_secret,
        cloud.app.callback_url,
        site_url=cloud.sites[0].url,  # "https://acme.atlassian.net"
        cloud=hosts,  # leave this out
        scopes=adapter.scope_set("jira", "read"),
    )
    url = client.oauth_start()
    redirect = cloud.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
    client.oauth_complete(redirect)

    session.auth = adapter.AtlassianAuth(client)
    jira = Jira(client.site_url, session=session, cloud=True)
    issues = jira.enhanced_jql_get_list_of_tickets("project = ACME")
    print(f"I am {jira.myself()['displayName']}.")
    print("Issues:", len(issues))
