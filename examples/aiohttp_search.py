"""aiohttp and Jira Cloud: all pages of a search.

Runs offline, against a local Atlassian. For your own site put in what the comments say.
"""

import asyncio

import aiohttp

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator


async def show(site: str, client: atlassian.AtlassianOAuthClient) -> None:
    auth = atlassian.AtlassianAiohttpAuth(client)
    async with aiohttp.ClientSession(site, middlewares=(auth,), raise_for_status=True) as jira:
        me = await (await jira.get("/rest/api/3/myself")).json()
        keys, page, query = [], {"isLast": False}, {"jql": "project = ACME order by key"}
        while not page["isLast"]:
            page = await (await jira.get("/rest/api/3/search/jql", params=query)).json()
            keys += [issue["id"] for issue in page["issues"]]
            query["nextPageToken"] = page.get("nextPageToken", "")
    print(f"I am {me['displayName']}.\nIssues: {len(keys)}")


with AtlassianEmulator() as emulator:
    cloud = emulator.cloud
    hosts = atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
    client = atlassian.create_atlassian_oauth_client(
        cloud.app.client_id,  # your app's, from developer.atlassian.com
        cloud.app.client_secret,
        cloud.app.callback_url,
        site_url=cloud.sites[0].url,  # "https://acme.atlassian.net"
        cloud=hosts,  # leave this out
        scopes=["read:jira-user", "read:jira-work", "offline_access"],
    )
    url = client.oauth_start()
    client.oauth_complete(cloud.authorize(url))  # or input(f"Open {url}, paste where it ends: ")
    asyncio.run(show(cloud.sites[0].url, client))
