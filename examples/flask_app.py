"""Flask: people sign in to a web app, each with a login of their own, at http://localhost:8080.

    flask --app flask_app run --port 8080

As it stands it asks a local Jira. For your own set ATLASSIAN_CLIENT_ID, ATLASSIAN_CLIENT_SECRET,
ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback), and ATLASSIAN_SERVER_URL or _SITE_URL.
"""

import os
import secrets

from flask import Flask, redirect, request, session

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

if "ATLASSIAN_CLIENT_ID" not in os.environ:
    os.environ |= AtlassianEmulator().data_center.environ()
store = atlassian.MemoryTokenStore()  # for several workers: RedisTokenStore, SQLTokenStore
app = Flask(__name__, static_folder=None)
app.secret_key = secrets.token_bytes(32)  # the cookie ties the session to one browser


@app.get("/")
@app.get("/callback")
def page():  # a redirect is good only for the account that started it
    person = session.setdefault("person", secrets.token_hex())  # or whom your app knows
    jira = atlassian.atlassian_oauth_client_from_env(store=store, account=person)
    try:
        if request.path == "/callback":
            return jira.oauth_complete(request.url) or redirect("/")
        return f"I am {jira.test_connection().name}."
    except atlassian.LoginRequiredError:
        return redirect(jira.oauth_start())
    except atlassian.AuthorizationCompletedError:  # the page was loaded again
        return redirect("/")
    except atlassian.AuthorizationError as error:  # denied, too old, or not of this browser
        return str(error), 400
