"""Twins of the packages tensorrt and torch_tensorrt, which need a GPU: as much as is asked of them.

An engine is a text: `engine`, and a line for each tensor: its name, mode, type and shape. A pass of
one writes into its output the first input less twice the second, where all lie in the memory of
this process; elsewhere it launches nothing.
"""

TENSORRT = """
import ctypes
import enum

__version__ = "10.9.0"

class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2

class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1

class Logger:
    WARNING = 2
    def __init__(self, level): pass

class Runtime:
    def __init__(self, logger): pass
    def deserialize_cuda_engine(self, data):
        first, *lines = bytes(data).decode(errors="replace").split("\\n")
        return Engine([line.split() for line in lines if line]) if first == "engine" else None

class Engine:
    def __init__(self, tensors):
        self.tensors = {name: (mode, dtype, shape) for name, mode, dtype, shape in tensors}
        self.num_io_tensors = len(tensors)
    def get_tensor_name(self, place): return list(self.tensors)[place]
    def get_tensor_mode(self, name): return TensorIOMode[self.tensors[name][0]]
    def get_tensor_dtype(self, name): return DataType[self.tensors[name][1]]
    def get_tensor_shape(self, name): return tuple(map(int, self.tensors[name][2].split("x")))
    def create_execution_context(self): return Context(self)

class Context:
    def __init__(self, engine):
        self.engine, self.addresses, self.shapes, self.launched = engine, {}, {}, []
    def set_input_shape(self, name, shape): self.shapes[name] = shape
    def get_tensor_shape(self, name): return self.engine.get_tensor_shape(name)
    def set_tensor_address(self, name, address): self.addresses[name] = address
    def execute_async_v3(self, stream):
        self.launched.append(stream)
        if stream != 0:
            return True
        count = 1
        for size in self.get_tensor_shape(list(self.addresses)[-1]):
            count *= size
        at = {name: (ctypes.c_float * count).from_address(a) for name, a in self.addresses.items()}
        for i in range(count):
            at["out"][i] = at["left"][i] - 2 * at["right"][i]
        return True
"""

TORCH_TENSORRT = """
import torch

__version__ = "2.11.0"

class Converted(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self._run_on_acc_0 = network
    def forward(self, *inputs):
        return self._run_on_acc_0(*inputs)

def compile(module, *, ir, inputs, use_explicit_typing, disable_tf32):
    assert ir == "dynamo" and use_explicit_typing
    assert all(one.dtype == next(module.parameters()).dtype for one in inputs)
    return Converted(module) if not hasattr(module, "refuses") else module
"""
