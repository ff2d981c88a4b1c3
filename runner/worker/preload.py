"""Imported once by the forkserver: all that a worker needs, collected and frozen.

A full garbage collection after these imports takes longer than everything else in
a worker's start; frozen here, they are never looked at again in its forks.
"""

import atexit
import gc
import multiprocessing.sharedctypes  # noqa: F401

import torch  # noqa: F401
import torchvision  # noqa: F401

import runner.host.environment
import runner.measure.launch
import runner.measure.torch_device
import runner.models.custom
import runner.models.sources
import runner.models.torchvision  # noqa: F401

gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # or extension modules report their objects as leaked at exit
