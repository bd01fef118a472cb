"""What is kept of a profile: the secret of its client."""

from __future__ import annotations

from dataclasses import dataclass, field

from atlassian_auth_adapter.secret_text import SecretText

__all__ = ["ClientSecret"]


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """The secret of a profile's client."""

    secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", SecretText(self.secret))
