"""What judges are asked, word for word, and what is read out of what they say."""

import math
from pathlib import Path

import pytest

from sftlab.benchmarks.item import Item
from sftlab.benchmarks.judging import PROTOCOLS
from sftlab.benchmarks.judging.protocol import JudgeAnswer
from sftlab.benchmarks.loading import benchmark_digest, load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef
from sftlab.study.judge import Judge

MT, ALPACA = PROTOCOLS["mt_bench"], PROTOCOLS["alpaca_eval"]
JUDGE = Judge(endpoint="http://localhost:8000/v1", model="gpt-4")
DIALOGUE = Item("0", "Q1 {answer}", ("", ""), follow_ups=("Q2",))
WITH_REFERENCES = Item("1", "Q1", ("R1", "R2"), follow_ups=("Q2",))
PAIR = Item("0", "Do {output_1}.", ("reference",))


def test_first_turn_is_asked_in_the_words_of_the_authors():
    first, second = MT.questions(DIALOGUE, ["A1 {question}", "A2"], JUDGE)
    system, user = first.messages
    assert system.content == "You are a helpful assistant."
    assert user.content.startswith("[Instruction]\nPlease act as an impartial judge and evaluate the quality of the")
    assert user.content.endswith(
        '"Rating: [[5]]".\n\n[Question]\nQ1 {answer}\n\n'
        "[The Start of Assistant's Answer]\nA1 {question}\n[The End of Assistant's Answer]"
    )
    system, user = second.messages
    assert system.content.endswith('for example: "Rating: [[5]]".\n\n')
    assert user.content == (
        "<|The Start of Assistant A's Conversation with User|>\n\n### User:\nQ1 {answer}\n\n### Assistant A:\n"
        "A1 {question}\n\n### User:\nQ2\n\n### Assistant A:\nA2\n\n<|The End of Assistant A's Conversation with User|>"
    )
    assert (first.temperature, first.max_tokens) == (0.0, 2048)


def test_reference_answers_are_shown_in_both_turns():
    first, second = MT.questions(WITH_REFERENCES, ["A1", "A2"], JUDGE)
    assert "[The Start of Reference Answer]\nR1\n[The End of Reference Answer]" in first.messages[1].content
    assert "R2" not in first.messages[1].content
    assert "### Reference answer:\nR1\n\n### User:\nQ2\n\n### Reference answer:\nR2\n" in second.messages[1].content
    assert "correctness and helpfulness" in second.messages[0].content


def test_a_turn_without_an_answer_is_not_asked_about():
    assert [question.part for question in MT.questions(DIALOGUE, ["A1"], JUDGE)] == ["turn_1"]
    assert MT.questions(DIALOGUE, [], JUDGE) == ()


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("It is fine. Rating: [[7]]", 7.0),
        ("[[8.5]] and not [[2]]", 8.5),
        ("Rating: [6]", 6.0),
        ("Of [3] I say [[4]]", 4.0),
        ("Rating: [[10]]", 10.0),
        ("Rating: [[11]]", None),
        ("Rating: [[0]]", None),
        ("Rating: 7", None),
        ("Rating: [[seven]]", None),
        ("", None),
    ],
)
def test_ratings_are_read_as_the_authors_do(text, rating):
    question = MT.questions(DIALOGUE, ["A1", "A2"], JUDGE)[0]
    verdict = MT.verdict(question, JudgeAnswer(text))
    assert (None if verdict is None else verdict.value) == rating


def test_outputs_are_compared_in_the_words_of_the_authors():
    (question,) = ALPACA.questions(PAIR, ["own {instruction}"], JUDGE)
    system, user = question.messages
    assert system.content.startswith("You are a highly efficient assistant, who evaluates and selects the best large")
    assert '"instruction": """Do {output_1}.""",' in user.content
    assert user.content.count('"output": """own {instruction}"""') == 1
    assert user.content.count('"output": """reference"""') == 1
    assert user.content.endswith("m or M.\n\n## Best Model Identifier")
    assert (question.max_tokens, question.top_logprobs) == (1, 5)


@pytest.mark.parametrize(
    ("text", "alternatives", "first_is_own", "preference"),
    [
        ("m", {"m": math.log(0.75), "M": math.log(0.25)}, True, 0.75),
        ("m", {"m": math.log(0.75), "M": math.log(0.25)}, False, 0.25),
        ("m", {"m": math.log(0.3), "M": math.log(0.1), "Both": math.log(0.6)}, True, 0.75),
        ("m", {"m": -0.1}, True, 1.0),
        ("m", None, True, 1.0),
        ("M", None, True, 0.0),
        (" M.", None, False, 1.0),
        ("model m is best", None, True, None),
        ("Both", {"Both": -0.1}, True, None),
        ("", None, True, None),
    ],
)
def test_preferences_are_weighted_by_the_verdicts_token(text, alternatives, first_is_own, preference):
    both = JUDGE.model_copy(update={"order": "both"})
    orders = {question.part: question for question in ALPACA.questions(PAIR, ["own"], both)}
    question = orders["reference_second" if first_is_own else "reference_first"]
    verdict = ALPACA.verdict(question, JudgeAnswer(text, first_token=alternatives))
    assert (None if verdict is None else verdict.value) == (None if preference is None else pytest.approx(preference))


def test_the_order_is_drawn_from_seed_and_instruction():
    items = [Item(str(number), f"Do {number}.", ("reference",)) for number in range(400)]

    def drawn(seed):
        judge = JUDGE.model_copy(update={"seed": seed})
        return [ALPACA.questions(item, ["own"], judge)[0].part for item in items]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert 160 < drawn(0).count("reference_first") < 240
    assert {len(ALPACA.questions(item, ["own"], JUDGE.model_copy(update={"order": "both"}))) for item in items} == {2}


def test_equal_outputs_are_not_asked_about():
    assert ALPACA.questions(PAIR, ["reference"], JUDGE) == ()


def test_only_what_bears_on_verdicts_is_in_their_identity():
    other = {"concurrency": 2, "timeout_seconds": 3.0, "retries": 1, "budget_calls": 5, "endpoint": "http://else/v1"}
    for protocol in PROTOCOLS.values():
        assert protocol.parameters(JUDGE) == protocol.parameters(JUDGE.model_copy(update=other))
        for changed in ({"model": "b"}, {"temperature": 1.0}):
            assert protocol.parameters(JUDGE) != protocol.parameters(JUDGE.model_copy(update=changed))
    assert ALPACA.parameters(JUDGE) != ALPACA.parameters(JUDGE.model_copy(update={"seed": 1}))
    assert MT.parameters(JUDGE) == MT.parameters(JUDGE.model_copy(update={"seed": 1}))


def test_mt_bench_is_its_authors_files(shared):
    bench = shared / "data" / "bench"
    found = load_benchmark(BenchmarkRef(name="mt_bench"), folder=Path(), benchmarks_dir=bench)
    assert (found.scorers, found.judge, found.max_new_tokens, found.stops) == (("judge",), "mt_bench", 1024, ())
    assert len(found.items) == 80
    assert [item.stratum for item in found.items[:8]] == [
        *("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
    ]
    referenced = [item for item in found.items if all(item.gold)]
    assert len(referenced) == 30
    assert {item.stratum for item in referenced} == {"math", "coding", "reasoning"}
    assert all(len(item.follow_ups) == 1 for item in found.items)
    first = found.items[2]
    assert first.context.startswith("Imagine you are participating in a race")
    assert first.gold[0].startswith("If you have just overtaken the second person, your current position is now second")


def test_alpaca_eval_is_its_reference_file_or_another(shared):
    bench = shared / "data" / "bench"
    found = load_benchmark(BenchmarkRef(name="alpaca_eval"), folder=Path(), benchmarks_dir=bench)
    assert (len(found.items), found.scorers, found.judge) == (805, ("judge",), "alpaca_eval")
    assert found.items[0].gold[0].startswith("Several famous actors started their careers on Broadway before")
    davinci = BenchmarkRef(name="alpaca_eval", reference=str(bench / "text_davinci_003__model_outputs.json"))
    other = load_benchmark(davinci, folder=Path(), benchmarks_dir=bench)
    assert [item.context for item in other.items] == [item.context for item in found.items]
    assert other.items[0].gold[0].startswith("Some famous actors that started their careers on Broadway are Tom Hanks")
    assert found.digest != other.digest


def test_a_category_that_needs_references_refuses_to_go_without(tmp_path):
    (tmp_path / "mt_bench_questions.jsonl").write_text('{"question_id": 1, "category": "math", "turns": ["a", "b"]}\n')
    (tmp_path / "mt_bench_reference_gpt4.jsonl").write_text('{"question_id": 2, "choices": [{"turns": ["x", "y"]}]}\n')
    with pytest.raises(BenchmarkError, match="a question of math needs a reference answer to each turn"):
        load_benchmark(BenchmarkRef(name="mt_bench"), folder=Path(), benchmarks_dir=tmp_path)


def test_reference_answers_are_part_of_the_identity(tmp_path):
    (tmp_path / "mt_bench_questions.jsonl").write_text('{"question_id": 1, "category": "math", "turns": ["a", "b"]}\n')
    references = tmp_path / "mt_bench_reference_gpt4.jsonl"
    digests = set()
    for answer in ("x", "y"):
        references.write_text(f'{{"question_id": 1, "choices": [{{"turns": ["{answer}", "z"]}}]}}\n')
        digests.add(benchmark_digest(BenchmarkRef(name="mt_bench"), folder=Path(), benchmarks_dir=tmp_path))
    assert len(digests) == 2


def test_a_judged_benchmark_has_no_other_scorer(tmp_path):
    ref = BenchmarkRef(name="mt_bench", scorers=("generative",))
    with pytest.raises(BenchmarkError, match=r"'generative' is not for .*legal: judge"):
        load_benchmark(ref, folder=Path(), benchmarks_dir=tmp_path)
