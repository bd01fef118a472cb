"""What every auth object must do: everything that the files beside this one say about it."""

from __future__ import annotations

from .bearer import BearerTests
from .concurrency import ConcurrencyTests
from .destinations import DestinationTests
from .errors import ErrorTests
from .objects import ObjectTests
from .redirects import RedirectTests
from .rejections import RejectionTests

__all__ = ["AuthAdapterContract"]


class AuthAdapterContract(
    BearerTests,
    RejectionTests,
    DestinationTests,
    RedirectTests,
    ErrorTests,
    ObjectTests,
    ConcurrencyTests,
):
    """Inherit from it, describe the adapter as `AdapterTests` asks, and the tests run with it."""
