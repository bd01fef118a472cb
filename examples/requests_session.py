"""requests and Jira Cloud: one line, and every request of a session carries a valid token.

Runs offline, against a local Atlassian. For your own site leave the emulator out and put in what
the comments say.
"""

import requests

import atlassian_auth_adapter as atlassian
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
        scopes=atlassian.scope_set("jira", "read"),
        # store=atlassian.FileTokenStore("~/.my-program"),  # and the next run need not log in
    )
    url = client.oauth_start()
    redirect = cloud.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
    client.oauth_complete(redirect)

    with requests.Session() as session:
        session.auth = atlassian.AtlassianAuth(client)

        me = session.get(f"{client.base_url}/rest/api/3/myself").json()
        projects = session.get(f"{client.base_url}/rest/api/3/project/search").json()
        print(f"I am {me['displayName']}.")
        print("Projects:", ", ".join(project["name"] for project in projects["values"]))
