"""The pages of a login: plain HTML without scripts and external resources.

All inserted text is escaped, and holds no code, no state and no token. A page for an error has a
text for the person, and below it the text of the error for the developers of the program.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationCompletedError,
    AuthorizationDeniedError,
    AuthorizationError,
    AuthorizationTimeoutError,
    ConfigurationError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
)

__all__ = ["ALREADY", "HEADERS", "NOT_HERE", "OPENED_BEFORE", "SIGNED_IN", "Page", "page_of"]

_STYLE = """
:root { color-scheme: light dark; --ink: #172b4d; --soft: #44546f; --page: #f1f2f4; --card: #fff;
  --line: #dcdfe4; --good: #1f845a; --good-tint: #dcfff1; --bad: #ae2e24; --bad-tint: #ffeceb;
  --neutral: #44546f; --neutral-tint: #e9ebee; }
@media (prefers-color-scheme: dark) { :root { --ink: #dee4ea; --soft: #9fadbc; --page: #161a1d;
  --card: #22272b; --line: #454f59; --good: #4bce97; --good-tint: #1c3329; --bad: #f87168;
  --bad-tint: #42221f; --neutral: #b6c2cf; --neutral-tint: #2c333a; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; padding: 2rem; }
svg { display: block; width: 3rem; height: 3rem; padding: .8rem; margin: 0 0 1.25rem;
  border-radius: 50%; fill: none; stroke: currentcolor; stroke-width: 2.5; stroke-linecap: round;
  stroke-linejoin: round; }
.good { color: var(--good); background: var(--good-tint); }
.bad { color: var(--bad); background: var(--bad-tint); }
.neutral { color: var(--neutral); background: var(--neutral-tint); }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 .5rem; overflow-wrap: anywhere;
  text-wrap: balance; }
p { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
details { margin-top: 1.25rem; padding-top: 1rem; border-top: 1px solid var(--line); }
summary { cursor: pointer; font-size: .9rem; }
summary:focus-visible { outline: 3px solid currentcolor; outline-offset: 2px; }
details p { margin-top: .5rem; font: .8rem/1.5 ui-monospace, monospace; }
footer { margin-top: 1.5rem; font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
@media (max-width: 26rem) { body { padding: 1rem; } main { padding: 1.5rem; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_MARKS = {"good": "M3 13l6 6L21 5", "bad": "M5 5l14 14M19 5L5 19", "neutral": "M12 4v10M12 19.5v.1"}

#: Headers of every answer to a browser.
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What the person reads when a login is over.

    Attributes:
        mark: "good", "bad" or "neutral": the symbol above the text.
        title: The outcome.
        text: What to do now.
        detail: The text of the error, for the developers of the program, or "".
    """

    mark: str
    title: str
    text: str
    detail: str = ""

    def html(self, host: str) -> bytes:
        """The page as HTML, for a program at this host."""
        detail = f"<details><summary>Details</summary><p>{escape(self.detail)}</p></details>"
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head><body><main>"
            f'<svg class="{self.mark}" viewBox="0 0 24 24" aria-hidden="true">'
            f'<path d="{_MARKS[self.mark]}"/></svg>'
            f"<h1>{escape(self.title)}</h1><p>{escape(self.text)}</p>"
            f"{detail if self.detail else ''}"
            f"<footer>From the program on your computer, at {escape(host)}</footer>"
            "</main></body></html>"
        ).encode()


SIGNED_IN = Page("good", "You are signed in", "Close this tab and go back to the program.")
ALREADY = Page(
    "good", "You are already signed in", "There is nothing more to do here. Close this tab."
)

OPENED_BEFORE = Page(
    "bad",
    "This address was opened before",
    "It works once. If you did not open it yourself, stop the program and sign in again. Otherwise "
    "open the address that the program shows.",
)

NOT_HERE = Page(
    "neutral",
    "This is not the page of a sign-in",
    "Nothing was changed. Go back to the tab where Atlassian asks for your consent, or to the "
    "program, which shows the address to open. You can close this tab.",
)

_NOT_SET_UP = (
    "bad",
    "This program is not set up correctly",
    "You did nothing wrong, and another try will not help. Show the details to its developers.",
)
#: Mark, title and text for an error; the first class that fits counts.
_WORDS: dict[type[AtlassianAuthError], tuple[str, str, str]] = {
    AuthorizationDeniedError: (
        "neutral",
        "You did not give access",
        "Nothing was changed. If you want to sign in after all, start again in the program.",
    ),
    AuthorizationTimeoutError: (
        "neutral",
        "That took too long",
        "The program has stopped waiting. Start again there.",
    ),
    AuthorizationError: (
        "bad",
        "Signing in did not work",
        "Start again in the program. If that does not help, show the details to its developers.",
    ),
    TokenRequestRefusedError: _NOT_SET_UP,
    ConfigurationError: _NOT_SET_UP,
    TokenEndpointUnavailableError: (
        "bad",
        "Atlassian could not be reached",
        "Check the network connection of this computer, then start again in the program.",
    ),
    TokenStoreError: (
        "bad",
        "Your sign-in could not be saved",
        "The program could not store the result. The details say what to change.",
    ),
    AtlassianAuthError: (
        "bad",
        "Signing in did not work",
        "Start again in the program. The details say what happened.",
    ),
}


def page_of(error: AtlassianAuthError) -> Page:
    """The page for an error. Errors of this package hold no secrets."""
    if isinstance(error, AuthorizationCompletedError):
        return ALREADY
    mark, title, text = next(words for kind, words in _WORDS.items() if isinstance(error, kind))
    return Page(mark, title, text, "" if mark == "neutral" else str(error))
