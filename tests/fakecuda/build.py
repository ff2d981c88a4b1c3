"""Builds the fake CUDA libraries against the torch that is installed; needs gcc and nm alone.

    python tests/fakecuda/build.py FOLDER SCRIPT > env.sh    # to be read by a shell of its own

torch's libraries find CUDA by their own paths, which no LD_LIBRARY_PATH beats, but a preloaded
library of the same name and the same version node does. So each library here takes both from what
torch asks for, and a function that torch asks for and nobody has written ends the process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from filelock import FileLock

SOURCES = Path(__file__).with_name("src")
CORE = "libfakecuda.so"
# the libraries that torch is linked with: what stands for each, and what its functions begin with
LINKED = {
    "libcudart": (["cudart.c"], "cuda*; __cuda*"),
    "libcublas": (["cublas.c"], "cublas*"),
    "libcublasLt": (["cublaslt.c"], "cublasLt*"),
    "libcudnn": (["cudnn.c"], "cudnn*"),
}
# those that are opened by name while a program runs
OPENED = {"libcuda.so.1": ["cuda.c"], "libnvidia-ml.so.1": ["nvml.c"]}
PRODUCT = re.compile(
    r"cublas[SDCZH]?\d?(gemm|gemv|dot|bgemm|hgemm)|cublas(Gemm|Dot)", re.IGNORECASE
)
ENTRY_POINT = "[torch.backends]\nfakecuda = fakecuda_operators:register\n"


def missing() -> str | None:
    """Why it can't be built here; None where it can."""
    for program in ("gcc", "nm"):
        if shutil.which(program) is None:
            return f"no {program}"
    if not any(_site().glob("nvidia/*/include/cuda_runtime_api.h")):
        return "this torch comes without CUDA"
    return None


def build(folder: Path) -> Path:
    """The folder, below `folder`, with the libraries for this torch; built if it is not there."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(SOURCES.rglob("*.*"))):
        digest.update(path.read_bytes())
    digest.update(str(importlib.util.find_spec("torch").origin).encode())  # type: ignore[union-attr]
    built = folder / f"fakecuda-{digest.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(built.with_suffix(".lock")):
        if not (built / "preload").exists():
            shutil.rmtree(built, ignore_errors=True)
            built.mkdir()
            _build_in(built)
    return built


def environment(built: Path, script: Path, root: Path) -> dict[str, str]:
    """The variables under which a new process, whose code is below `root`, has the fake GPUs.

    `script` says how many there are and what they do; see src/plan.c.
    """
    set_gpus = re.search(r"^set gpus (\d+)", script.read_text(), re.MULTILINE)
    return {
        "LD_PRELOAD": (built / "preload").read_text(),
        "PYTHONPATH": f"{built / 'operators'}:{root}",
        "FAKECUDA_SCRIPT": str(script),
        "FAKECUDA_ID": hashlib.sha256(str(script).encode()).hexdigest()[:4],
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(int(set_gpus[1]) if set_gpus else 1))),
        "TRITON_LIBCUDA_PATH": str(built),  # what it compiles is linked with the driver
    }


def _build_in(folder: Path) -> None:
    asked = _asked()
    _gcc(folder / CORE, ["plan.c", "clock.c", "device.c"])
    libraries = [CORE]
    for name, (sources, exported) in LINKED.items():
        soname = next(one for one in asked if one.startswith(f"{name}.so"))
        libraries.append(soname)
        script = folder / f"{name}.map"
        script.write_text(f"{soname} {{ global: {exported}; local: *; }};\n")
        objects = folder / "written"
        _gcc(objects, sources, core=folder)
        written = _symbols(objects, "--defined-only")
        rest = folder / f"{name}_rest.c"
        rest.write_text(_rest(sorted(asked[soname] - written)))
        options = [f"-Wl,-soname,{soname}", f"-Wl,--version-script={script}"]
        _gcc(folder / soname, [*sources, str(rest)], *options, core=folder)
    for soname, sources in OPENED.items():
        libraries.append(soname)
        _gcc(folder / "written", sources, core=folder)
        rest = folder / f"{soname}_rest.c"
        missing_ = _driver_functions() - _symbols(folder / "written", "--defined-only")
        rest.write_text(_rest(sorted(missing_ if soname.startswith("libcuda") else ())))
        _gcc(folder / soname, [*sources, str(rest)], f"-Wl,-soname,{soname}", core=folder)
    plugin = folder / "operators"
    info = plugin / "fakecuda-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakecuda\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINT)
    shutil.copy(SOURCES / "fakecuda_operators.py", plugin)
    (folder / "preload").write_text(":".join(str(folder / name) for name in libraries))


def _site() -> Path:
    return Path(sysconfig.get_paths()["purelib"])


def _gcc(into: Path, sources: list[str], *options: str, core: Path | None = None) -> None:
    includes = [f"-I{SOURCES}", *(f"-I{path}" for path in _site().glob("nvidia/*/include"))]
    linked = [f"-L{core}", f"-l:{CORE}", "-Wl,-rpath,$ORIGIN"] if core else []
    command = ["gcc", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Werror", *includes]
    command += [*sources, "-o", str(into), *options, *linked, "-lpthread", "-ldl"]
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def _symbols(library: Path, which: str) -> set[str]:
    told = subprocess.run(["nm", "-D", which, library], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in told.stdout.splitlines()}


def _asked() -> dict[str, set[str]]:
    """The functions that installed libraries ask for, by the library that has to have them."""
    site = _site()
    libraries = [*site.glob("torch/lib/*.so"), *site.glob("torchvision/*.so")]
    libraries += site.glob("nvidia/*/lib/libcusolver.so*")  # is linked with cuBLAS itself
    libraries += site.glob("onnxruntime/capi/libonnxruntime_providers_cuda.so")
    asked: dict[str, set[str]] = {}
    for library in libraries:
        for symbol in _symbols(library, "--undefined-only"):
            name, _, version = symbol.partition("@")
            asked.setdefault(version.lstrip("@"), set()).add(name)
    return asked


def _driver_functions() -> set[str]:
    """All of the driver: they are looked up by name."""
    header = next(_site().glob("nvidia/*/include/cuda.h")).read_text()
    return set(re.findall(r"CUDAAPI\s+(cu\w+)\(", header)) | set(
        re.findall(r"#define\s+cu\w+\s+(cu\w+)\s", header)
    )


def _rest(names: list[str]) -> str:
    """What nobody has written: products take their time, all others end the process."""
    lines = ["void fake_unwritten(const char *);", "int fake_product(void *, const char *);"]
    for name in names:
        if PRODUCT.match(name):
            lines.append(f'int {name}(void *h) {{ return fake_product(h, "{name}"); }}')
        else:
            lines.append(f'void {name}(void) {{ fake_unwritten("{name}"); }}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    given = Path(sys.argv[2]).resolve()
    for variable, value in environment(
        build(Path(sys.argv[1]).resolve()), given, Path(__file__).resolve().parents[2]
    ).items():
        print(f"export {variable}={shlex.quote(value)}")
