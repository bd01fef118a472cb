"""`atlassian-auth api`: makes a request with the login, as `gh api` does for GitHub."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import IO, Any
from urllib.parse import urlencode

import click
import requests
from requests.structures import CaseInsensitiveDict

from atlassian_auth_adapter.atlassian.gateway_paths import needs_option
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.cli.answers import media_type_of, parsed, print_body, print_head
from atlassian_auth_adapter.cli.bodies import form_with_file, json_of, pairs_of, streamed
from atlassian_auth_adapter.cli.pages import Pages
from atlassian_auth_adapter.cli.sending import Sender, pieces_of
from atlassian_auth_adapter.cli.terminal import begin_answer, profile_option
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.profiles.file import load_profile

__all__ = ["command"]

#: Headers that the command or the HTTP library sets itself: another value would send the token of
#: another login, or break the framing of the request.
OWN_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "host", "connection"),
        *("content-length", "transfer-encoding"),
    }
)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~]*)")
_METHOD = re.compile(r"[A-Z-]{1,40}")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_CLOUD_ID = re.compile(r"\{cloud_?id\}|%7Bcloud_?id%7D", re.IGNORECASE)


def _text(_context: Any, _option: click.Parameter, value: Any) -> Any:
    """The text or texts of the command line, in UTF-8 also where the locale is another one."""
    try:
        if isinstance(value, tuple):
            return tuple(text.encode(errors="surrogateescape").decode() for text in value)
        return value.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError:
        raise click.BadParameter("it is not text in UTF-8.") from None


_repeated = partial(click.option, multiple=True, callback=_text)


@click.command()
@click.argument("path", callback=_text)
@profile_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the answer as it came, also to a terminal."
)
@click.option("-X", "--method", metavar="METHOD", help="Default: GET; with a body: POST.")
@_repeated("-f", "--raw-field", "raw", metavar="NAME=TEXT", help="A field. Repeat it for more.")
@_repeated(
    "-F",
    "--field",
    "typed",
    metavar="NAME=VALUE",
    help="A field: a number, true, false, null, @FILE for the text in a file, or a text.",
)
@_repeated("-H", "--header", "headers", metavar="NAME:VALUE", help="A header. Repeat it for more.")
@click.option(
    "--input", "file", type=click.File("rb"), metavar="FILE", help="The body; - is stdin."
)
@click.option(
    "--attach",
    type=click.File("rb"),
    metavar="FILE",
    help="Upload it in a form, as attachments are.",
)
@click.option("--paginate", is_flag=True, help="Ask for all pages, one after the other.")
@click.option("--slurp", is_flag=True, help="With --paginate: one JSON array of all pages.")
@click.option("-i", "--include", is_flag=True, help="Print status and headers as well.")
def command(name: str, as_json: bool, **options: Any) -> int:
    """Make a request with the login, and print the answer.

    \b
    atlassian-auth api /rest/api/3/myself
    atlassian-auth api /wiki/api/v2/pages --paginate
    atlassian-auth api /rest/api/3/issue --input new.json

    PATH is a path of the site, the server or the gateway, where {cloudId} stands for the cloud id,
    or a whole URL of them. The token goes to the hosts of the login only, and is never printed.

    Fields go into the query of a GET, otherwise into a JSON body: -f 'a[b]=1' is an object within
    it, and -f 'a[]=1' a list. JSON is made readable for a terminal; a file or a pipe gets every
    byte as it came.
    """
    _check(**options)
    include, slurp = options["include"], options["slurp"]
    with Sender(load_profile(name)) as sender:
        request = _request(sender.client, **options)
        if options["paginate"]:
            return _print_pages(sender, request, as_json=as_json, include=include, slurp=slurp)
        with sender.answer(request) as response:
            begin_answer()
            if include:
                print_head(response)
            body = _Started(pieces_of(response))
            print_body(body, media_type_of(response), as_it_came=as_json)
            return sender.exit_code(response, body.start)


def _print_pages(
    sender: Sender, request: requests.Request, *, as_json: bool, include: bool, slurp: bool
) -> int:
    """Print each page as it comes: one JSON text after the other, or one array of them."""
    pages, before, code = Pages(), "[", 0
    try:
        while request.url:
            with sender.answer(request) as response:
                body = b"".join(pieces_of(response))
                begin_answer()
                sys.stdout.write(before if slurp else "")
                before = ","
                if include:
                    print_head(response)
                print_body([body], media_type_of(response), as_it_came=as_json)
                is_ended = not body or body.endswith(b"\n") or sys.stdout.isatty()
                sys.stdout.write("" if slurp or is_ended else "\n")
                code = sender.exit_code(response, body)
                link = response.links.get("next", {}).get("url", "")
            has_more = body and not code
            request.url = pages.after(request.url, parsed(body), link) if has_more else ""
    finally:
        sys.stdout.write("]\n" if slurp and before == "," else "")
    return code


class _Started:
    """The pieces of a body, of which the first one is remembered."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.start = b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.start = self.start or piece
            yield piece


# --- the request ----------------------------------------------------------------------------------


def _check(
    method: str | None, file: Any, attach: Any, paginate: bool, slurp: bool, **given: Any
) -> None:
    if file and attach:
        raise click.UsageError("--input and --attach exclude each other.")
    if slurp and (not paginate or given["include"]):
        raise click.UsageError("--slurp needs --paginate, and excludes --include.")
    if paginate and (file or attach or (method or "GET").upper() != "GET"):
        raise click.UsageError("--paginate is for GET, without a body.")
    if method and not _METHOD.fullmatch(method.upper()):
        raise click.UsageError("-X: write a method of HTTP, such as PUT.")
    if method and method.upper() in ("TRACE", "CONNECT"):  # an answer to TRACE shows the token
        raise click.UsageError("-X: this method is not supported.")


def _request(
    client: AtlassianClient,
    path: str,
    method: str | None,
    raw: Sequence[str],
    typed: Sequence[str],
    headers: Sequence[str],
    file: IO[bytes] | None,
    attach: IO[bytes] | None,
    paginate: bool,
    **_: Any,
) -> requests.Request:
    """The request as it is described by the options."""
    pairs = pairs_of(raw, typed)
    has_body = bool(pairs or file or attach) and not paginate
    method = (method or ("POST" if has_body else "GET")).upper()
    request = requests.Request(method, headers={"Accept": "application/json, */*;q=0.8"})
    in_query = method in ("GET", "HEAD") or file is not None
    request.url = _url(client, path, pairs if in_query else [])
    if attach:
        form = [] if in_query else pairs
        request.data, kind = form_with_file(form, attach)
        request.headers |= {"Content-Type": kind, "X-Atlassian-Token": "no-check"}
    elif file:
        request.data = streamed(file)
        request.headers["Content-Type"] = "application/json"
    elif pairs and not in_query:
        request.data = json_of(pairs)
        request.headers["Content-Type"] = "application/json"
    request.headers = CaseInsensitiveDict(request.headers)
    request.headers.update(map(_header, headers))
    return request


def _header(text: str) -> tuple[str, str | None]:
    """Name and value of a header; None for one that is left out."""
    match = _HEADER.fullmatch(text)
    if not match:
        raise click.UsageError("-H: write NAME: VALUE, in visible ASCII, on one line.")
    if match[1].lower() in OWN_HEADERS:
        raise click.UsageError(f"-H: {match[1]} is set by the command itself. Leave it out.")
    return match[1], match[2].strip() or None


def _url(client: AtlassianClient, path: str, pairs: Sequence[tuple[str, Any]]) -> str:
    """The absolute URL for what was given as PATH."""
    if _CLOUD_ID.search(path):
        base_url, cloud_id = client.base_url, client.cloud_id  # the site may have to be found first
        if not cloud_id:
            raise click.UsageError(f"{{cloudId}}: there is no cloud id at {base_url}.")
        path = _CLOUD_ID.sub(cloud_id, path)
    if scheme := _SCHEME.match(path):
        if scheme[1].lower() not in ("http", "https"):
            raise click.UsageError("give a path, or a URL that begins with https://.")
        url = path
    else:
        base_url, path = client.base_url, "/" + path.lstrip("/")
        url = Location.of(base_url).origin_url + path
        route = client.resource_server.route(Location.of(url.partition("?")[0]))
        # A path of the gateway, or one that begins with the context path; else one below it.
        has_gateway = client.product.gateway_path and not client.server_url
        of_gateway = path.startswith("/ex/") or (has_gateway and needs_option(path))
        if not (route.bearer or of_gateway):
            url = base_url + path
    url = url.partition("#")[0]
    query = urlencode([(key, _in_query(value)) for key, value in pairs])
    return url + (f"{'&' if '?' in url else '?'}{query}" if query else "")


def _in_query(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value in (None, ()) else value
