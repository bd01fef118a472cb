"""What the command says about an error: its own words, in this one place.

The texts of the library are for programs: they name functions and arguments. A person at a terminal
has options, variables and other commands in their place. For some errors this page has sentences of
its own; of all others it takes the text of the library, and replaces the names in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from atlassian_auth_adapter import errors
from atlassian_auth_adapter.cli.terminal import exit_code
from atlassian_auth_adapter.errors import AtlassianAuthError

__all__ = ["ENDED", "Said", "about", "as_options", "profile_of", "sign_in"]

#: Arguments for which there is a variable and no option.
VARIABLES = {
    "verify": "ATLASSIAN_CA_BUNDLE",
    "proxy": "ATLASSIAN_PROXY",
    "cloud": "ATLASSIAN_CLOUD",
    "account": "ATLASSIAN_ACCOUNT",
}
#: Names in the texts of the library, and what a person has in their place. The first one counts.
NAMES: dict[str, Any] = {
    r"only if the program says so: pass gateway_paths=\((.*?),\) to the client": (
        r"only if you say so: atlassian-auth login --gateway-path \1"
    ),
    r"^gateway_paths(?=:)": "--gateway-path",
    r": use StaticTokenSource\.organization_key\(key\)": ", and the command has no other login",
    r"pass cloud=CloudEnvironment\(auth_url, api_url, audience\)": (
        "write them into the table cloud of the profile"
    ),
    r": create_atlassian_oauth_client\(product=[^)]*\)": ": atlassian-auth login",
    r"\. Leave the argument out": ". Leave it out",
    r" and do not give receive=False, or give `paste`": ", or paste the address in a terminal",
    r"[Cc]all oauth_start\(\)( again)?": "sign in again",
    r"[Ss]tart again with oauth_start\(\)": "sign in again",
    r"forget\(\) the login": "run atlassian-auth logout --local",
    r"accessible_resources\(\) lists": "atlassian-auth sites lists",
    r"[Ll]eave the argument out": "leave it out",
    r"[Pp]ass cloud=": "set ATLASSIAN_CLOUD to ",
    r"\bpass (?=[a-z]+_)": "give ",
    r"\bPass (?=[a-z]+_)": "Give ",
    r"FileTokenStore keeps a file per login": "each login is a file there",
    r"KeyringTokenStore keeps its files there": "the logins are kept there",
    r"FileTokenStore\(path\), or EncryptedTokenStore around it, is the store to choose then": (
        "To keep logins in files that only you can read: atlassian-auth login --store file"
    ),
    r"FileTokenStore\('([^']*)'\)": r"\1",
    r"KeyringTokenStore\(.*?directory='([^']*)'\)": r"\1, sealed with a key of the keyring",
    r"so KeyringTokenStore cannot keep anything here": "so nothing can be kept there",
    r": pass it as `backend` if you want that": "",
    r", or raise the timeout": "",
    r"; or cloud=COMMERCIAL for": ", or set ATLASSIAN_CLOUD to commercial for",
    r"may need \.strip\(\)": "may end in a line break",
    r", a mapping of scheme to URL, True or None \(the environment's\) or False \(none\)": "",
    r"Give True, or the path": "Give the path",
    r"\(max_wait\)": "(ATLASSIAN_MAX_WAIT)",
    r"\bmax_wait\b": "ATLASSIAN_MAX_WAIT",
    r"^(verify|proxy|cloud|account)(?=:)|`(verify|proxy|cloud|account)`": lambda found: VARIABLES[
        found[1] or found[2]
    ],
    r"^(product|store)(?=:)": r"--\1",
    r"^scopes(?=:)|`scopes`": "--scope",
    r"\b(site|server)_url\b": r"--\1",
    r"\bcloud_id\b": "--cloud-id",
    r"^callback_url:": "--callback-url:",
    r"\bclient_id\b": "client id",
    r"\bcallback_url\b": "callback URL",
    r"\bclient_secret\b": "the client secret",
    r"`([a-z_]+|\?)`": r"\1",  # a part of a URL
    # Classes of Python, with a text behind them or alone
    r"\b(?:[A-Z]\w*(?:Error|Timeout)|gaierror|timeout): (?=\S)": "",
    r": (?:Location\w+Error|Invalid[A-Z]\w+)\b": ": the URL or a header is malformed",
    r": [A-Z]\w*(?:Error|Disconnected|Read)(?=[.,])": ": the connection or the answer is broken",
}

#: Why a login has ended, by the reason of the error and of the status.
ENDED = {
    "no_token": "you are not signed in.",
    "no_refresh_token": "the login has ended, and it has no refresh token. On Cloud the scope "
    "offline_access brings one.",
    "refused": "the login has ended: the server refuses its refresh token. The access was revoked, "
    "or not used for 90 days, the password changed, or another program has used the token.",
    "answer_lost": "the login has ended: the answer to a refresh was lost on its way, and the "
    "server accepts each refresh token once.",
}
#: Said only to who has a profile: without one that command has no host to look at.
_DOCTOR = " atlassian-auth doctor{p} looks at each host."
#: Variables that name a proxy.
_PROXIES = ("ATLASSIAN_PROXY", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_SECRET = (
    "Give the secret that the page of the app shows: atlassian-auth login{p} --new-secret. If it "
    "is right, compare client id and callback URL letter by letter."
)
_PORT = (
    "End the program that listens there, which may be another login. Or paste the address that the "
    "browser is sent to: atlassian-auth login{p} --paste. Or register a callback URL with another "
    "port, and give it with --callback-url."
)


@dataclass(frozen=True, slots=True)
class Said:
    """What is said about an error.

    Attributes:
        kind: Of the error, for programs: "login_required", "configuration", ...
        text: What happened.
        advice: What to do next, or "".
        code: The exit code.
    """

    kind: str
    text: str
    advice: str
    code: int

    def __str__(self) -> str:
        return " ".join(filter(None, (self.text, self.advice)))

    @property
    def facts(self) -> dict[str, Any]:
        """As the JSON object of `--json`."""
        facts = {"kind": self.kind, "message": self.text, "advice": self.advice}
        return {"error": facts | {"exit_code": self.code}}


def about(error: BaseException, profile: str = "") -> Said:
    """What the command says about an error of a command with that profile; "": the default one."""
    kind, code = _kind(error), exit_code(error)
    if not isinstance(error, AtlassianAuthError) or code == 1:
        text = f"{type(error).__name__}: {error} Run it again with --debug for the details."
        return Said(kind, text, "", code)
    text, advice = next(words(error) for cls, words in _WORDS.items() if isinstance(error, cls))
    if _DOCTOR in advice and not _is_saved(profile):
        advice = advice.replace(_DOCTOR, "")
    named = f" -p {profile}" if profile not in ("", "default") else ""
    return Said(kind, text, advice.replace("{p}", named), code)


def sign_in(profile: str = "") -> str:
    """The command line that signs in."""
    return f"atlassian-auth login{f' -p {profile}' if profile not in ('', 'default') else ''}"


def as_options(text: str) -> str:
    """A text of the library with options and variables in the place of arguments."""
    for name, word in NAMES.items():
        text = re.sub(name, word, text)  # compiled now: most runs print no error
    return text


def _kind(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


# --- sentences of its own -------------------------------------------------------------------------

_Words = tuple[str, str]


def _message(error: AtlassianAuthError) -> str:
    return as_options(str(error.args[0]))


def _network() -> str:
    """What to look at when a host does not answer."""
    proxies = [name for name in _PROXIES if os.environ.get(name)]
    advice = "Check the network connection and the firewall."
    if proxies:
        advice = (
            f"Requests go through a proxy, which {' and '.join(proxies)} names: check whether it "
            "runs and lets them through, or put the host into NO_PROXY."
        )
    return (
        f"{advice} If a company signs the certificates itself, set ATLASSIAN_CA_BUNDLE to the path "
        f"of its CA bundle.{_DOCTOR}"
    )


def _told(advice: str = "") -> Callable[[Any], _Words]:
    """The text of the library, with this advice in place of its own."""
    return lambda error: (_message(error), advice)


def _configuration(error: errors.ConfigurationError) -> _Words:
    if error.file:  # the names are those of its keys
        return str(error.args[0]), error.advice
    return _message(error), as_options(error.advice)


def _denied(_error: object) -> _Words:
    return (
        "you pressed Deny, or an administrator does not permit this app. Nothing was changed.",
        "To sign in after all: atlassian-auth login{p}",
    )


def _refused(error: errors.TokenRequestRefusedError) -> _Words:
    described = f" ({error.error_description})" if error.error_description else ""
    what = f"the server refuses this client: {error.error}{described}, HTTP {error.status}."
    if not error.error:
        what = _message(error)
    return f"{what} As a rule the client secret is wrong; another sign-in does not help.", _SECRET


def _unavailable(error: errors.TokenEndpointUnavailableError) -> _Words:
    text = str(error.args[0])
    if error.retry_after:
        return as_options(text), f"Nothing is lost. Try again in {error.retry_after:.0f} s."
    text = text.replace(" Check network, proxy and `verify` if it goes on.", "")
    return as_options(text), f"Nothing is lost; try again. {_network()}"


def _no_answer(error: errors.ResourceUnavailableError) -> _Words:
    text, marked, more = str(error.args[0]).partition(
        " Try again, or check network, proxy and `verify`."
    )
    return as_options(text + more), _network() if marked else as_options(error.advice)


#: The sentences for an error: what happened, and what to do. The first class that fits counts.
_WORDS: dict[type[AtlassianAuthError], Callable[[Any], _Words]] = {
    errors.MissingExtraError: _told(),
    errors.PortUnavailableError: _told(_PORT),
    errors.ConfigurationError: _configuration,
    errors.AuthorizationDeniedError: _denied,
    errors.AuthorizationTimeoutError: _told("Sign in again: atlassian-auth login{p}"),
    errors.AuthorizationCompletedError: _told("See: atlassian-auth status{p}"),
    errors.AmbiguousSiteError: _told("Choose one: atlassian-auth login{p} --site URL"),
    errors.AuthorizationError: _told("Sign in again: atlassian-auth login{p}"),
    errors.LoginRequiredError: lambda error: (
        ENDED[error.reason],
        "Sign in: atlassian-auth login{p}",
    ),
    errors.TokenRequestRefusedError: _refused,
    errors.TokenEndpointUnavailableError: _unavailable,
    errors.ResourceUnavailableError: _no_answer,
    errors.AtlassianAuthError: lambda error: (_message(error), as_options(error.advice)),
}


def _is_saved(profile: str) -> bool:
    """Whether there is that profile, or variables in the place of one."""
    from atlassian_auth_adapter.profiles.file import load_profile

    try:
        load_profile(profile)
    except AtlassianAuthError:
        return False
    return True


def profile_of(named: str) -> str:
    """The profile that a command line means; "" if that cannot be told."""
    from atlassian_auth_adapter.profiles.file import chosen_name, profile_names

    with suppress(AtlassianAuthError):
        return chosen_name(named, profile_names())
    return named
