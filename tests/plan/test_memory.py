"""What runs hold in memory, against arithmetic by hand for a model of eight billion weights."""

import pytest

from sftlab.cli.memory_lines import memory_lines
from sftlab.errors import StudyError
from sftlab.plan.base_size import BaseSize
from sftlab.plan.devices import Device
from sftlab.plan.memory import LargestRun, MemoryNeed, largest_run, memory_need, room_on
from sftlab.plan.packages import require_packages
from sftlab.plan.tasks import Job, Task
from sftlab.study.cells import BaseCell, RunCell
from sftlab.study.declaration import BaseRef, Precision
from sftlab.study.methods import Full, Lora, Qlora
from sftlab.study.run import RunSpec
from tests.train.runs import spec

WEIGHTS = 8_030_000_000
MIXED = Precision(weights="float32", compute="bfloat16")
H200 = (Device("cuda", 0, "H200", 150_000_000_000),)
A100 = (Device("cuda", 0, "A100", 80_000_000_000),)


def run_of(method, precision=MIXED) -> RunSpec:
    return spec(method=method, precision=precision)


def gigabytes(method, precision=MIXED) -> tuple[float, float]:
    need = memory_need(run_of(method, precision), WEIGHTS)
    return round(need.device_bytes / 1e9, 1), round(need.host_bytes / 1e9, 1)


def job_of(method, weights_of_base="b") -> Job:
    base = BaseCell(BaseRef(name=weights_of_base, model=weights_of_base), "b", "d", "t")
    run = RunCell(run_of(method), "b", "identity", "trajectory")
    return Job(base, run, (Task("train", "identity", run),), 0)


def test_full_run_holds_sixteen_bytes_a_weight_less_with_small_or_offloaded_moments():
    assert gigabytes(Full()) == (128.5, 32.1)
    assert gigabytes(Full(), Precision(weights="bfloat16", compute="bfloat16")) == (64.2, 16.1)
    assert gigabytes(Full(optimizer="adamw_8bit")) == (80.6, 32.1)
    assert gigabytes(Full(offload="optimizer")) == (32.1, 160.6)
    assert gigabytes(Full(layers=(0.25, 0.75))) == (80.3, 32.1)


def test_adapter_adds_little_to_the_weights_and_quantised_ones_are_few_bytes():
    whole, quantised = gigabytes(Lora(adapter="lora"))[0], gigabytes(Qlora(adapter="qlora"))[0]
    # All linear maps of Llama-3-8B at rank 16 have 41.9 million adapter weights, of 16 bytes each.
    assert whole == pytest.approx(32.1 + 0.7, abs=0.2)
    # 7 billion weights at about half a byte, a billion of the embedding and the head in float32.
    assert quantised == pytest.approx(7.0 * 0.516 + 1.05 * 4 + 0.7, abs=1.0)
    assert gigabytes(Qlora(adapter="qlora", double_quant=False))[0] > quantised


def test_largest_run_is_that_of_most_bytes_on_its_device_and_unknown_sizes_are_none():
    sizes = {"b": BaseSize(WEIGHTS, "parameters"), "unknown": BaseSize(None, "unknown")}
    jobs = (job_of(Lora(adapter="lora")), job_of(Full()), job_of(Full(), "unknown"))
    found = largest_run(jobs, sizes)
    assert found is not None
    assert found.need == MemoryNeed(16 * WEIGHTS, 4 * WEIGHTS)
    assert largest_run(jobs[2:], sizes) is None
    assert memory_lines(None, H200) == []


def test_run_that_fits_is_told_in_one_line():
    run = LargestRun(run_of(Full()), WEIGHTS, memory_need(run_of(Full()), WEIGHTS))
    (line,) = memory_lines(run, H200)
    assert "holds about 128.5 GB of weights, gradients and moments on its device" in line
    assert "a GPU here has 150.0 GB" in line


def test_run_that_does_not_fit_is_told_what_would():
    run = LargestRun(run_of(Full()), WEIGHTS, memory_need(run_of(Full()), WEIGHTS))
    warning = memory_lines(run, A100)[1]
    assert warning.startswith("warning: that does not fit: it would with `offload: optimizer` (32.1 GB) or")
    assert "adamw_8bit" not in warning
    assert "`adapter: qlora`" in warning
    assert set(run.fitting_changes(H200)) > set(run.fitting_changes(A100))
    tiny = (Device("cuda", 0, "small", 10**9),)
    assert memory_lines(run, tiny)[1] == "warning: that does not fit: take a smaller base or a larger device"


def test_worker_of_a_cpu_has_its_share_of_the_memory():
    cores = tuple(Device("cpu", index, "a CPU", None) for index in range(2))
    assert room_on(cores) == pytest.approx(room_on(cores[:1]) / 2, abs=1)
    need = memory_need(run_of(Full()), WEIGHTS)
    assert need.on(cores[0]) == need.device_bytes + need.host_bytes


@pytest.mark.parametrize("method", [Qlora(adapter="qlora"), Full(optimizer="adamw_8bit")])
def test_absent_package_is_one_sentence_and_only_where_it_is_needed(method, monkeypatch):
    monkeypatch.setattr("sftlab.plan.packages.find_spec", lambda _: None)
    require_packages((job_of(Full()), job_of(Lora(adapter="lora"))))
    with pytest.raises(StudyError, match="needs the package bitsandbytes, which is not installed"):
        require_packages((job_of(method),))
