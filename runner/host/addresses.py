"""Validation of the addresses of servers and stores."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def address_problem(address: str) -> str | None:
    """Why an address is invalid, without quoting it; None if it is valid."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        return str(error).partition(":")[0]
    served = parts.scheme in ("http", "https")
    return "it names no host" if served and not parts.hostname else None


def store_address(text: str) -> str:
    """The argparse type for the address of an MLflow store."""
    if why := address_problem(text):
        raise argparse.ArgumentTypeError(f"it is not the address of an MLflow store: {why}")
    return text
