"""The phases of a request, in the order in which they follow each other."""

from __future__ import annotations

PHASES = {  # name -> what it does
    "decode": "JPEGs to images",
    "preprocess": "images to a normalized batch",
    "h2d": "copy to the device",
    "forward": "the network",
    "d2h": "copy of its output to the host",
    "postprocess": "output to an answer",
}
