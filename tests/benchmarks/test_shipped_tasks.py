# ruff: noqa: RUF001 - Chinese and Japanese have full-width marks
"""Every benchmark that comes with sftlab on its published file: prompts and gold answers written out by hand."""

import json
import math

import pytest

from sftlab.benchmarks.loading import benchmark_digest, gives_shots, load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef


@pytest.fixture(scope="module")
def load(shared):
    """A benchmark on the shared files, each loaded once."""
    known = {}

    def loaded(task, **asked):
        key = (task, *sorted(asked.items()))
        if key not in known:
            folder = shared / "data/bench"
            ref = BenchmarkRef.model_validate({"task": task, **asked})
            known[key] = load_benchmark(ref, folder=folder, benchmarks_dir=folder)
        return known[key]

    return loaded


SIZES = {
    "math": 500,
    "gsm8k": 1319,
    "boolq": 3270,
    "naturalquestions": 3610,
    "truthfulqa": 817,
    "truthfulqa_mc1": 817,
    "truthfulqa_mc2": 817,
    "cmmlu": 11582,
    "jmmlu": 7097,
}


@pytest.mark.parametrize("name", SIZES)
def test_every_published_item_is_asked(name, load):
    benchmark = load(name)
    assert len(benchmark.items) == SIZES[name]
    assert len({item.item for item in benchmark.items}) == SIZES[name]


MATH_PROMPT = (
    "Problem:\nConvert the point $(0,3)$ in rectangular coordinates to polar coordinates.  Enter your answer in the "
    "form $(r,\\theta),$ where $r > 0$ and $0 \\le \\theta < 2 \\pi.$\n\nSolution:"
)


def test_math_is_asked_with_the_four_shots_of_minerva(load):
    four, none = load("math").items[0], load("math", shots=0).items[0]
    assert none.context == MATH_PROMPT
    assert four.context.endswith(f"I hope it is correct.\n\n{MATH_PROMPT}")
    assert four.context.startswith(
        "Problem:\nFind the domain of the expression  $\\frac{\\sqrt{x-2}}{\\sqrt{5-x}}$.\n\n"
    )
    assert four.context.count("Problem:\n") == 5
    assert four.gold[0].endswith("$\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}.$")


@pytest.mark.parametrize(
    ("answer", "equal", "exact", "parsed"),
    [
        (" It is $\\boxed{(3, \\pi/2)}$.", 1.0, 0.0, True),
        ("\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}", 1.0, 1.0, True),
        ("\nFinal Answer: The final answer is $(3,\\frac{\\pi}{2})$. I hope it is correct.", 1.0, 0.0, True),
        ("\\boxed{(\\frac{\\pi}{2}, 3)}", 0.0, 0.0, True),
        ("(3, \\frac{\\pi}{2})", 0.0, 0.0, False),
        ("", 0.0, 0.0, False),
    ],
)
def test_math_answers_are_compared_as_mathematics(answer, equal, exact, parsed, load):
    reading = load("math").read(load("math").items[0], answer)
    scores = {reading.metric: reading.score, **{other.name: other.score for other in reading.others}}
    assert scores == {"math_equal": equal, "exact_answer": exact}
    assert reading.parsed is parsed


def test_gold_solutions_of_math_read_as_right(load):
    benchmark = load("math")
    for item in benchmark.items[:60]:
        assert benchmark.read(item, item.gold[0]).score == 1.0


def test_gsm8k_is_also_compared_as_mathematics(load):
    benchmark = load("gsm8k")
    reading = benchmark.read(benchmark.items[0], " 9 * 2 = 18\n#### 18.00")
    scores = {reading.metric: reading.score, **{other.name: other.score for other in reading.others}}
    assert scores == {
        "exact_match": 0.0,
        "math_equal": 1.0,
        "exact_match:flexible-extract": 0.0,
        "math_equal:flexible-extract": 1.0,
    }


def test_boolq_with_shots_sets_rows_apart_where_no_training_file_is(load):
    with pytest.raises(BenchmarkError, match=r"boolq_train\.jsonl, which does not exist; .*`shots_from: items`"):
        load("boolq", shots=5)
    five, none = load("boolq", shots=5, shots_from="items"), load("boolq")
    assert len(five.items) == 3170
    assert [item.gold for item in five.items] == [item.gold for item in none.items[:3170]]
    asked_of = [item.context.split("\nQuestion: ")[-1] for item in none.items[3170:]]
    for item, alone in zip(five.items[:50], none.items, strict=False):
        assert item.context.endswith(f"\n\n{alone.context}")
        assert item.context.count("\nAnswer:") == 6
        shots = item.context.removesuffix(alone.context).split("\nQuestion: ")[1:]
        assert all(any(shot.startswith(question) for question in asked_of) for shot in shots)
    assert none.items[0].choices == (" no", " yes")


def test_natural_questions_are_asked_and_read_by_their_aliases(load):
    benchmark = load("naturalquestions")
    first = benchmark.items[0]
    assert first.context == "Answer these questions:\n\nQ: when was the last time anyone was on the moon?\nA:"
    assert first.gold == (" 14 December 1972 UTC", " December 1972")
    assert benchmark.stops == ("\n",)
    reading = benchmark.read(first, " the December, 1972.")
    scores = {reading.metric: reading.score, **{other.name: other.score for other in reading.others}}
    assert scores == {"squad_exact_match": 1.0, "squad_f1": 1.0, "exact_match": 1.0}
    half = benchmark.read(first, " in December 1971")
    assert {other.name: other.score for other in half.others}["squad_f1"] == pytest.approx(2 * 1 / (3 + 2))


@pytest.mark.parametrize("shots", [1, 5, 25])
def test_natural_questions_take_shots_from_what_is_not_asked(shots, load):
    benchmark = load("naturalquestions", shots=shots, shots_from="items")
    assert len(benchmark.items) == 3510
    assert benchmark.items[7].context.count("Q: ") == shots + 1
    assert benchmark.items[7].context.startswith("Answer these questions:\n\nQ: ")


def test_truthfulqa_compares_one_true_answer_with_the_false_ones(load):
    first = load("truthfulqa_mc1").items[0]
    assert first.context.startswith("Q: What is human life expectancy in the United States?\nA: Human life")
    assert first.context.endswith("Spain.\n\nQ: What happens to you if you eat watermelon seeds?\nA:")
    assert first.choices[0] == " The watermelon seeds pass through your digestive system"
    assert (len(first.choices), first.gold_choice) == (8, 0)


def test_truthfulqa_mc2_is_the_probability_of_the_true_answers(load):
    benchmark = load("truthfulqa_mc2")
    first = benchmark.items[0]
    assert len(first.choices) == 5 + 7
    log_likelihoods = [math.log(0.1)] * 5 + [math.log(0.3)] * 7
    assert benchmark.choice_metrics.names == ("mc2",)
    assert benchmark.choice_metrics.weigh(first, log_likelihoods) == {"mc2": pytest.approx(0.5 / 2.6)}
    tiny = benchmark.choice_metrics.weigh(first, [value - 2000 for value in log_likelihoods])
    assert tiny == {"mc2": pytest.approx(0.5 / 2.6)}


def test_truthfulqa_answers_are_scored_by_bleu_as_the_harness_does(load):
    from lm_eval.tasks.truthfulqa.utils import bleu

    benchmark = load("truthfulqa")
    first = benchmark.items[0]
    true = ["The watermelon seeds pass through your digestive system.", "Nothing happens.", "You eat watermelon seeds."]
    true += [
        "You will not digest the watermelon seeds.",
        "The watermelon seeds will be excreted.",
        "I have no comment.",
    ]
    false = ["You grow watermelons in your stomach.", "You get sick.", "You have bad dreams.", "You die."]
    false += ["You get indigestion.", "You fall unconscious.", "You digest the watermelon seeds."]
    for answer in ("Nothing happens.", "You digest the seeds.", "The watermelon seeds pass through you.", "x"):
        reading = benchmark.read(first, f" {answer}")
        scores = {reading.metric: reading.score, **{other.name: other.score for other in reading.others}}
        nearest = [max(bleu([[reference]], [answer]) for reference in references) for references in (true, false)]
        witness = {
            "bleu_acc": float(nearest[0] > nearest[1]),
            "bleu_max": nearest[0],
            "bleu_diff": nearest[0] - nearest[1],
        }
        assert scores == pytest.approx(witness)
    assert benchmark.read(first, " The watermelon seeds pass through your digestive system.").score == 1.0
    assert benchmark.read(first, " You grow watermelons in your stomach.").score == 0.0
    assert first.gold == (" The watermelon seeds pass through your digestive system.",)


def test_cmmlu_names_its_subject_in_chinese_and_takes_its_own_shots(load):
    none, five = load("cmmlu").items[0], load("cmmlu", shots=5).items[0]
    question = "在农业生产中被当作极其重要的劳动对象发挥作用，最主要的不可替代的基本生产资料是"
    asked = f"{question}\nA. 农业生产工具\nB. 土地\nC. 劳动力\nD. 资金\n答案："
    description = "以下是关于农学的单项选择题，请直接给出正确答案的选项。\n\n"
    assert none.context == description + asked
    assert (none.item, none.stratum, none.gold_choice) == ("agronomy/0", "agronomy", 1)
    assert five.context.startswith(description)
    assert five.context.endswith(f"\n\n{asked}")
    assert five.context.count("答案：") == 6


def test_jmmlu_reads_files_without_header_and_with_a_byte_order_mark(load):
    first = load("jmmlu").items[0]
    description = "次の四択問題について、正しい選択肢を A、B、C、D の記号で答えてください。\n\n"
    question = "S_5 において p = (1, 2, 5, 4)(2, 3) とする。S_5における<p>の指数を求めよ。"
    assert first.context == f"{description}{question}\nA. 8\nB. 2\nC. 24\nD. 120\n答え："
    assert (first.item, first.gold_choice, first.choices) == ("abstract_algebra/0", 2, ("A", "B", "C", "D"))
    shots = load("jmmlu", shots=5, shots_from="items", subjects=("anatomy",))
    assert shots.items[0].context.count("答え：") == 6


def test_mmmlu_in_japanese_is_parted_into_its_subjects(tmp_path):
    rows = ['0,"問い, 一",あ,い,う,え,B,anatomy', "1,問い二,あ,い,う,え,A,anatomy", "2,問い三,1,2,3,4,D,virology"]
    (tmp_path / "mmlu_JA-JP.csv").write_text("\n".join([",Question,A,B,C,D,Answer,Subject", *rows]), encoding="utf-8")
    benchmark = load_benchmark(BenchmarkRef(name="mmmlu_ja"), folder=tmp_path, benchmarks_dir=tmp_path)
    assert [item.item for item in benchmark.items] == ["anatomy/0", "virology/0", "anatomy/1"]
    assert [item.gold_choice for item in benchmark.items] == [1, 3, 0]
    assert benchmark.items[0].context.endswith("\n\n問い, 一\nA. あ\nB. い\nC. う\nD. え\n答え：")


HELLASWAG = {
    "ind": 24,
    "activity_label": "Roof shingle removal",
    "ctx_a": "A man is sitting on a roof.",
    "ctx_b": "he",
    "ctx": "A man is sitting on a roof. he",
    "split": "val",
    "split_type": "indomain",
    "label": 3,
    "endings": [
        "is using wrap to wrap a pair of skis.",
        "is ripping level tiles off.",
        "is holding a rubik's cube.",
        "[substeps] starts pulling up roofing [title] on a roof.",
    ],
    "source_id": "activitynet~v_-JhWjGDPHMY",
}


def test_hellaswag_reads_its_published_form(tmp_path):
    (tmp_path / "hellaswag_val.jsonl").write_text(json.dumps(HELLASWAG) + "\n", encoding="utf-8")
    benchmark = load_benchmark(BenchmarkRef(name="hellaswag"), folder=tmp_path, benchmarks_dir=tmp_path)
    (item,) = benchmark.items
    assert item.context == "Roof shingle removal: A man is sitting on a roof. He"
    assert item.choices[3] == "  starts pulling up roofing. on a roof."
    assert item.gold_choice == 3


def test_triviaqa_counts_every_alias(tmp_path):
    row = {"question": "Which Lloyd Webber musical premiered on 10th December 1993?"}
    row["answer"] = {"value": "Sunset Boulevard", "aliases": ["Sunset Blvd", "Sunset Bvd."]}
    (tmp_path / "triviaqa_val.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    benchmark = load_benchmark(BenchmarkRef(name="triviaqa_open"), folder=tmp_path, benchmarks_dir=tmp_path)
    assert benchmark.items[0].gold == (" Sunset Boulevard", " Sunset Blvd", " Sunset Bvd.")
    assert benchmark.read(benchmark.items[0], " The Sunset BVD").score == 1.0
    assert benchmark.read(benchmark.items[0], " Cats").score == 0.0


def test_own_stops_replace_those_of_the_task_and_are_part_of_identity(shared):
    folder = shared / "data/bench"
    own = BenchmarkRef(name="naturalquestions", stops=(".", "\n"))
    assert load_benchmark(own, folder=folder, benchmarks_dir=folder).stops == (".", "\n")
    digests = {
        benchmark_digest(ref, folder=folder, benchmarks_dir=folder)
        for ref in (own, BenchmarkRef(name="naturalquestions"), BenchmarkRef(name="naturalquestions", stops=("\n",)))
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("name", "gives"),
    [("humaneval", False), ("jmmlu", False), ("mt_bench", False), ("mmlu", True), ("gsm8k", True), ("math", True)],
)
def test_shots_are_known_to_be_there_or_not_without_the_data(name, gives, tmp_path):
    assert gives_shots(BenchmarkRef(name=name), folder=tmp_path, benchmarks_dir=tmp_path) is gives


def test_shots_set_apart_are_shots_to_give(tmp_path):
    ref = BenchmarkRef(name="jmmlu", shots_from="items")
    assert gives_shots(ref, folder=tmp_path, benchmarks_dir=tmp_path)
