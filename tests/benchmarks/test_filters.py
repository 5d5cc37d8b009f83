"""Filters and exact match score answers as lm-evaluation-harness does."""

import pytest

from .witness import load_task, write_jsonl

ANSWERS = (
    "#### 18",
    "She makes 9 * 2 = <<9*2=18>>18.\n#### 18",
    "#### $18",
    "#### 18.",
    "####18",
    "#### -18",
    "#### 1,8",
    "#### 18.0",
    "#### 19\n#### 18",
    "#### 18\n#### 19",
    "The answer is 18.",
    "The answer is 18",
    "The answer is $18.00",
    "it is 3, no 4, no 18!",
    "eighteen",
    "",
    " ",
    "\n\n",
    "18",
    "  18  ",
    "-18",
    "18\nQuestion: what?",
    "A",
    "(A)",
    "a",
    "The answer is B",
    "B. because A is wrong",
    "Yes",
    "no",
    "YES, it is",
    "#### ,",
    "#### .",
    "#### 1\u066018",
    "\u0661\u0668",
    "[invalid]",
    "$18$",
    "....",
    "x" * 3000 + " 18",
)
REGEX = {"function": "regex"}
FIRST = {"function": "take_first"}
LISTS = {
    "strict": [REGEX | {"regex_pattern": r"#### (\-?[0-9\.\,]+)"}, FIRST],
    "default_pattern": [REGEX, FIRST],
    "flexible": [REGEX | {"group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, FIRST],
    "whole_match": [REGEX | {"regex_pattern": "[0-9]+"}, FIRST],
    "empty_groups": [REGEX | {"regex_pattern": "(a)?|(b)?", "fallback": " none "}, FIRST],
    "first_line": [
        REGEX | {"regex_pattern": "^(.*?)(?=\\n|$)"},
        {"function": "remove_whitespace"},
        REGEX | {"regex_pattern": "^(.*?)\\s*$"},
        FIRST,
    ],
    "rest_of_line": [REGEX | {"regex_pattern": "is(.*)"}, FIRST],
    "letter": [REGEX | {"regex_pattern": "\\b([A-D])\\b", "fallback": "A"}, FIRST],
    "lower_map": [
        {"function": "lowercase"},
        REGEX | {"regex_pattern": "yes|no"},
        {"function": "map", "mapping_dict": {"yes": "18", "no": "A"}, "default_value": "neither"},
        FIRST,
    ],
    "upper": [{"function": "uppercase"}, {"function": "remove_whitespace"}, FIRST],
    "nothing": [FIRST],
}
MATCHES = {
    "plain": {},
    "gsm8k": {"ignore_case": True, "regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"]},
    "loose": {"ignore_case": True, "ignore_punctuation": True},
    "no_digits": {"ignore_numbers": True, "ignore_punctuation": True},
}
GOLDS = ("work\n#### 18", "18", "A", "yes", "none")


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("filters", LISTS)
def test_scores_equal_the_harness(filters, match, tmp_path, lm_eval_task):
    data = {"test": write_jsonl(tmp_path / "test.jsonl", [{"q": "?", "a": gold} for gold in GOLDS for _ in ANSWERS])}
    definition = {
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "q",
        "doc_to_target": "a",
        "generation_kwargs": {"until": ["\n\n"]},
        "filter_list": [{"name": "one", "filter": LISTS[filters]}, {"name": "other", "filter": [FIRST]}],
        "metric_list": [
            {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, **MATCHES[match]},
        ],
    }
    witness = lm_eval_task(definition, data, shots=0)
    witness.build_all_requests()
    own = load_task(tmp_path, definition, data)
    texts = ANSWERS * len(GOLDS)
    for instance, text in zip(witness.instances, texts, strict=True):
        instance.resps = [text]
    witness.apply_filters()
    for item, instance, text in zip(own.items, witness.instances, texts, strict=True):
        reading = own.read(item, text)
        for name, score in (("one", reading.score), *((other.filter, other.score) for other in reading.others)):
            expected = witness.process_results(instance.doc, [instance.filtered_resps[name]])["exact_match"]
            assert score == expected, (text, item.gold, name)
        assert [other.filter for other in reading.others] == ["other"]


def test_any_of_several_gold_answers_counts_as_in_the_harness(tmp_path, lm_eval_task):
    data = {"test": write_jsonl(tmp_path / "test.jsonl", [{"q": "?", "a": ["18", "eighteen"]}] * len(ANSWERS))}
    definition = {
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "q",
        "doc_to_target": "a",
        "generation_kwargs": {"until": ["\n\n"]},
        "metric_list": [{"metric": "exact_match", "ignore_punctuation": True}],
    }
    witness = lm_eval_task(definition, data, shots=0)
    own = load_task(tmp_path, definition, data)
    scores = [own.read(item, text).score for item, text in zip(own.items, ANSWERS, strict=True)]
    docs = list(witness.eval_docs)
    expected = [witness.process_results(doc, [text])["exact_match"] for doc, text in zip(docs, ANSWERS, strict=True)]
    assert scores == expected
    assert sum(scores) >= 3


@pytest.mark.parametrize(
    ("text", "answer", "parsed"),
    [("so\n#### 18", "18", True), ("it is 18", "", False), ("", "", False), ("#### 1,234.5 and", "1,234.5", True)],
)
def test_an_answer_is_parsed_only_where_the_filter_matches(text, answer, parsed, tmp_path):
    from sftlab.benchmarks.loading import load_benchmark
    from sftlab.study.declaration import BenchmarkRef

    write_jsonl(tmp_path / "gsm8k_test.jsonl", [{"question": "?", "answer": "#### 18"}])
    own = load_benchmark(BenchmarkRef(name="gsm8k"), folder=tmp_path, benchmarks_dir=tmp_path)
    reading = own.read(own.items[0], text)
    assert (reading.answer, reading.parsed) == (answer, parsed)


def test_the_flexible_filter_is_read_beside_the_strict_one(tmp_path):
    from sftlab.benchmarks.loading import load_benchmark
    from sftlab.study.declaration import BenchmarkRef

    write_jsonl(tmp_path / "gsm8k_test.jsonl", [{"question": "?", "answer": "#### 18"}])
    strict, flexible = (
        load_benchmark(BenchmarkRef(name=name), folder=tmp_path, benchmarks_dir=tmp_path)
        for name in ("gsm8k", "gsm8k_flexible")
    )
    reading = strict.read(strict.items[0], "I say 18")
    assert (reading.score, reading.parsed) == (0.0, False)
    assert [(one.name, one.score, one.answer, one.parsed) for one in reading.others] == [
        ("math_equal", 0.0, "", False),
        ("exact_match:flexible-extract", 1.0, "18", True),
        ("math_equal:flexible-extract", 1.0, "18", True),
    ]
    assert flexible.read(flexible.items[0], "I say 18").score == 1.0
    assert strict.digest != flexible.digest
    assert strict.items == flexible.items
