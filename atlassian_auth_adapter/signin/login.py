"""`login`: a person signs in with a browser, at this machine or at another one."""

from __future__ import annotations

import os
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from queue import Empty
from urllib.parse import parse_qs, urlencode, urlsplit

from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient
from atlassian_auth_adapter.errors import (
    AuthorizationError,
    AuthorizationTimeoutError,
    ConfigurationError,
    without_frames,
)
from atlassian_auth_adapter.signin.loopback import LoopbackURI, Receiver, answers

__all__ = ["Paste", "has_browser", "login"]

#: Waits for a line for some seconds; None: none came. EOFError: none will come any more.
Paste = Callable[[float], str | None]

#: Seconds between two looks at where else an answer may come from. Also what Ctrl-C has to wait
#: for at most on Windows, where it does not interrupt a wait for another thread.
_TICK = 0.1
#: Characters that a code has at least: it cannot be guessed, while "yes" can be typed. 128 bits
#: would be 20 and more. Source: RFC 6749 section 10.10.
_SHORTEST_CODE = 12
#: Files that there are in containers of Docker and of Podman.
_MARKS = ("/.dockerenv", "/run/.containerenv")


@without_frames
def login(
    client: AtlassianOAuthClient,
    /,
    *,
    open_browser: bool = True,
    receive: bool = True,
    paste: Paste | None = None,
    timeout: float = 300.0,
    tell: Callable[[str], object] | None = None,
) -> None:
    """A person has signed in with a browser, and the login is saved.

    The redirect is received on this machine, if the callback URL is http on a loopback host
    (`http://localhost:8080/callback`), and at the same time accepted from `paste`; whichever comes
    first is used. Nothing else of the client may be needed in between. Blocks until then, on the
    network and on the store. Ctrl-C ends it and leaves nothing behind; after any other end, a
    thread answers a reload of the page in the browser for 20 seconds, unless another `login` of
    the process wants the port.

    Args:
        client: Who signs in.
        open_browser: Whether to open a browser, where there is one for this person to see: not
            over SSH, in a container or without a display. The URL is told in any case.
        receive: Whether to listen. False: only `paste` counts, and the port is left alone.
        paste: Called again and again on the calling thread with seconds to wait; returns a line,
            or None when there was none, and raises EOFError when there will be none any more. A
            line holds the redirect URL whole, or the code; anything else is told and ignored.
            `signin.terminal.pasted_lines()` makes one that reads the terminal.
        timeout: Seconds to wait for the person; after 600 the authorization ends anyway.
        tell: Takes what the person has to read, a text at a time. None: standard error.

    Raises:
        ConfigurationError: There is no callback URL, or no way back: it does not lead to this
            machine and there is no `paste`.
        PortUnavailableError: Another program listens at the callback URL, perhaps a login. No
            browser was opened.
        AuthorizationTimeoutError: No answer came in time.
        AuthorizationDeniedError: The person declined.
        AuthorizationError: The answer was refused, or what `paste` reads has ended and nothing else
            is waited for.
        TokenEndpointError: The code could not be exchanged, as `oauth_complete` says.
        TokenStoreError: The store failed.
    """
    tell = tell or _to_standard_error
    uri = LoopbackURI.parse(client.callback_url) if receive else None
    if client.callback_url and uri is None and paste is None:
        raise ConfigurationError(
            "the redirect would not come back to this machine: callback_url is not an http URL of "
            "localhost, or receive=False. Register such a URL (http://localhost:8080/callback), or "
            "give `paste`."
        )
    url = client.oauth_start()
    (state,) = parse_qs(urlsplit(url).query)["state"]
    with Receiver(uri, state) if uri else nullcontext() as receiver:
        tell(_invitation(url, uri, paste is not None, os.environ))
        if open_browser and has_browser(os.environ, sys.platform):
            # A browser that does not return from its start must not keep us.
            threading.Thread(
                target=_open, args=(url,), name="atlassian-auth-browser", daemon=True
            ).start()
        client.oauth_complete(_first(client, state, receiver, paste, tell, timeout))


def _first(
    client: AtlassianOAuthClient,
    state: str,
    receiver: Receiver | None,
    paste: Paste | None,
    tell: Callable[[str], object],
    timeout: float,
) -> str:
    """The redirect that comes first, whichever way it comes."""
    ends = time.monotonic() + timeout
    while (left := ends - time.monotonic()) > 0:
        pause = min(left, _TICK)
        if receiver is not None:
            with suppress(Empty):
                return receiver.arrived.get(timeout=0 if paste else pause)
        if paste is not None:
            try:
                line = (paste(pause) or "").strip()
            except EOFError:
                paste = None
                if receiver is None:
                    raise AuthorizationError(
                        "the input ended before the redirect URL was pasted, and nothing else is "
                        "waited for. Log in again and paste the address the browser was sent to."
                    ) from None
                continue
            if redirect := _pasted(line, state):
                return redirect
            if line:
                tell(
                    "That is not the answer to this login. Paste the whole address that the "
                    "browser was sent to after you agreed, on one line; it holds `code` and "
                    "`state`."
                )
    raise AuthorizationTimeoutError(
        f"nobody came back from the browser within {timeout:g} seconds. If it showed an error, "
        f"compare letter by letter with the registration: callback_url {client.callback_url!r} "
        f"and client_id {client.client_id!r}. With a wrong one Atlassian never sends the browser "
        "back. Then log in again."
    )


def _pasted(line: str, state: str) -> str | None:
    """The redirect that a line stands for, or None.

    A code alone is given the state of this login: it belongs to no other one.
    """
    if not line.isprintable() or " " in line or len(line) < _SHORTEST_CODE:
        return None
    if any(mark in line for mark in ("?", "://", "state=")):
        query = (line.partition("?")[2] or line).partition("#")[0]
    else:
        query = urlencode({"code": line, "state": state})
    return f"?{query}" if answers(query, state) else None


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a browser that opens here is one that the person sees.

    `BROWSER` decides if it is set: tools that carry a browser into a container set it.
    """
    if environ.get("BROWSER"):
        return True
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") or _is_container(environ):
        return False
    return platform in ("win32", "darwin") or bool(
        environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    )


def _is_container(environ: Mapping[str, str]) -> bool:
    named = {"container", "KUBERNETES_SERVICE_HOST"} & environ.keys()  # systemd's, Kubernetes'
    return bool(named) or any(Path(mark).exists() for mark in _MARKS)


def _open(url: str) -> None:
    with suppress(webbrowser.Error, OSError):  # the URL was told: the person can open it
        webbrowser.open(url)


def _invitation(
    url: str, uri: LoopbackURI | None, can_paste: bool, environ: Mapping[str, str]
) -> str:
    lines = [f"Sign in with a browser:\n\n    {url}\n"]
    if uri and environ.get("SSH_CONNECTION"):
        address = "[::1]" if uri.host == "::1" else "127.0.0.1"
        lines.append(
            "The browser is on another machine? Run this there before you agree, HOST being this "
            f"machine:\n\n    ssh -N -L {uri.port}:{address}:{uri.port} HOST\n"
        )
    if can_paste:
        or_ = "Or paste" if uri else "Then paste"
        lines.append(f"{or_} here the address that the browser is sent to after you agree.")
    return "\n".join(lines)


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - login talks to a person
