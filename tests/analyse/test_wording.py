"""Numbers in sentences."""

import pytest

from sftlab.analyse.wording import signed


@pytest.mark.parametrize(
    ("value", "said"), [(1.234e-3, "+0.00123"), (-2.0, "-2"), (0.0, "0"), (-1.64e-17, "0"), (-3e-9, "-3e-09")]
)
def test_what_rounding_leaves_of_nothing_is_nothing(value, said):
    assert signed(value) == said
