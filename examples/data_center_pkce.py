"""Jira Data Center with PKCE: the login is kept in files, the next process goes on with it.

Runs offline, against a local Atlassian. For your own server leave the emulator out and put in what
the comments say.
"""

import tempfile

import requests

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

with AtlassianEmulator() as emulator, tempfile.TemporaryDirectory() as directory:
    server = emulator.data_center
    client = atlassian.create_atlassian_oauth_client(
        server.app.client_id,  # of the incoming application link that an administrator makes
        server.app.client_secret,
        server.app.callback_url,
        server_url=server.url,  # "https://jira.example.com/jira"
        store=atlassian.FileTokenStore(directory),  # "~/.my-program"
    )
    if client.status().state == "none":  # not logged in yet
        url = client.oauth_start()
        redirect = server.authorize(url)  # input(f"Open {url} and paste where it takes you: ")
        client.oauth_complete(redirect)

    with requests.Session() as session:
        session.auth = atlassian.AtlassianAuth(client)
        projects = session.get(f"{client.base_url}/rest/api/2/project").json()
        print(f"I am {client.test_connection().name}.")
        print("Projects:", ", ".join(project["name"] for project in projects))
