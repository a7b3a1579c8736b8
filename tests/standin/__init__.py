# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of the CSM service for tests and demos: real HTTP on 127.0.0.1, faults on demand."""

from .faults import Fault, Kind
from .service import ACCOUNT, FORBIDDEN_KEY, KEY, SIGNATURE, StandIn
from .wire import Request

__all__ = [
    "ACCOUNT",
    "FORBIDDEN_KEY",
    "KEY",
    "SIGNATURE",
    "Fault",
    "Kind",
    "Request",
    "StandIn",
]
