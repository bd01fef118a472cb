"""Which hosts are this machine: narrowly for what needs no TLS, widely for what no proxy gets."""

from __future__ import annotations

from atlassian_auth_adapter.hosts import is_loopback, is_this_machine


def test_what_needs_no_tls() -> None:
    """Plain http is accepted for the usual names of this machine only."""
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "::1"):
        assert is_loopback(host)
    for host in ("localhost.", "localhost.example", "0.0.0.0", "10.0.0.1", "::ffff:8.8.8.8", ""):
        assert not is_loopback(host)


THIS_MACHINE = [
    *("localhost", "LOCALHOST", "localhost.", "jira.localhost", "127.0.0.1", "127.0.0.1."),
    *("127.8.9.10", "127.1", "0x7f000001", "2130706433", "::1", "0:0:0:0:0:0:0:1"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::"),
]
OTHER_MACHINES = [
    *("jira.company.com", "localhost.company.com", "notlocalhost", "127.0.0.1.nip.io", "10.0.0.1"),
    *("128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1%eth0", ""),
]


def test_this_machine_is_known_in_every_spelling() -> None:
    """Names and addresses that no packet leaves the machine for; names that only resemble them."""
    assert [host for host in THIS_MACHINE if not is_this_machine(host)] == []
    assert [host for host in OTHER_MACHINES if is_this_machine(host)] == []
