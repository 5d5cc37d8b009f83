"""How far bases share the errors of their items, from the answers' own intervals."""

import polars as pl
import pytest

from sftlab.report.sections.shared_errors import shared_errors

SE = 0.2
BASES = ("a", "b", "c", "d")


def gains(family=lambda base: base, seeds=1, dataset="x", se=SE):
    return pl.DataFrame(
        [
            {"base": base, "family": family(base), "dataset": dataset, "gain": 0.1, "gain_se": se, "gain_n": 80}
            for base in BASES
            for _ in range(seeds)
        ]
    )


def ranking(variance, dataset="x"):
    return pl.DataFrame([{"population": "these bases", "dataset": dataset, "se": variance**0.5}])


@pytest.mark.parametrize("shared", [0.0, 0.25, 1.0])
def test_share_is_that_of_the_errors_which_bases_have_in_common(shared):
    variance = shared * SE**2 + (1 - shared) * SE**2 / len(BASES)
    assert shared_errors(gains(), ranking(variance), 0.0) == pytest.approx(shared, abs=1e-6)


def test_bases_of_a_family_weigh_as_the_family():
    family = {"a": "one", "b": "one", "c": "one", "d": "two"}
    own = SE**2 * (3 / 36 + 1 / 4)
    found = shared_errors(gains(family.__getitem__), ranking(0.5 * SE**2 + 0.5 * own), 0.0)
    assert found == pytest.approx(0.5, abs=1e-6)


def test_what_seeds_add_is_no_error_of_items():
    variance = 0.5 * SE**2 + 0.5 * SE**2 / len(BASES) + 0.03 / 2 / len(BASES)
    assert shared_errors(gains(seeds=2), ranking(variance), 0.03) == pytest.approx(0.5, abs=1e-6)


def test_largest_share_of_several_datasets_counts_and_none_is_beyond_all():
    of_both = pl.concat([gains(), gains(dataset="y")])
    both = pl.concat([ranking(0.3 * SE**2), ranking(2 * SE**2, "y")])
    assert shared_errors(of_both, both, 0.0) == 1.0


def test_bases_with_other_numbers_of_items_share_all():
    uneven = gains().with_columns(gain_n=pl.Series([80, 80, 80, 2]))
    assert shared_errors(uneven, ranking(SE**2 / len(BASES)), 0.0) == 1.0


def test_unknown_errors_are_taken_as_shared():
    assert shared_errors(gains(), ranking(0.01).head(0), 0.0) == 1.0
    assert shared_errors(gains().with_columns(gain_se=pl.lit(None, pl.Float64)), ranking(0.01), 0.0) == 1.0
