"""The bases that ship with the package: every architecture pretrained on every mixture."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sftlab.errors import StudyError
from sftlab.pocket.architectures import ARCHITECTURES
from sftlab.pocket.mixtures import MIXTURES


@dataclass(frozen=True)
class PocketBase:
    """One shipped base: an architecture, which is its family, and a mixture, both by name."""

    architecture: str
    mixture: str

    @property
    def name(self) -> str:
        """The base's name, and that of its folder."""
        return f"{self.architecture}-{self.mixture}"


POCKET_BASES: Mapping[str, PocketBase] = {
    base.name: base for base in itertools.starmap(PocketBase, itertools.product(ARCHITECTURES, MIXTURES))
}


def bases_folder() -> Path:
    """The folder inside the installed package that holds one folder for each shipped base."""
    return Path(str(resources.files("sftlab.pocket"))) / "bases"


def pocket_base_folder(name: str) -> Path:
    """The folder of a shipped base inside the installed package."""
    if name not in POCKET_BASES:
        raise StudyError(f"unknown pocket base {name!r}: legal are {', '.join(POCKET_BASES)}")
    return bases_folder() / name
