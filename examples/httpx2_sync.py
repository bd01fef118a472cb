"""httpx2 and Confluence Cloud.

Runs offline, against a local Atlassian. For your own site leave the emulator out and put in what
the comments say.
"""

import httpx2

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

with AtlassianEmulator() as emulator:
    cloud = emulator.cloud
    hosts = atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    client = atlassian.create_atlassian_oauth_client(
        cloud.app.client_id,  # your app's, from developer.atlassian.com
        cloud.app.client_secret,
        cloud.app.callback_url,
        product="confluence",
        site_url=cloud.sites[0].url,  # "https://acme.atlassian.net"
        cloud=hosts,  # leave this out
        scopes=atlassian.scope_set("confluence", "read"),
    )
    url = client.oauth_start()
    redirect = cloud.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
    client.oauth_complete(redirect)

    auth = atlassian.AtlassianHTTPX2Auth(client)
    with httpx2.Client(auth=auth, base_url=client.base_url) as confluence:
        me = confluence.get("/wiki/rest/api/user/current").json()
        spaces = confluence.get("/wiki/api/v2/spaces").json()
        print(f"I am {me['displayName']}.")
        print("Spaces:", ", ".join(space["name"] for space in spaces["results"]))
