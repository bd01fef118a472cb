"""The texts of a configuration, from arguments, variables and files: their form, checked by name.

A value that cannot be right is refused before it is used: in a request it would be refused by a
server in other words, after a person has consented. No error quotes a value, since it may be a
secret in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from atlassian_auth_adapter.errors import ConfigurationError

__all__ = [
    "checked_account",
    "checked_callback_url",
    "checked_client_id",
    "checked_scopes",
    "one_line",
]

#: Characters; an email address has 254 at most.
LONGEST_NAME = 255
#: What shells, `docker --env-file` and word processors leave around a value.
_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
#: Atlassian's client ids are letters and digits; others are visible ASCII (RFC 6749 appendix A.1).
_CLIENT_ID = re.compile(r"[!#-&(-+\--~]{1,255}")  # no quotes, no comma
#: Of what the scopes of Atlassian are made. RFC 6749 appendix A.4 has more, such as what other
#: programs write between scopes (a comma, a semicolon, a plus sign, %20) or around them.
_SCOPE = r"[A-Za-z0-9:._/*-]+"


def one_line(text: str, name: str) -> str:
    """The text of a variable or of a file with one value; "" if it is empty.

    A byte order mark, the end of the line and white space around the value are removed.

    Raises:
        ConfigurationError: It is in quotes, or holds what cannot be seen, such as a line break or a
            non-breaking space; `name` says where.
    """
    value = text.strip().strip("\ufeff").strip()
    if value and (value[0] in _QUOTES or value[-1] in _QUOTES):
        raise ConfigurationError(f"{name}: there are quotes around the value. Write it without.")
    if not value.isprintable():
        raise ConfigurationError(
            f"{name}: there is a character within the value that cannot be seen, such as a line "
            "break or a non-breaking space. Type the value again."
        )
    return value


def checked_account(account: object) -> str:
    """The name of a login within its store.

    Raises:
        ConfigurationError: It is not a text of 1 to 255 printable characters without white space
            around it.
    """
    if isinstance(account, str):
        found = "this text is empty, longer than that, or has white space around it"
        if 0 < len(account) <= LONGEST_NAME and account == account.strip():
            if account.isprintable():
                return account
            found = "this text holds a character that cannot be seen"
    else:
        found = f"a value of type {type(account).__name__} is no text; str() may make one of it"
    raise ConfigurationError(
        f"account: give a text of 1 to {LONGEST_NAME} printable characters that names the login, "
        f"such as a user's id: {found}."
    )


def checked_client_id(client_id: object) -> str:
    """The client id.

    Raises:
        ConfigurationError: It is missing or malformed.
    """
    if isinstance(client_id, str) and _CLIENT_ID.fullmatch(client_id):
        return client_id
    what = "malformed: it is a text without white space, quotes and commas" if client_id else ""
    raise ConfigurationError(
        f"client_id is {what or 'missing'}. Take it from the OAuth 2.0 app (Cloud) or the "
        "application link (Data Center)."
    )


def checked_callback_url(callback_url: object) -> str:
    """The registered redirect URI; "" for None, since a refresh needs none.

    Raises:
        ConfigurationError: It is not an absolute URL, or has a fragment. Source: RFC 6749 section
            3.1.2.
    """
    if callback_url is None or callback_url == "":
        return ""
    if isinstance(callback_url, str) and callback_url.isprintable() and " " not in callback_url:
        try:
            parts = urlsplit(callback_url)
            if parts.scheme and parts.netloc and "#" not in callback_url:
                return callback_url
        except ValueError:
            pass
    raise ConfigurationError(
        "callback_url: give the redirect URI as text, exactly as it is registered for the OAuth "
        "client, such as https://app.example.com/callback."
    )


def checked_scopes(scopes: object) -> list[str] | None:
    """The scopes, from a list or from a text with blanks between them; None: the defaults.

    Raises:
        ConfigurationError: They are of another type or form, or the list is empty.
    """
    if scopes is None:
        return None
    texts = [scopes] if isinstance(scopes, str) else scopes
    if isinstance(texts, Iterable) and not isinstance(texts, bytes | bytearray | memoryview):
        texts = list(texts)
        if all(isinstance(text, str) for text in texts):
            words = [word for text in texts for word in re.findall(r"[^ \t\r\n]+", text)]
            if words and all(re.fullmatch(_SCOPE, word) for word in words):
                return words
    raise ConfigurationError(
        "scopes: give a list of texts, or one text with blanks between the scopes, such as "
        "read:jira-work offline_access: no commas, no quotes. Left out, they are the product's "
        "defaults."
    )
