"""Synthetic studies that several tests read."""

import pytest

from sftlab.analyse.answers import analysis
from sftlab.analyse.tables import build_tables
from tests.analyse.synthetic import Design, write


@pytest.fixture(scope="session")
def planted_study(tmp_path_factory):
    """Cells and store of 4 bases x 4 datasets x 2 methods x 2 seeds x 3 benchmarks with planted winners."""
    return write(Design(), tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def planted_tables(planted_study):
    return build_tables(*planted_study)


@pytest.fixture(scope="session")
def planted_analysis(planted_study, planted_tables):
    return analysis(*planted_study, planted_tables)
