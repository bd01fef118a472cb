"""Flask and Jira Data Center: people sign in to a web app, each with a login of their own.

Runs offline, against a local Atlassian; at the end a test client plays two visitors.
"""

import secrets

from flask import Flask, redirect, request, session

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

jira, store = AtlassianEmulator().data_center, atlassian.MemoryTokenStore()  # SQLTokenStore(engine)
app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)  # the cookie ties the session to one browser
app.register_error_handler(atlassian.AuthorizationError, lambda error: (str(error), 400))


def client():  # a redirect is good only for the account that started it
    user = session.setdefault("user", secrets.token_hex())  # or whom your app knows
    keys = jira.app.client_id, jira.app.client_secret, jira.app.callback_url
    return atlassian.JiraOnPremOAuthClient(*keys, jira.url, store=store, account=user)


@app.get("/sign-in")
def sign_in():
    return redirect(client().oauth_start())


@app.get("/callback")
def callback():
    client().oauth_complete(request.url)
    return f"I am {client().test_connection().name}."


ada, stranger = app.test_client(), app.test_client()
url = jira.authorize(ada.get("/sign-in").location)
print(f"A stranger's redirect: {stranger.get(url).status_code}\n{ada.get(url).text}")
