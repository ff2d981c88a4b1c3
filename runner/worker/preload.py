"""Imported once by the forkserver: everything a worker needs, collected and frozen.

A full garbage collection after these imports takes longer than everything else in
a worker's start; frozen here, its forks never examine them again.
"""

import atexit
import gc
import multiprocessing.sharedctypes  # noqa: F401
import warnings

import torch
import torchvision  # noqa: F401

import runner.host.environment
import runner.measure.launch
import runner.measure.torch_device
import runner.models.custom
import runner.models.guard
import runner.models.sources
import runner.models.torchvision
import runner.worker.torch_settings  # noqa: F401
from runner.host.devices import Devices, possible_devices
from runner.worker import tree

if possible_devices() == Devices():
    # loading cuDNN takes as long as a fork, and there is no GPU that it could initialize
    torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
tree.adopt_orphans()  # of workers that died; they are ended before the next one starts
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # or extension modules report their objects as leaked at exit
