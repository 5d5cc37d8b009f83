"""The speed benchmarks still run, and still find both sides equal before they print a ratio."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PERF = Path(__file__).resolve().parents[1] / "perf"


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("train_speed.py", ("--quick", "--repeats", "1")),
        ("study_speed.py", ("--small", "--repeats", "1")),
        ("profile_study.py", ("--small",)),
        ("gpu_training.py", ("--tiny",)),
        ("gpu_scoring.py", ("--tiny",)),
        ("scoring_speed.py", ("--smallest",)),
        ("sibling_speed.py", ("--smallest",)),
        ("diff_speed.py", ("--smallest", "--repeats", "1")),
        ("coverage.py", ("--smallest",)),
        ("correlation_intervals.py", ("--smallest",)),
    ],
)
def test_speed_benchmark_runs_at_its_smallest_and_shows_a_table(script, arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, PERF / script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "|---|" in done.stdout
