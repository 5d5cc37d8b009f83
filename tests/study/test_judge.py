"""What a study may say of its judge."""

import pytest

from sftlab.errors import StudyError
from sftlab.study.judge import Judge
from sftlab.study.reading import load_study

HEAD = "study: a\nbases: [b/c]\ndatasets: {d: {hub: x/y}}\nevaluation:\n  judge: "


def complaint(tmp_path, judge: str) -> str:
    (tmp_path / "study.yaml").write_text(HEAD + judge + "\n")
    with pytest.raises(StudyError) as error:
        load_study(tmp_path / "study.yaml")
    return str(error.value)


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [
        ("{model: m}", "the field 'endpoint' is missing in evaluation.judge"),
        (
            "{endpoint: http://h/v1, model: m, modle: n}",
            "unknown field 'modle' in evaluation.judge (did you mean",
        ),
        ("{endpoint: 'localhost:8000', model: m}", "`endpoint` is an address like http://localhost:8000/v1"),
        ("{endpoint: http://h/v1, model: m, budget_usd: 3}", "`budget_usd` needs `usd_per_million_input`"),
        ("{endpoint: http://h/v1, model: m, order: swapped}", "got 'swapped', legal: 'random' or 'both'"),
    ],
)
def test_a_wrong_judge_is_told_with_its_line(tmp_path, judge, sentence):
    said = complaint(tmp_path, judge)
    assert said.startswith("study.yaml, line 5: ")
    assert sentence in said


@pytest.mark.parametrize(
    "judge",
    ["{endpoint: http://h/v1, model: m, api_key_env: sk-secret}", "{endpoint: 'http://u:sk-secret@h/v1', model: m}"],
)
def test_a_key_in_a_study_is_refused_and_not_repeated(tmp_path, judge):
    said = complaint(tmp_path, judge)
    assert "environment variable" in said
    assert "sk-secret" not in said


def test_prices_are_per_million_tokens():
    judge = Judge(endpoint="http://h/v1", model="m", usd_per_million_input=10, usd_per_million_output=30)
    assert judge.usd(100_000, 10_000) == pytest.approx(1.3)
    assert Judge(endpoint="http://h/v1", model="m", usd_per_million_input=10).usd(1, 1) is None
