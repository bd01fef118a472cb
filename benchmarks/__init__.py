"""What measures the library: `make bench` and `make bench-check`; docs/performance.md is its page.

Read `work/__init__.py`, `runner.py` and `peers/__init__.py`, in this order.

    __main__.py     the command
    runner.py       a fresh process for each measurement, interleaved rounds
    child.py        what runs in that process
    kept.py         what was measured: a run that was interrupted goes on with it
    progress.py     how far a run is, how long the rest takes, whether others disturb it
    bounds.py       what `make bench-check` demands
    profile.py      where our time or memory goes
    reasons.py      why a peer is ahead, where one is: a profile confirms it
    page.py picture.py      docs/performance.md and its picture
    figures.py      what a measurement brings
    clocks.py       a clock, which tells a profile when to look
    libraries.py    the HTTP libraries: a request, a client, an answer from memory
    logins.py       the login that a peer is given
    server.py       resource server and token endpoint, a process of its own
    load.py         many threads, tasks or processes at one moment; a steady load
    peers/          who is measured, a file each
    work/           what is measured, a file for each kind
"""
