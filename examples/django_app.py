"""Django: people sign in to a web app, each with a login of their own, at http://localhost:8080.

    django-admin runserver --noreload --pythonpath . --settings django_app 8080

As it stands it asks a local Jira. For your own set ATLASSIAN_CLIENT_ID, ATLASSIAN_CLIENT_SECRET,
ATLASSIAN_CALLBACK_URL (http://localhost:8080/callback), and ATLASSIAN_SERVER_URL or _SITE_URL.
"""

import os
import secrets

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

if "ATLASSIAN_CLIENT_ID" not in os.environ:
    os.environ |= AtlassianEmulator().data_center.environ()
store = atlassian.MemoryTokenStore()  # for several workers: RedisTokenStore, SQLTokenStore
SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF = secrets.token_hex(), ["localhost"], __name__
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"


def page(request):  # a redirect is good only for the account that started it
    person = request.session.setdefault("person", secrets.token_hex())  # or request.user.pk
    jira = atlassian.atlassian_oauth_client_from_env(store=store, account=person)
    try:
        if request.path == "/callback":
            return jira.oauth_complete(request.build_absolute_uri()) or HttpResponseRedirect("/")
        return HttpResponse(f"I am {jira.test_connection().name}.")
    except atlassian.LoginRequiredError:
        return HttpResponseRedirect(jira.oauth_start())
    except atlassian.AuthorizationError as error:  # denied, too old, or not of this browser
        is_loaded_again = isinstance(error, atlassian.AuthorizationCompletedError)
        return HttpResponseRedirect("/") if is_loaded_again else HttpResponse(error, status=400)


urlpatterns = [path("", page), path("callback", page)]
