"""What the tests of the command share: the names of the Python API, which no text may hold."""

from __future__ import annotations

import inspect
import re

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianOAuthClient,
    create_atlassian_oauth_client,
    login,
)
from atlassian_auth_adapter.profiles.profile import DEFAULTS

__all__ = ["API", "names_of_the_api"]

_CLIENT = {name for name in dir(AtlassianOAuthClient) if not name.startswith("__")}
_ARGUMENTS = {
    name
    for function in (create_atlassian_oauth_client, login, AtlassianOAuthClient.__init__)
    for name in inspect.signature(function).parameters
}
#: Names of the API that are no English words.
_NAMES = {
    name
    for name in {*atlassian_auth_adapter.__all__, *_CLIENT, *_ARGUMENTS}
    if "_" in name.strip("_") or re.search("[a-z][A-Z]", name)
}
#: A part of the Python API in a text, or a word that means nothing to who does not program.
API = re.compile(
    rf"\b(?:{'|'.join(sorted(_NAMES))})\b"
    r"|`[^`]*`"  # what is quoted as code
    r"|\w+\(\)"  # a call
    r"|\b(?:True|False|None)\b"
    r"|\b(?:argument|callable|module-level|unpickled|gaierror)\b"
    r"|\b[A-Z]\w+(?:Error|Exception)\b"
)


def names_of_the_api(output: str) -> list[str]:
    """The names that a command has printed, but for keys of JSON and of the file of profiles."""
    found = API.findall(re.sub(r'"\w+":|https?://\S+', "", output))
    return [name for name in found if not ("profiles.toml" in output and name in DEFAULTS)]
