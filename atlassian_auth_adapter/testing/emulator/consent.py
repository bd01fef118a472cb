"""The consent page: plain HTML, no script, no external resource; foreign text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlsplit

_STYLE = """
:root { color-scheme: light dark; --ink: #172b4d; --soft: #44546f; --page: #f1f2f4; --card: #fff;
  --line: #dcdfe4; --act: #0c66e4; --on-act: #fff; --tint: #e9f2ff; }
@media (prefers-color-scheme: dark) { :root { --ink: #dee4ea; --soft: #9fadbc; --page: #161a1d;
  --card: #22272b; --line: #454f59; --act: #579dff; --on-act: #1d2125; --tint: #1c2b41; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem;
  background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 30rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; padding: 2rem; }
.badge { display: inline-block; margin: 0 0 1rem; padding: .1rem .6rem; border-radius: 1rem;
  background: var(--tint); font-size: .8rem; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2, legend { font-size: 1rem; font-weight: 600; margin: 0 0 .25rem; padding: 0; }
h2 { margin-top: 1.25rem; }
p, .soft { color: var(--soft); margin: 0; overflow-wrap: anywhere; }
ul { margin: .5rem 0 0; padding: 0; list-style: none; }
li { padding: .55rem 0; border-top: 1px solid var(--line); }
code { display: block; font: .8rem ui-monospace, monospace; color: var(--soft);
  overflow-wrap: anywhere; }
fieldset { border: 0; padding: 0; margin: 1.25rem 0 0; }
label { display: flex; gap: .6rem; align-items: baseline; padding: .35rem 0; }
input { accent-color: var(--act); }
.row { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.5rem; }
button { flex: 1; min-width: 8rem; padding: .6rem 1rem; border-radius: .4rem; font: inherit;
  font-weight: 600; cursor: pointer; border: 1px solid var(--line); background: none;
  color: inherit; }
button.act { background: var(--act); border-color: var(--act); color: var(--on-act); }
button:focus-visible, input:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
footer { margin-top: 1.25rem; font-size: .8rem; color: var(--soft); overflow-wrap: anywhere; }
"""


def _page(title: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><main><p class="badge">Emulator</p>{content}</main></body></html>'
    )


def consent_page(
    app: str,
    product: str,
    scopes: Sequence[tuple[str, str]],
    sites: Sequence[tuple[str, str]],
    *,
    action: str,
    ticket: str,
    returns_to: str = "",
) -> str:
    """The page that asks the person for consent.

    Args:
        app: Name of the app that asks.
        product: What it wants to access.
        scopes: (scope, plain words) of each scope that was asked for.
        sites: (id, label) of each site to choose from; with fewer than two there is no choice.
        action: Where the form goes: the URL of the request itself.
        ticket: The anti-forgery value.
        returns_to: The redirect URI: its host is shown.
    """
    rows = "".join(
        f"<li>{escape(words)}<code>{escape(scope)}</code></li>" for scope, words in scopes
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="site" value="{escape(site)}" checked>'
        f"<span>{escape(label)}</span></label>"
        for site, label in sites
    )
    if len(sites) > 1:
        choice = f"<fieldset><legend>On these sites</legend>{boxes}</fieldset>"
    else:
        choice = "".join(f'<input type="hidden" name="site" value="{escape(s)}">' for s, _ in sites)
    host = urlsplit(returns_to).netloc or returns_to
    destination = f"<footer>Your answer is sent to {escape(host)}</footer>" if host else ""
    return _page(
        f"{app} asks for access",
        f"<h1>{escape(app)} asks for access to your {escape(product)} account</h1>"
        "<p>Accept only if you know this app. This is a test server: no data here is real.</p>"
        f"<h2>It wants to</h2><ul>{rows}</ul>"
        f'<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">{choice}'
        '<div class="row"><button class="act" name="decision" value="accept">Accept</button>'
        '<button name="decision" value="deny">Deny</button></div></form>' + destination,
    )


def error_page(title: str, error: str, description: str) -> str:
    """The page for a bad authorization request: there is no redirect to the client."""
    return _page(
        title,
        f"<h1>{escape(title)}</h1><p>{escape(description)}</p><code>{escape(error)}</code>",
    )
