"""Four processes share one login on Redis: when it expires, one of them refreshes it for all.

    python redis_fleet.py       (REDIS_URL names the Redis)

As it stands it asks a local Atlassian. For your own site set ATLASSIAN_CLIENT_ID,
_CLIENT_SECRET, _SITE_URL and _CALLBACK_URL (http://localhost:8080/callback).
"""

import multiprocessing
import os

import redis
import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

local = None if "ATLASSIAN_CLIENT_ID" in os.environ else AtlassianEmulator().cloud
if local:  # only in the first process: the others inherit its environment
    os.environ |= local.environ()

server = redis.Redis.from_url(os.getenv("REDIS_URL", "redis://localhost"), socket_timeout=5)
store, scopes = atlassian.RedisTokenStore(server), atlassian.scope_set("jira", "read")
client = atlassian.atlassian_oauth_client_from_env(scopes=scopes, store=store, on_event=print)
if local:
    client.oauth_complete(local.authorize(client.oauth_start()))
    local.expire_access_tokens()
elif client.status().state in ("none", "login_required"):
    atlassian.login(client)


def work(_):
    me = requests.get(f"{client.base_url}/rest/api/3/myself", auth=atlassian.AtlassianAuth(client))
    return f"I am {me.json()['displayName']} in process {os.getpid()}."


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with context.Pool(4, context.Barrier(4).wait) as pool:  # they begin when all have started
        print(*pool.map(work, range(4)), sep="\n")
