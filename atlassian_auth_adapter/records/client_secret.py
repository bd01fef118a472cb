"""What is kept of a profile: the secret of its client."""

from __future__ import annotations

from typing import ClassVar

from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.values import Value

__all__ = ["ClientSecret"]


class ClientSecret(Value):
    """The secret of a profile's client."""

    secret: str
    __slots__ = ("secret",)
    _hidden: ClassVar[frozenset[str]] = frozenset({"secret"})

    def __init__(self, secret: str = "") -> None:
        secret = SecretText(secret)
        self._set(secret=secret)
