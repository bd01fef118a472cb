"""Where the token goes: a redirect to another host, and a link to another host."""

from __future__ import annotations

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import one_after_the_other, user_of
from benchmarks.logins import FOREIGN_HOST, Login
from benchmarks.server import local_server


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    login = Login()
    with local_server(tokens={login.access_token: 3600}) as server:
        login = Login(base=server.base)
        leaked = []
        for url in (f"{login.url}/redirect", login.url.replace("127.0.0.1", FOREIGN_HOST)):
            before = server.counts()
            one_after_the_other(user, login, [url])
            after = server.counts()
            arrived = after["requests"] - before["requests"]
            leaked.append(len(after["foreign"]) > len(before["foreign"]))
            if not arrived:
                raise RuntimeError("no request has arrived")
    redirected, linked = ("leaked" if each else "kept" for each in leaked)
    return {
        "both": "leaked" if "leaked" in (redirected, linked) else "kept",
        "redirect": f"redirect: {redirected}",
        "link": f"link: {linked}",
    }


WORK = Work(
    "redirect",
    "Where the token goes",
    "A request that is redirected to another host, and one whose URL, as a link in an answer may, "
    "names another host: does the token arrive there? httpx and httpx2 are told to follow "
    "redirects.",
    tuple(Column(library, library) for library in LIBRARIES),
    (Figure("both", "", "kept"), Figure("redirect", "{}"), Figure("link", "{}")),
    measure,
    rounds=1,
    beside=2,
    seconds=1.5,
)
