"""Addresses of servers and stores: whether one can be read at all."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def address_problem(address: str) -> str | None:
    """Why an address can't be read; None for one that can. It holds nothing of the address."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        return str(error).partition(":")[0]
    served = parts.scheme in ("http", "https")
    return "it names no host" if served and not parts.hostname else None


def store_address(text: str) -> str:
    """The type of a command's option for the address of an MLflow store."""
    if why := address_problem(text):
        raise argparse.ArgumentTypeError(f"it is no address of an MLflow store: {why}")
    return text
