"""Bad input through the real program: exit 2, one short message, no traceback, nothing left."""

from __future__ import annotations

import pytest

SIZE = "expected a whole number of pixels of at least 1, or [height, width]"

ALONE = "runner: nothing was run:\n  - "  # and nothing else is wrong

CASES = [
    ("model=resnt50", "model=resnt50 does not exist; similar: resnet50"),
    ("model=", "model= does not exist"),
    ("model.name=foo", "model.name is foo, which is not a model; choose one with model=NAME"),
    ("model.task=foo", "model.task is foo; expected one of classification"),
    ("model=custom", "model.target is null; model=custom needs the import path"),
    ("model=custom model.target=foo", "model.target is foo; model=custom needs the import path"),
    ("model.target=a.b", "model.target is only valid with model=custom, but model is resnet50"),
    (
        "model=custom model.target=a.b model.weights=X",
        "model.weights is only valid with torchvision's",
    ),
    ("model=vit_h_14 input.size=640", "vit_h_14 takes multiples of 14: use 630 or 644"),
    ("model=vit_b_16 input.size=[224,448]", "vit_b_16 takes square inputs only"),
    ("model=null", "model=null chooses nothing"),
    ("resnet18", "'resnet18' is not of the form key=value; did you mean model=resnet18?"),
    ("input.size=range(64,128,0)", "input.size=range(64,128,0) is not a valid range"),
    ("input.size=range(1,100000)", "expands to too many values; expected at most 20000"),
    ("input.size=range(1,inf)", "expands to too many values; expected at most 20000"),
    ("seed=range(90000000000,1,-1)", "expands to too many values; expected at most 20000"),
    ("seed=range(0,20000) repeat=0,1", "this sweep has 40000 trials; expected at most 20000"),
    ("hydra.sweep.dir=x", "hydra.sweep.dir=x can't be set; records are in output_dir/<sweep.id>"),
    ("hydra.sweep.subdir=x", "hydra.sweep.subdir=x can't be set"),
    ("++hydra.run.dir=x", "++hydra.run.dir=x can't be set"),
    (
        "hydra/sweeper=basic",
        "hydra/sweeper=basic can't be set; runner uses its own sweeper: omit it",
    ),
    ("hydra.sweeper._target_=a.b", "hydra.sweeper._target_=a.b can't be set"),
    ("hydra.mode=RUN", "hydra.mode=RUN can't be set; everything is a sweep"),
    ("model=[resnet18,resnet34]", "would merge these files, the last one winning; to time each"),
    ("timing=[quick,precise]", "to time each, use timing=quick,precise"),
    ("seed=1 seed=2", "seed=1 and seed=2 give seed twice; give one, or both values with a comma"),
    ("seed=1 ++seed=2", "seed=1 and ++seed=2 give seed twice"),
    ("seed=1 seed=1", "seed=1 and seed=1 give seed twice"),
    ("model=vgg11 model=vgg13", "model=vgg11 and model=vgg13 give model twice"),
    ("model.kwargs={a:1} model.kwargs={b:2}", "give model.kwargs twice"),
    ("sweep.id=latest", "sweep.id is latest, which is reserved"),
    ("sweep.id=nightly.html", "sweep.id is nightly.html, which is reserved"),
    ("sweep.id=other.db", "sweep.id is other.db, which is reserved"),
    (
        f"sweep.id='{'0123abcd' * 4}'",
        "which is reserved: it means something else where a sweep is named",
    ),
    ("seed=\x1b[2J1", r"'seed=\x1b[2J1' contains control characters"),
    (
        "model.kwargs={a:\udcff}",
        r"'model.kwargs={a:\udcff}' contains control characters or invalid UTF-8",
    ),
    ("sweep.name=/abs", "sweep.name is '/abs'; expected letters, digits"),
    ("sweep.name=..", "sweep.name is '..'; expected letters, digits"),
    ("sweep.resume=latest sweep.id=q", "sweep.resume=latest and sweep.id=q both choose a sweep"),
    ("tracking=server tracking.uri='http://[::1'", "tracking.uri is not an address (Invalid IPv6"),
    ("tracking=server tracking.uri='http://h:port'", "tracking.uri is not an address (Port could"),
    ("nightly.webhook='http://[::1'", "nightly.webhook is not an http or https address"),
    (f"model.kwargs={'{a:' * 300}1{'}' * 300}", "is nested too deeply"),
    (f"model.kwargs={'{a:' * 60}1{'}' * 60}", "model.kwargs are nested more than 40 deep"),
    (f"{'x' * 5000}=1", "xxx... (5000 characters) is not a key"),
    (f"device={'x' * 5000}", "xxx... (5001 characters) expected auto, cpu"),
    (f"model={'x' * 5000}", "xxx... (5006 characters) does not exist"),
    (f"output_dir={'x' * 5000}", "no folder can be created there (File name too long)"),
    (f"tracking.experiment={'x' * 5000}", "tracking.experiment has 5000 characters"),
    ("model=onnx model.file=networks.py", "networks.py can't be read ("),
    ("model=exported model.file=networks.py", "networks.py can't be read ("),
    ("sweep.repeats=1000000000", "sweep.repeats is 1000000000; expected at most 20000"),
    ("isolation=none sweep.repeats=2", "isolation=none runs everything in this process, but"),
    ("timing.iterations=1000000000000", "expected a whole number of at most 10000000"),
    ("timing.inner=1000000000", "expected a whole number of at most 1000000"),
    ("seed=99999999999999999999", "expected a whole number of at most 9223372036854775807"),
    ("runtime.threads=100000", "expected a whole number of at most 1024"),
    ("output_dir=", "output_dir is empty"),
    ("+model.kwargs.x=inf", "expected finite numbers only"),
    ("model=simulated model.kwargs.kernel_ms=abc", "kernel_ms is abc; expected a number of"),
    ("model=simulated model.kwargs.slow_factor=0", "slow_factor is 0; expected a number of"),
    ("model=inception_v3 input.size=32", "inception_v3 takes at least 75 pixels"),
    ("model=mvit_v2_s input.size=640", "mvit_v2_s takes at most 224 pixels"),
    ("model=quantized_resnet18 device=cuda", "is an int8 model for the CPU"),
    ("input.siz=3", "input.siz is not a key; did you mean input.size?"),
    ("+input.siz=3", "input.siz is not a key; did you mean input.size?"),
    ("++timing.warmpu=3", "timing.warmpu is not a key; did you mean timing.warmup?"),
    ("foo=1", "foo is not a key (the keys are: model,"),
    ("+foo=1", "foo is not a key (the keys are: model,"),
    ("~input.batch_size", "every key is required"),
    ("~timing", "every key is required"),
    ("input.size=0", f"input.size is 0; {SIZE}"),
    ("input.size=-5", f"input.size is -5; {SIZE}"),
    ("input.size=abc", f"input.size is abc; {SIZE}"),
    ("input.size=1.5", f"input.size is 1.5; {SIZE}"),
    ("input.size=nan", f"input.size is nan; {SIZE}"),
    ("input.size=null", f"input.size is null; {SIZE}"),
    ("input.size=true", f"input.size is true; {SIZE}"),
    ("input.size=", SIZE),
    ("input.size=[640]", f"input.size is [640]; {SIZE}"),
    ("input.size=[640,0]", f"input.size is [640, 0]; {SIZE}"),
    ("input.size=640,640", "occurs 2 times in this sweep"),
    ("input.size=[640", "'input.size=[640' can't be read"),
    ("input.size=interval(1,3)", "is not a finite list"),
    ("input.size 640", "'input.size' can't be read"),
    ("=3", "'=3' has no key"),
    ("input=foo", "expected its keys one by one (input.size,"),
    ("input.batch_size=0", "input.batch_size is 0; expected a whole number of at least 1"),
    ("input.batch_size=two", "input.batch_size is two; expected a whole number"),
    ("input.batch_size=1.5", "input.batch_size is 1.5; expected a whole number"),
    ("input.frames=0", "input.frames is 0; expected a whole number of at least 1"),
    ("input.fill=noise", "input.fill is noise; expected one of randn, zeros, ones"),
    ("timing=fast", "timing=fast does not exist; similar: default (available: "),
    ("timing.warmup=-1", "timing.warmup is -1; expected a whole number of at least 0"),
    ("timing.warmup={a:1}", "expected a whole number"),
    ("timing.iterations=0", "timing.iterations is 0; expected a whole number of at least 1"),
    ("timing.iterations=nan", "timing.iterations is nan; expected a whole number"),
    ("timing.max_seconds=nan", "timing.max_seconds is nan; expected seconds above 0"),
    ("timing.max_seconds=-1", "timing.max_seconds is -1.0; expected seconds above 0"),
    ("timing.method=evnt", "timing.method is evnt; did you mean event? expected one of"),
    ("timing.method=event device=cpu", "needs one of the devices cuda, xpu, simulated"),
    ("device=cuda:77", "device=cuda:77 was requested, but torch sees"),
    ("device=tpu", ALONE + "device is tpu; expected auto, cpu, cuda, cuda:N"),
    ("input.size=${oc.env:NOPE}", "input.size is ${oc.env:NOPE}, which has no value"),
    ("model=${oc.env:MODEL}", "let the shell expand it, as in model=$NAME"),
    ("model=glob(resnt*)", "model=glob(resnt*) matches none of"),
    (f"sweep.id={'x' * 300}", "sweep.id is 'xxxxxxxxxxxxxxxxxxxx... (300 characters)'; expected"),
    ("sweep.id=mlartifacts", "sweep.id is mlartifacts, which MLflow itself uses"),
    ("sweep=smoke,demo", ALONE + "sweep is swept, but applies to the whole sweep; give one"),
    ("input.size=999999999999999999999999", "expected at most 1000000 pixels"),
    ("input.batch_size=10000000000", "expected a whole number of at most 1000000000"),
    ("threads=1", "threads is not a key; did you mean runtime.threads?"),
    ("batch_size=2", "batch_size is not a key; did you mean input.batch_size?"),
    ("size=640", "size is not a key; did you mean input.size?"),
    ("warmup=5", "warmup is not a key; did you mean timing.warmup?"),
    ("iterations=10", "iterations is not a key; did you mean timing.iterations?"),
    ("method=event", "method is not a key; did you mean timing.method?"),
    ("+runtime.warmups=2", "runtime.warmups is not a key; did you mean timing.warmup?"),
    ("runtime.threads=0", "runtime.threads is 0; expected a whole number of at least 1"),
    ("runtime.threads=many", "runtime.threads is many; expected a whole number or null"),
    ("repeat=-1", "repeat is -1; expected a whole number of at least 0"),
    ("repeat=x,y", "repeat is y; expected a whole number"),
    ("seed=-1", "seed is -1; expected a whole number of at least 0"),
    ("isolation=thread", "isolation is thread; expected one of process, none"),
    ("isolation=process,none", "isolation is swept, but applies to the whole sweep"),
    ("dry_run=maybe", "dry_run is maybe; expected true or false"),
    ("sweep=nightli", "sweep=nightli does not exist; similar: nightly"),
    ("sweep.id=a/b", "sweep.id is 'a/b'; expected letters, digits"),
    ("sweep.id=..", "sweep.id is '..'; expected letters, digits"),
    ("output_dir=/proc/x", "no folder can be created there"),
    ("tracking=server", "tracking=server needs tracking.uri"),
    ("tracking=server tracking.uri=me:hunter2@host", "tracking.uri begins with 'me'; expected one"),
    ("tracking=postgres", "tracking=postgres does not exist (available: off, server, sqlite)"),
    ("tracking.kind=foo", "tracking.kind is foo; expected one of sqlite, server, off"),
    ("tracking.experiment=", "tracking.experiment is empty; expected a name"),
    ("timing.method=queued", "timing.method=queued needs one of the devices cuda, simulated"),
    ("timing.method=graph,wall", "timing.method=graph needs one of the devices cuda, simulated"),
    ("timing.inner=0", "timing.inner is 0; expected a whole number of at least 1"),
    ("timing.inner=1.5", "timing.inner is 1.5; expected a whole number or null"),
    ("timing.target=0", "timing.target is 0.0; expected a share between 0 and 1"),
    ("timing.target=2", "timing.target is 2.0; expected a share between 0 and 1"),
    ("timing.target=nan", "timing.target is nan; expected a share between 0 and 1"),
    ("timing.target=tight", "timing.target is tight; expected a number or null"),
    ("runtime.precision=int8", "runtime.precision is int8; expected one of fp32, tf32, bf16"),
    ("runtime.precision=tf32", "is a mode of NVIDIA's tensor cores, but the device is cpu"),
    ("runtime.dtype=fp16", "runtime.dtype is not a key; did you mean runtime.precision?"),
    ("runtime.half=true", "runtime.half is not a key; did you mean runtime.precision?"),
    ("precision=fp16", "precision is not a key; did you mean runtime.precision?"),
    ("size=640", "size is not a key; did you mean input.size?"),
    ("warmup=5", "warmup is not a key; did you mean timing.warmup?"),
    ("runtime.compile=fast", "runtime.compile is fast; expected one of off, default"),
    ("runtime.compile_cache=hot", "runtime.compile_cache is hot; expected one of warm, cold"),
    ("engine=tflite", "engine=tflite does not exist (available: auto, eager, onnxruntime"),
    ("engine=onnxruntime runtime.channels_last=true", "runtime.channels_last=true is torch's"),
    ("engine=openvino runtime.compile=default", "runtime.compile=default is torch's, but engine"),
    ("engine=openvino runtime.precision=amp_bf16", "is torch's autocast, but engine=openvino"),
    ("engine.providers=[CUDA]", "engine.providers is ['CUDA'], but engine is eager"),
    (
        "engine=onnxruntime runtime.precision=bf16 device=cpu",
        "which ONNX Runtime does not support on cpu",
    ),
    ("model=quantized_resnet18 runtime.precision=bf16", "but model=quantized_resnet18 computes in"),
    ("model=quantized_resnet18 engine=openvino", "does not take torchvision's int8 models"),
    ("model=timm", "model.name has no value; give one, as in model.name=VALUE"),
    ("model=timm model.name=resnet51", "which timm does not have; similar: resnet51q"),
    ("model=exported model.file=no.pt2", "model.file is no.pt2, which is not a file in"),
    ("model=onnx", "model=onnx needs one, as in model.file=net.onnx"),
    ("model=simulated runtime.precision=bf16", "but a simulated device computes nothing"),
    ("timing.cache=cold", "timing.cache is cold; expected one of warm, flush, rotate"),
    ("timing.cache=flush timing.inner=4", "timing.cache=flush empties the cache once per sample"),
    ("timing.cache=flush timing=naive", "timing.cache=flush would count the flushing itself"),
    ("timing=adptive", "timing=adptive does not exist; similar: adaptive"),
    ("device=simulated", "a simulated device takes no network"),
    ("model=simulated device=cpu", "model=simulated can't run on device=cpu"),
    ("model=simulated,resnet18 device=simulated", "model=resnet18 can't run on device=simulated"),
    ("model=simulated +model.kwargs.speed=3", "do not describe a simulated device"),
    (
        "model=simulated model.kwargs.launches=0",
        "launches is 0; expected a whole number of at least 1",
    ),
    (
        "model=simulated model.kwargs.kernel_ms=-1",
        "kernel_ms is -1; expected a number of at least 0",
    ),
    ("model=simulated model.kwargs.kernel_ms=x", "do not describe a simulated device"),
    ("model=simulated model.weights=DEFAULT", "a simulated device has none"),
    ("sweep.repeats=0", "sweep.repeats is 0; expected a whole number of at least 1"),
    ("sweep.repeats=many", "sweep.repeats is many; expected a whole number"),
    ("sweep.repeats=2 repeat=0,1", "sweep.repeats is 2, but repeat is given as well; give one"),
    ("sweep.order_seed=x", "sweep.order_seed is x; expected a whole number or null"),
    ("hydra/launcher=nope", "hydra/launcher=nope does not exist"),
    ("--cfg job input.size=1,2", "--cfg shows one configuration, but input.size=1 is swept"),
    ("--foo", "--foo is not a flag; keys are given as key=value"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "sentence"), CASES[::18])
def test_bad_input_is_refused_by_an_interpreter_of_its_own(program, arguments, sentence):
    ran = program(*arguments.split(" "), PYTHONUNBUFFERED="1")
    assert ran.code == 2, ran.out + ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "sentence"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_is_refused_in_one_message(program, arguments, sentence):
    ran = program(*arguments.split(" "))
    assert ran.code == 2, ran.out + ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert "hunTER2x" not in ran.err
    assert len(ran.err.splitlines()) < 12
    assert [path.name for path in ran.folder.iterdir()] == ["networks.py"]


def test_all_problems_of_a_sweep_are_listed_together(program):
    ran = program("model=resnet18,resnt18", "input.size=64,0", "+foo=1", "timing.warmup=-1")
    assert ran.code == 2
    for sentence in (
        "runner: nothing was run, 4 problems:",
        "model=resnt18 does not exist; similar: resnet18",
        "input.size is 0; expected",
        "foo is not a key",
        "timing.warmup is -1; expected",
    ):
        assert sentence in ran.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=custom", "model.target=nope.make"], "No module named 'nope'"),
        (["model=custom", "model.target=networks.nope"], "has no attribute 'nope'"),
        (["model=custom", "model.target=networks.nope,networks.Identity"], "attribute 'nope'"),
        (["model=resnet18", "model.weights=V9,DEFAULT"], "model.weights is V9; resnet18 has"),
        (["model=custom", "model.target=networks.time"], "is a module; expected a callable"),
        (["model=resnet18", "model.weights=V9"], "resnet18 has IMAGENET1K_V1, DEFAULT"),
        (
            ["model=custom,resnet18", "model.target=networks.identity", "model.kwargs={width: 16}"],
            "model.target is only valid with model=custom, but model is resnet18",
        ),
        (["model=resnet18", "model.kwargs={width: 16}"], "which resnet18 does not take"),
        (
            ["model=custom", "model.target=networks.After", "model.kwargs={calls: 1}"],
            "missing a required argument: 'then'",
        ),
    ],
)
def test_targets_and_weights_are_tried_before_the_first_trial(program, arguments, sentence):
    ran = program(*arguments)
    assert ran.code == 2, ran.out + ran.err
    assert sentence in ran.err
    assert not (ran.folder / "outputs").exists()


def test_memory_that_the_host_refuses_is_out_of_memory_told_in_one_line(program):
    ran = program("input.batch_size=1000000000", "model=resnet18", "tracking=off")
    assert ran.code == 1
    assert [record.status for record in ran.records()] == ["out_of_memory"]
    assert "can't allocate memory" in ran.out
    assert "frame #" not in ran.out


def test_a_sweep_file_with_a_list_is_told_what_is_expected(program, tmp_path):
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    (tmp_path / "mine" / "sweep" / "mine.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      input.size: [64, 96]\n"
    )
    ran = program("--config-dir", "mine", "sweep=mine")
    assert ran.code == 2, ran.out + ran.err
    assert "hydra.sweeper.params.input.size is [64, 96]; expected one string" in ran.err


HEADED = b"# @package _global_\ninput:\n  size: 64\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xef\xbb\xbf" + HEADED, "mine.yaml begins with a byte-order mark"),
        (HEADED.decode().encode("utf-16"), "mine.yaml is not UTF-8 (invalid start byte at byte 0)"),
        (HEADED + b"seed: \xe9\n", "mine.yaml is not UTF-8 ("),
    ],
)
def test_a_sweep_file_in_another_encoding_is_named(program, tmp_path, content, sentence):
    (tmp_path / "mine" / "sweep").mkdir(parents=True)
    (tmp_path / "mine" / "sweep" / "mine.yaml").write_bytes(content)
    ran = program("--config-dir", "mine", "sweep=mine", "model=simulated")
    assert ran.code == 2, ran.out + ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert "hunTER2x" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resolve", "model=simulated"], "--resolve is given alone"),
        (["--cfg", "job", "--info"], "--cfg and --info are given together"),
        (["hydra/launcher=here,gpus"], "hydra/launcher is swept"),
        (["--help", "model=nope", "timing.warmup=1,2"], "model=nope does not exist"),
        (["--config-dir", "nowhere", "--help"], "--config-dir is nowhere, which is not a folder"),
        (["--experimental-rerun", "x"], "--experimental-rerun does nothing here"),
        (["sweep.resume=lastest"], "no such sweep in outputs; did you mean latest?"),
        (["--config-dir", "nowhere"], "--config-dir is nowhere, which is not a folder"),
        (["model=custom", "model.target=mynet:make"], "did you mean model.target=mynet.make?"),
        (["runtime.precision=float16"], "runtime.precision is float16; did you mean fp16?"),
        (["device=gpu"], "device is gpu; did you mean cuda?"),
        (["--package", "x"], "--package does nothing here"),
        (["--shell-completion"], "--shell-completion is given without a shell"),
        (["+sweep.extend=true"], "+sweep.extend=True adds a key that already exists; did you"),
        (["+model=resnet18"], "+model=resnet18 adds a key that already exists; did you mean model"),
        (["+timing=quick"], "did you mean timing=quick?"),
        (["https://u:hunTER2x@host/" + "x" * 300], "https://***@host/"),
        (["model=https://u:hunTER2x@host/" + "x" * 300], "does not exist"),
        (["--nope"], "--nope is not a flag; keys are given as key=value"),
    ],
)
def test_flags_that_can_not_be_followed_are_refused(program, arguments, sentence):
    ran = program(*arguments)
    assert ran.code == 2, ran.out + ran.err
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert "hunTER2x" not in ran.err
