"""A base asked in its own best form, and what the system says first, from the study to the table of scores."""

from pathlib import Path

import polars as pl

from tests.end_to_end.inline import rows, run, study_of


def test_gains_are_over_the_same_prompt_and_the_bases_own_form_is_a_row_beside_it(tmp_path: Path) -> None:
    plain, store = study_of(tmp_path, "plain"), tmp_path / "store"
    text = plain.read_text().replace("evaluation:\n", "evaluation:\n  base_template: alpaca\n", 1)
    own = tmp_path / "own.yaml"
    own.write_text(text)
    run(plain, store)
    before = rows(plain, "scores", store)
    outcome = run(own, store)
    after = rows(own, "scores", store)
    assert outcome.failed == ()
    beside = after.filter(pl.col("benchmark").str.ends_with("@base"))
    rest = after.filter(~pl.col("benchmark").str.ends_with("@base"))
    assert rest.equals(before)
    assert beside["dataset"].unique().to_list() == ["none"]
    assert beside["gain"].null_count() == beside.height
    bits = pl.col("metric") == "bits_per_byte"
    of_base = before.filter((pl.col("dataset") == "none") & bits)["value"].to_list()
    own_bits = beside.filter(bits)["value"].to_list()
    assert len(own_bits) == len(of_base)
    assert None not in own_bits
    assert not set(own_bits) & set(of_base)


def test_a_system_prompt_changes_what_is_scored(tmp_path: Path) -> None:
    plain, store = study_of(tmp_path, "plain"), tmp_path / "store"
    text = plain.read_text().replace("evaluation:\n", "evaluation:\n  system_prompt: Answer in one word.\n", 1)
    said = tmp_path / "said.yaml"
    said.write_text(text)
    run(plain, store)
    run(said, store)
    bits = pl.col("metric") == "bits_per_byte"
    values = [rows(study, "scores", store).filter(bits)["value"].to_list() for study in (plain, said)]
    assert None not in values[1]
    assert not set(values[0]) & set(values[1])


def test_a_benchmark_without_shots_to_give_is_asked_in_the_bases_form_with_its_own(tmp_path: Path) -> None:
    plain, store = study_of(tmp_path, "plain"), tmp_path / "store"
    plain.write_text(plain.read_text().replace("evaluation:\n", "evaluation:\n  base_shots: 2\n", 1))
    assert run(plain, store).failed == ()
    of_base = rows(plain, "scores", store).filter(dataset="none", scorer="likelihood", metric="bits_per_byte")
    values = dict(of_base.select("benchmark", "value").iter_rows())
    beside = [name for name in values if name.endswith("@base")]
    assert beside
    assert all(values[name] == values[name.removesuffix("@base")] is not None for name in beside)
