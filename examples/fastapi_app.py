"""FastAPI: people sign in at http://localhost:8080; their logins are kept in PostgreSQL.

    DATABASE_URL=postgresql+psycopg://postgres@localhost/test uvicorn fastapi_app:app --port 8080
As it stands it asks a local Jira. For your own set ATLASSIAN_CLIENT_ID, ATLASSIAN_CLIENT_SECRET,
ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback), and ATLASSIAN_SERVER_URL or _SITE_URL.
"""

import os
import secrets

import sqlalchemy
from fastapi import FastAPI, Request, responses
from starlette.middleware.sessions import SessionMiddleware

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

if "ATLASSIAN_CLIENT_ID" not in os.environ:
    os.environ |= AtlassianEmulator().data_center.environ()
store = atlassian.SQLTokenStore(sqlalchemy.create_engine(os.environ["DATABASE_URL"]))
store.create_table()
app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.getenv("SESSION_KEY", secrets.token_hex()))


@app.get("/")
@app.get("/callback")
def page(request: Request):  # no `async`: the store and the network may block
    person = request.session.setdefault("person", secrets.token_hex())  # or whom your app knows
    jira = atlassian.atlassian_oauth_client_from_env(store=store, account=person)
    try:
        if request.url.path == "/callback":
            return jira.oauth_complete(str(request.url)) or responses.RedirectResponse("/", 303)
        return responses.PlainTextResponse(f"I am {jira.test_connection().name}.")
    except atlassian.LoginRequiredError:
        return responses.RedirectResponse(jira.oauth_start(), 303)
    except atlassian.AuthorizationError as error:  # denied, too old, or not of this browser
        if isinstance(error, atlassian.AuthorizationCompletedError):  # loaded again
            return responses.RedirectResponse("/", 303)
        return responses.PlainTextResponse(str(error), 400)
