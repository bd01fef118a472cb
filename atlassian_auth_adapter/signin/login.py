"""`login`: a person signs in with a browser, at this machine or at another one."""

from __future__ import annotations

import os
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty
from urllib.parse import parse_qs, urlsplit

from atlassian_auth_adapter.clients.oauth import MOST_SCOPES, AtlassianOAuthClient
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    AuthorizationError,
    AuthorizationTimeoutError,
    ConfigurationError,
    without_frames,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationResponse
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.signin.loopback import LoopbackURI, Receiver

__all__ = ["Paste", "has_browser", "login"]

#: Waits for a line for some seconds; None: there was none. EOFError: the input has ended.
Paste = Callable[[float], str | None]

#: Seconds to wait for one way before the other is looked at. On Windows, Ctrl-C takes as long at
#: most: it does not interrupt a wait for another thread there.
_TICK = 0.1
#: A shorter line is no code but something typed, such as "yes". A code cannot be guessed: 128 bits
#: take 20 characters and more. Source: RFC 6749 section 10.10.
_SHORTEST_CODE = 12
#: Files that exist in containers of Docker and of Podman.
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")


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
    (`http://localhost:8080/callback`), and at the same time accepted from `paste`; the first one is
    used. Blocks until then, on the network and on the store. Ctrl-C ends it, tells what an error
    page means, and leaves nothing behind; after any other end, a thread answers a reload of the
    page in the browser for 20 seconds, unless another `login` of the process needs the port.

    The browser is started with an address that holds no secret, see `signin.loopback.Receiver`.

    Args:
        client: The client to log in.
        open_browser: Whether to open a browser, if the person can see it: not over SSH, in a
            container or without a display. `tell` gets the URL in any case.
        receive: Whether to listen for the redirect. False: only `paste` counts.
        paste: Called again and again on the calling thread with seconds to wait; returns a line, or
            None when there was none, and raises EOFError when the input has ended. A line holds the
            whole redirect URL, or the code; for anything else `tell` gets advice.
            `signin.terminal.pasted_lines()` makes one that reads the terminal.
        timeout: Seconds to wait for the person; after 600 the authorization ends anyway.
        tell: Called with each text that the person has to read. None: standard error.

    Raises:
        ConfigurationError: There is no callback URL, or it does not lead to this machine and there
            is no `paste`.
        PortUnavailableError: Another program listens at the callback URL, perhaps a login. No
            browser was opened.
        AuthorizationTimeoutError: No answer came in time.
        AuthorizationDeniedError: The person declined.
        AuthorizationError: The answer was refused, or the input of `paste` has ended and there is
            no receiver.
        TokenEndpointError: The code could not be exchanged, as `oauth_complete` says.
        TokenStoreError: The store failed.
    """
    tell = tell or _to_standard_error
    uri = LoopbackURI.parse(client.callback_url) if receive else None
    if client.callback_url and uri is None and paste is None:
        raise ConfigurationError(
            "the redirect would not come back to this program: it is not listened for, or "
            f"{client.callback_url} is not an http URL of this machine.",
            advice="Register such a URL (http://localhost:8080/callback) and do not give "
            "receive=False, or give `paste`.",
        )
    url = hidden(client.oauth_start())
    (state,) = hidden(parse_qs(urlsplit(url).query)["state"])
    with Receiver(uri, state, url) if uri else nullcontext() as receiver:
        try:
            tell(_invitation(client, url, uri, paste is not None, os.environ))
            if open_browser and has_browser(os.environ, sys.platform):
                # Where only a pasted redirect counts, the state is of no use to other users, who
                # can read the arguments of the browser.
                _start_browser(receiver.entrance if receiver else url)
            response = _first_response(client, state, receiver, paste, tell, timeout)
        except KeyboardInterrupt:  # perhaps before an error page
            tell(client.explain_error_pages())
            raise
        client.oauth_complete(response.url())
    missing: tuple[str, ...] = ()
    with suppress(AtlassianAuthError):  # the login is there all the same
        missing = client.scopes_not_granted()
    if missing:
        tell(
            f"Signed in, but without {' '.join(missing)}: Atlassian leaves out scopes that do not "
            "exist, without an error. Check their names, and sign in again."
        )


def _first_response(
    client: AtlassianOAuthClient,
    state: str,
    receiver: Receiver | None,
    paste: Paste | None,
    tell: Callable[[str], object],
    timeout: float,
) -> AuthorizationResponse:
    """The response that comes first, from the receiver or from `paste`."""
    ends = time.monotonic() + timeout
    while (left := ends - time.monotonic()) > 0:
        pause = min(left, _TICK)
        if receiver is not None:
            with suppress(Empty):
                return receiver.arrived.get(timeout=0 if paste else pause)
        if paste is None:
            continue
        try:
            line = hidden((paste(pause) or "").strip())
        except EOFError:
            if receiver is None:
                raise AuthorizationError(
                    "the input ended before the redirect URL was pasted, and nothing waits for the "
                    "browser itself.",
                    advice="Sign in again.",
                ) from None
            paste = None
            continue
        if response := _pasted(line, state):
            return response
        if line:
            tell(
                "That is not the answer to this login. Paste the whole address that the browser "
                "was sent to after you agreed, on one line; it holds `code` and `state`."
            )
    texts = (
        f"no answer came from the browser within {timeout:g} seconds.",
        client.explain_error_pages(),
        _in_container(os.environ) if receiver else "",
    )
    raise AuthorizationTimeoutError("\n".join(filter(None, texts)))


def _pasted(line: str, state: str) -> AuthorizationResponse | None:
    """The response to the request with that state which a line holds, or None.

    A code alone is taken for the response to this request, because no other one asks for it.
    """
    if len(line) < _SHORTEST_CODE:
        return None
    try:
        response = AuthorizationResponse.parse(line)
    except AuthorizationError:
        return None
    if response.code and response.state is None:
        return replace(response, state=state)
    return response if response.answers(state) else None


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether the person sees a browser that is opened by this process.

    If `BROWSER` is set, yes: tools that forward the browser of a container set it.
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
    return bool(named) or any(Path(mark).exists() for mark in _CONTAINER_FILES)


def _in_container(environ: Mapping[str, str]) -> str:
    """A sentence about redirects that do not reach a program in a container, or ""."""
    if not _is_container(environ):
        return ""
    return (
        "This program runs in a container: a published port (docker run -p) does not lead to the "
        "loopback addresses where it waits for the browser. Run the container with --network "
        "host, let an editor forward the port, or paste the redirect URL."
    )


def _start_browser(url: str) -> None:
    """Start it on a thread, because some browsers do not return from their start."""
    threading.Thread(target=_open, args=(url,), name="atlassian-auth-browser", daemon=True).start()


def _open(url: str) -> None:
    with suppress(webbrowser.Error, OSError):  # the person can open the URL, which `tell` got
        webbrowser.open(url)


def _invitation(
    client: AtlassianOAuthClient,
    url: str,
    uri: LoopbackURI | None,
    can_paste: bool,
    environ: Mapping[str, str],
) -> str:
    lines = [f"Sign in with a browser:\n\n    {url}\n"]
    if scope := client.missing_scope:
        lines.append(
            f"Without the scope {scope} this sign-in ends with its first access token, after an "
            f"hour: then you sign in again. Add {scope} to the scopes to stay signed in.\n"
        )
    if (count := len(client.get_oauth_scopes())) > MOST_SCOPES:
        lines.append(
            f"This sign-in asks for {count} scopes. If the page answers 414 or says that a header "
            f"is too large, ask for {MOST_SCOPES} at most.\n"
        )
    if uri and environ.get("SSH_CONNECTION"):
        address = "[::1]" if uri.host == "::1" else "127.0.0.1"
        lines.append(
            "The browser is on another machine? Run this there before you agree, HOST being this "
            f"machine:\n\n    ssh -N -L {uri.port}:{address}:{uri.port} HOST\n"
        )
    elif uri and (text := _in_container(environ)):
        lines.append(f"{text}\n")
    if can_paste:
        paste = "Or paste" if uri else "Then paste"
        lines.append(
            f"{paste} here the address that the browser is sent to after you agree, and press "
            "Enter. What you paste is not shown."
        )
    return "\n".join(lines)


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - login talks to a person
