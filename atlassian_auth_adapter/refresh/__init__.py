"""The heart: a login is refreshed once per expiry, and its result is kept, whatever happens.

Read `protocol.py` first: the algorithm. `driver.py` performs its steps on a thread, `login.py` is
what a process shares, `source.py` what callers see.
"""
