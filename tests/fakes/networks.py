"""A user's own networks, as the text of the module beside which the program runs."""

NETWORKS = '''
"""A user's own networks."""
import ctypes, os, time, torch

print("hello from the user's module")

class Sleep(torch.nn.Module):
    """Takes 50 ms, whatever the machine does."""
    def forward(self, x):
        time.sleep(0.05)
        return x

class StopsOnce(Sleep):
    """Waits in its 60th call, and says so in a file; if that is there already, it does not."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls == 60 and not os.path.exists("stopped.txt"):
            open("stopped.txt", "w").close()
            time.sleep(600)
        return super().forward(x)

class Brief(torch.nn.Module):
    """Takes 3 ms."""
    def forward(self, x):
        time.sleep(0.003)
        return x

class Steady(torch.nn.Module):
    """Takes 6 ms, or what SLOW makes of it."""
    def forward(self, x):
        time.sleep(0.006 * float(os.environ.get("SLOW", "1")))
        return x

class SlowStart(torch.nn.Module):
    """Its first 30 calls take six times as long as the others."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        time.sleep(0.06 if self.calls < 30 else 0.01)
        self.calls += 1
        return x

class Multiplies(torch.nn.Module):
    """Computes without a pause."""
    def forward(self, x):
        for _ in range(20):
            x = x @ x
        return x.clamp(-1, 1)

class Checks(torch.nn.Module):
    """Fails unless it is in eval mode, in inference mode, in a process without MLflow or Hydra."""
    def forward(self, x):
        import sys
        assert not self.training and torch.is_inference_mode_enabled()
        assert "mlflow" not in sys.modules
        return x

class Raises(torch.nn.Module):
    def forward(self, x):
        raise RuntimeError("the network is on fire, password=hunter2")

class Scribbles(torch.nn.Module):
    """Writes into everything that is open."""
    def forward(self, x):
        for number in range(3, 40):
            try:
                os.write(number, bytes(3) + bytes([4]) + b"junk")
            except OSError:
                pass
        return x

class Prints(torch.nn.Module):
    """Prints 6 MB in each pass, and hangs in the last."""
    def __init__(self, last=8):
        super().__init__()
        self.last, self.calls = last, 0
    def forward(self, x):
        self.calls += 1
        print(f"call {self.calls} " + "x" * 6_000_000, flush=True)
        while self.calls == self.last:
            print("y" * 1_000_000, flush=True)
            time.sleep(0.02)
        return x

class Says(torch.nn.Module):
    """Says a word in each pass."""
    def __init__(self, word="hello"):
        super().__init__()
        self.word = word
    def forward(self, x):
        print(self.word)
        return x

class Silences(torch.nn.Module):
    """Stops the server, which then accepts and never answers, in its last call."""
    calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls > 20:
            os.killpg(int(os.environ["SERVER_PID"]), 19)
        return x

class Announces(torch.nn.Module):
    """Writes a length into everything that is open, and nothing of that length."""
    def forward(self, x):
        for number in range(3, 40):
            try:
                os.write(number, bytes([0, 1, 0, 0]))
            except OSError:
                pass
        return x

class Escapes(torch.nn.Module):
    """Starts a process in a session of its own, and ends in the given way."""
    def __init__(self, how, end):
        super().__init__()
        import subprocess, sys
        program = "import os, sys, time; open('helper.pid', 'w').write(str(os.getpid()))"
        program += "; os.rename('helper.pid', 'helper'); time.sleep(600)"
        if how == "session":
            subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
        elif os.fork() == 0:  # a daemon: forked twice, its parent gone
            os.setsid()
            if os.fork() == 0:
                os.execv(sys.executable, [sys.executable, "-c", program])
            os._exit(0)
        else:
            os.wait()
        while not os.path.exists("helper"):
            time.sleep(0.01)
        self.end = end
    def forward(self, x):
        if self.end == "raises":
            raise ValueError("no such size")
        if self.end == "exits":
            os._exit(3)
        if self.end == "crashes":
            ctypes.string_at(0)
        if self.end == "hangs":
            time.sleep(600)
        return x

class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")

class Lifts(torch.nn.Module):
    """Raises what few expect."""
    def forward(self, x):
        raise self.error

class Interrupts(Lifts):
    error = KeyboardInterrupt()

class Generates(Lifts):
    error = GeneratorExit("enough")

class SaysNothing(Lifts):
    error = Speechless()

class CausesItself(torch.nn.Module):
    def forward(self, x):
        error = BaseException("round and round")
        raise error from error

class Leaves(torch.nn.Module):
    def forward(self, x):
        raise SystemExit("no licence")

class Hangs(torch.nn.Module):
    """Holds the interpreter in its 30th call; its helper is in a session of its own."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        import subprocess
        self.calls += 1
        if self.calls == 30:
            helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
            with open("helper.pid", "w") as file:
                file.write(str(helper.pid))
            ctypes.PyDLL(None).sleep(600)
        return x

class Eats(torch.nn.Module):
    """Takes all memory in its 25th call."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls == 25:
            self.eaten = bytearray(b"x" * (8 * 2**30))
        return x

class RunsOut(torch.nn.Module):
    def forward(self, x):
        raise torch.OutOfMemoryError("tried to allocate 99 GiB")

class Vandal(torch.nn.Module):
    """Removes the folder its record should go to."""
    def forward(self, x):
        import shutil
        shutil.rmtree("outputs", ignore_errors=True)
        return x

class Dies(torch.nn.Module):
    def forward(self, x):
        ctypes.string_at(0)

class After(torch.nn.Module):
    """Does something bad once its timed calls are over."""
    def __init__(self, calls, then):
        super().__init__()
        self.left, self.then = calls, then
    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            {"raise": self.fail, "die": lambda: ctypes.string_at(0), "exit": lambda: os._exit(3),
             "train": self.train}[self.then]()
        return x
    def fail(self):
        raise RuntimeError("on fire, password=hunter2")

class Clock(torch.nn.Module):
    """Writes down when it was called first."""
    def forward(self, x):
        if not os.path.exists("first.txt"):
            with open("first.txt", "w") as file:
                file.write(str(time.time_ns()))
        return x

class Forks(torch.nn.Module):
    """Starts a process of its own, and may die beside it."""
    def __init__(self, die=False):
        super().__init__()
        import multiprocessing
        self.helper = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        self.helper.start()
        with open("helper.pid", "w") as file:
            file.write(str(self.helper.pid))
        self.die = die
    def forward(self, x):
        if self.die:
            os._exit(3)
        return x

class HoldsOn(torch.nn.Module):
    """Never ends, and neither does its helper; writes down who they are."""
    def forward(self, x):
        import subprocess
        helper = subprocess.Popen(["sleep", "600"])
        with open("pids.partial", "w") as file:
            file.write(f"{os.getpid()} {helper.pid}")
        os.replace("pids.partial", "pids.txt")
        time.sleep(600)

class Identity(torch.nn.Module):
    def forward(self, x):
        return x

class Conv(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.last = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 5)
    def forward(self, x):
        return self.last(torch.relu(self.inner(x)).mean((2, 3)))

class OneThread(Conv):
    """Has torch use one thread, whatever was asked for."""
    def __init__(self):
        super().__init__()
        torch.set_num_threads(1)

class Tiny(Conv):
    """Its weights are denormal numbers."""
    def __init__(self):
        super().__init__()
        for parameter in self.parameters():
            parameter.data.fill_(1e-40)

class TwoInputs(Conv):
    def forward(self, image, scale):
        return {"logits": super().forward(image) + scale.mean()}

def two_inputs(batch_size, size, device):
    return {"scale": torch.ones(batch_size, 4), "image": torch.randn(batch_size, 3, *size)}

class Changing(Conv):
    """Compiled anew at some calls, with a break."""
    def __init__(self):
        super().__init__()
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        torch._dynamo.graph_break()
        return super().forward(x) * (1 + self.calls // 12)

class Stubborn(torch.nn.Module):
    """Stays in training mode."""
    def train(self, mode=True):
        return super().train(True)
    def forward(self, x):
        return x

def identity(width=1, depth=1):
    return Identity()

def not_a_module():
    return 3
'''
