"""FastAPI and Jira Data Center: people sign in to a web app, each with a login of their own.

Runs offline, against a local Atlassian; at the end a test client plays two visitors.
"""

import secrets

from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from starlette.middleware.sessions import SessionMiddleware

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

jira, store = AtlassianEmulator().data_center, atlassian.MemoryTokenStore()  # SQLTokenStore(engine)
app = FastAPI(exception_handlers={atlassian.AuthorizationError: lambda _, e: Response(str(e), 400)})
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())  # ties it to one browser


def client(session):  # a redirect is good only for the account that started it
    user = session.setdefault("user", secrets.token_hex())  # or whom your app knows
    keys = jira.app.client_id, jira.app.client_secret, jira.app.callback_url
    return atlassian.JiraOnPremOAuthClient(*keys, jira.url, store=store, account=user)


@app.get("/sign-in")
def sign_in(request: Request):  # no `async`: the store and the network may block
    return Response(status_code=303, headers={"Location": client(request.session).oauth_start()})


@app.get("/callback")
def callback(request: Request):
    client(request.session).oauth_complete(str(request.url))
    return f"I am {client(request.session).test_connection().name}."


ada, stranger = (TestClient(app, "http://localhost:8080", follow_redirects=False) for _ in "as")
url = jira.authorize(ada.get("/sign-in").headers["location"])
print(f"A stranger's redirect: {stranger.get(url).status_code}\n{ada.get(url).json()}")
