"""The heart: a login is refreshed once per expiry, and its result is kept, whatever happens.

Read `protocol.py` first: the algorithm. `driver.py` performs its steps on a thread, `login.py` is
what a process shares, `source.py` what callers see.

Who holds the lock of a login (`TokenStore.lock`): one flight among all processes that share the
store, while it looks, sends, and saves the answer. A request is sent only within 20 s of taking the
lock (`FENCE`), so that a process that was paused sends nothing late. The lock is held for one
exchange (35 s unless the client's `timeout` says otherwise) and, after a lost answer, as long as
the server allows the same request again: 2 minutes on Cloud. What cannot be saved within some
seconds is saved later, without keeping the lock. When a process dies, the kernel frees the lock of
a file at once; a lease of Redis or SQL ends after 60 s. Another process waits for the lock on its
own thread, and its callers for at most `max_wait`.
"""
