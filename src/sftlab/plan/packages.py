"""Packages that some methods need and that are not always there."""

from importlib.util import find_spec

from sftlab.errors import StudyError
from sftlab.plan.tasks import Job


def require_packages(jobs: tuple[Job, ...]) -> None:
    """Raise StudyError where a run that is still to be trained or scored needs a package that is not installed."""
    for run in (job.run for job in jobs if job.run is not None):
        for package in run.spec.method.needs:
            if find_spec(package) is None:
                raise StudyError(
                    f"the method {run.spec.method_name} needs the package {package}, which is not installed: "
                    f"`pip install {package}`, or write `adapter: lora` and `optimizer: adamw`"
                )
