"""httpx and Jira Cloud, async: tasks share one auth object and one login.

Runs offline, against a local Atlassian. For your own site leave the emulator out and put in what
the comments say.
"""

import asyncio

import httpx

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator


async def show(client: atlassian.AtlassianOAuthClient) -> None:
    auth = atlassian.AtlassianHTTPXAuth(client)
    async with httpx.AsyncClient(auth=auth, base_url=client.base_url) as jira:
        paths = ("myself", "serverInfo", "project/search")
        answers = await asyncio.gather(*(jira.get(f"/rest/api/3/{path}") for path in paths))
    me, server, projects = (answer.json() for answer in answers)
    print(f"I am {me['displayName']} at {server['baseUrl']}.")
    print("Projects:", ", ".join(project["name"] for project in projects["values"]))


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
    )
    url = client.oauth_start()
    redirect = cloud.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
    client.oauth_complete(redirect)
    asyncio.run(show(client))  # or trio.run(show, client), without asyncio.gather
