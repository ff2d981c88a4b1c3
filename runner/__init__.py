"""runner measures how fast a vision model runs, one fresh process per trial.

The way through, and the file for each step:

    conf/*.yaml + command line
      __main__.py      starts Hydra, turns errors into one message and an exit code
      _plugins/        the Hydra sweeper: composes every point once, checks all, launches
      config.py        the schema, and from a configuration to a Trial
      trial.py         what one trial is; its identity; what it can't be
      devices.py       which devices there are; what `auto` means
      program.py       one sweep from its points to its table: the only file that sees everything
      worker.py        a fresh process for each trial
      execution.py     what is done in it: build, warm up, time, look
        models.py        the network and its inputs
        measure/         clocks, timing methods, the loop, a simulated device
        contention.py, gpu.py   what disturbed it: the scheduler's counters, NVML
        environment.py   where it ran, without secrets
      record.py        what came out, as one JSON file
      statistics/, verdict.py   what the samples say, and what is wrong with them
      tracking.py      the record as an MLflow run
      report/          progress, tables and what is said below them
      doctor.py        what this machine can measure: python -m runner.doctor
"""
