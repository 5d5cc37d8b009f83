"""`sftlab doctor`: what this machine has and what will be used."""

import os
import shutil
from typing import TYPE_CHECKING

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from sftlab.lm.measured_compilation import Compilation


def doctor(as_json: AsJson = False) -> None:
    """Show what this machine has and what a study will use."""
    import platform
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    import psutil

    from sftlab.benchmarks.sandbox import why_no_sandbox
    from sftlab.cli.printing import print_json, print_line, size
    from sftlab.lm.measured_compilation import compilations
    from sftlab.lm.measured_kernel import kernel_cache, measured_kernels
    from sftlab.plan.devices import default_precision, devices

    found = devices()
    precision = default_precision()
    facts: dict[str, object] = {
        "sftlab": version("sftlab"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "workers": f"{len(found)}, one per {'CUDA device' if found[0].kind == 'cuda' else 'core, one thread each'}",
        "devices": "; ".join(dict.fromkeys(device.name for device in found)),
        "precision": f"weights {precision.weights}, compute {precision.compute}, unless a study says otherwise",
        "memory": f"{size(psutil.virtual_memory().available)} free of {size(psutil.virtual_memory().total)}",
        "disk": f"{size(shutil.disk_usage(Path.cwd()).free)} free here",
        "store": os.environ.get("SFTLAB_STORE", ".sftlab beside each study file"),
        "hub": "offline, by the environment" if os.environ.get("HF_HUB_OFFLINE") else "used for hub ids only",
    }
    facts["programs"] = why_no_sandbox() or "what models write is run in a sandbox"
    for package in (
        "torch",
        "transformers",
        "tokenizers",
        "datasets",
        "polars",
        "duckdb",
        "lm-eval",
        "peft",
        "trl",
        "bitsandbytes",
    ):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    if found[0].kind == "cuda":
        import torch

        facts["torch sees CUDA"] = str(torch.cuda.is_available())
    facts["kernels"] = [
        f"{one.model}, {one.precision}: attention {one.kernel.attention or 'of the model'}, a pass costs "
        f"{one.kernel.pass_tokens} tokens ({_milliseconds(one.seconds)} for 8 x 128 tokens on {one.machine})"
        for one in measured_kernels(kernel_cache())
    ] or "none measured yet: the first run on a base does"
    facts["compiling"] = _why_no_compiler() or (
        [_compilation_in_words(one) for one in compilations(kernel_cache())]
        or "never tried yet: done where a study trains all weights of a base for long"
    )
    if as_json:
        print_json(facts)
        return
    for name, fact in facts.items():
        for line in fact if isinstance(fact, list) else [fact]:
            print_line(f"{name:>16}  {line}")


def _compilation_in_words(one: "Compilation") -> str:
    about = f"{one.model}, {one.precision}: "
    if one.speedup is None:
        return f"{about}not taken: {one.failure} (on {one.machine})"
    return (
        f"{about}compiled layers train {one.speedup:.2f} times as fast, for {one.first_seconds:.0f} CPU seconds once "
        f"and {one.warm_seconds:.1f} a process; taken where that is repaid (on {one.machine})"
    )


def _why_no_compiler() -> str | None:
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    if any(name and shutil.which(name) for name in names):
        return None
    return "no C++ compiler is found (set CXX, or install g++): layers are trained as they are"


def _milliseconds(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {each * 1000:.0f} ms" for name, each in seconds.items()) or "too slow to try"
