import re
from pathlib import Path

import pytest

from sftlab.analyse import schemas
from sftlab.analyse.tables import TABLES

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_page_with_its_columns_in_order(name: str) -> None:
    page = (DOCS / "tables" / f"{name}.md").read_text()
    columns = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert columns == list(getattr(schemas, name.upper()))
