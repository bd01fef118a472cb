"""The heart: a login is refreshed once per expiry, and its result is kept, whatever happens.

Read `protocol.py` first: the algorithm. `driver.py` performs its steps on a thread, `login.py` is
what a process shares, `source.py` what callers see.

Who holds the lock of a login (`TokenStore.lock`): one flight among all processes that share the
store, while it looks, sends, and saves the answer. A request is sent only within 20 s of taking the
lock (`FENCE`), so that a process that was paused sends nothing late. The lock is held for one
exchange (35 s unless the client's `timeout` says otherwise) and, after a lost answer, as long as
the server allows the same request again: 2 minutes on Cloud. What cannot be saved within some
seconds is saved later, without keeping the lock, and while the server asks to wait, the lock is
free. When a process dies, the kernel frees the lock of a file at once; a lease of Redis or SQL ends
after 60 s. Another process waits for the lock, and its callers for at most `max_wait`.

All flights of a process share 48 threads (`driver.FLIGHTS`), those to one authorization server at
most 24: so a service for many tenants has a bounded number of threads, and asks no server for
thousands of tokens at one time. A flight that waits without the lock holds no thread; one that
waits with it holds one of its server's: for a second request after a lost answer, or for a store.
"""
