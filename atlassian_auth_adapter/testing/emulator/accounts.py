"""What is registered: the accounts, the app, the service account, the sites."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

ACCOUNT_ID = "5b10ac8d82e05b22cc7d4ef5"
ACCOUNT_NAME = "Ada Example"
EMAIL = "ada@example.com"
SERVICE_ACCOUNT_ID = "712020:0e5a1f8e-6b0b-4c1e-9b65-5d1f0c2a7c11"
BITBUCKET_APP_USER = "712020:3f1c9d52-7a44-4c39-8c1a-2b9a5f0e6d20"
DATA_CENTER_USER = "ada"
DATA_CENTER_SERVICE_USER = "svc-reports"
SESSION_USER = "grace"  # of the preset JSESSIONID: shows whether the session or the bearer was used
SITE_NAMES = ("acme", "globex", "initech", "umbrella", "hooli")


@dataclass(slots=True, eq=False)
class App:
    """A registered OAuth client. Its fields may be changed by a test.

    With `client_secret` "" it is a public client.
    """

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    callback_url: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """A Cloud site. `url` is its origin here; a real one would be https://<name>.atlassian.net."""

    id: str
    url: str
    name: str


def site_name(index: int) -> str:
    """The name of the n-th site, counted from 0."""
    name = SITE_NAMES[index % len(SITE_NAMES)]
    return name if index < len(SITE_NAMES) else f"{name}-{index // len(SITE_NAMES) + 1}"


def cloud_id(name: str) -> str:
    """The cloud id of a site: the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.atlassian.net"))


def people(*, cloud: bool) -> dict[str, tuple[str, str]]:
    """Display names and e-mail addresses by account id (Cloud) or name; the first administers."""
    if cloud:
        return {
            ACCOUNT_ID: (ACCOUNT_NAME, EMAIL),
            SERVICE_ACCOUNT_ID: ("Reports", "reports@example.com"),
        }
    return {
        DATA_CENTER_USER: (ACCOUNT_NAME, EMAIL),
        DATA_CENTER_SERVICE_USER: ("Reports", "reports@example.com"),
        SESSION_USER: ("Grace Example", "grace@example.com"),
    }
