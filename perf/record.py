"""What a measurement is kept with: machine, versions, commit and date; as JSON and as a short table."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PERF = Path(__file__).resolve().parent
RESULTS = PERF / "results"
PACKAGES = ("sftlab", "torch", "transformers", "trl", "peft", "lm_eval", "datasets", "polars")


def say(text: str = "") -> None:
    """Write a line at once, so that progress shows in a log, too."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def machine() -> dict[str, object]:
    """The machine, its load by others just now, the versions of what is compared, and the commit."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no", "src", "perf")),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", *arguments], cwd=PERF.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as a table; numbers to three significant figures, None as a dash."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Result:
    """One measurement: what ran (`name`, `settings`), all numbers (`values`), and the few to read (`table`)."""

    name: str
    settings: Mapping[str, object]
    values: Mapping[str, object]
    table: str

    def save(self, at_start: Mapping[str, object]) -> Path:
        """Write `results/DATE-NAME.json` and `.md`; `at_start` is what `machine()` said before the measurement."""
        now = datetime.now().astimezone()
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{now:%Y-%m-%d-%H%M}-{self.name}.json"
        content = {"name": self.name, "date": now.isoformat(timespec="seconds"), "machine": dict(at_start)}
        content |= {"settings": dict(self.settings), "values": dict(self.values)}
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        path.with_suffix(".md").write_text(f"# {self.name}, {now:%Y-%m-%d}\n\n{self.about(at_start)}\n\n{self.table}\n")
        return path

    def about(self, at_start: Mapping[str, object]) -> str:
        """Machine, versions, commit and settings in words."""
        versions = at_start["versions"]
        assert isinstance(versions, Mapping)
        commit = f"{at_start['commit']}{' with uncommitted changes' if at_start['uncommitted_changes'] else ''}"
        settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.settings.items())
        return (
            f"{at_start['cores']} cores of {at_start['cpu']}, load before the start {at_start['load_average']:.1f}; "
            f"python {at_start['python']}, {', '.join(f'{name} {found}' for name, found in versions.items())}; "
            f"commit {commit}.\n\nSettings: {settings}."
        )

    def finish(self, at_start: Mapping[str, object], *, save: bool) -> None:
        """Show the table, and keep it where asked to."""
        say(f"\n{self.about(at_start)}\n\n{self.table}")
        if save:
            say(f"\nwritten: {self.save(at_start)} (and .md)")
