"""Whatever is wrong with a benchmark gets one sentence that names it."""

import pytest
import yaml

from sftlab.benchmarks.loading import benchmark_digest, load_benchmark
from sftlab.errors import BenchmarkError
from sftlab.study.declaration import BenchmarkRef

from .witness import write_jsonl

GENERATED = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl", "train": "rows.jsonl"}},
    "test_split": "test",
    "doc_to_text": "{{q}}",
    "doc_to_target": "{{a}}",
}
CHOICES = {**GENERATED, "output_type": "multiple_choice", "doc_to_choice": ["x", "y"]}
REGEX = {"function": "regex"}
FIRST = {"function": "take_first"}


def filtered(*functions):
    return {**GENERATED, "filter_list": [{"name": "mine", "filter": list(functions)}]}


@pytest.fixture
def folder(tmp_path):
    rows = [{"q": "what?", "a": "x", "n": 1, "none": None}, {"q": "7", "a": "z", "n": 5, "none": None}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "loop.yaml").write_text("include: loop.yaml\n", encoding="utf-8")
    return tmp_path


WRONG_FIELDS = {
    "unknown field": ({**GENERATED, "doc_to_txt": "{{q}}"}, "unknown field 'doc_to_txt' .*did you mean 'doc_to_text'"),
    "unsupported field": ({**GENERATED, "use_prompt": "x"}, "`use_prompt` is not supported"),
    "image": ({**GENERATED, "doc_to_image": "x"}, "`doc_to_image` is not supported"),
    "group": ({"group": "g", "task": ["a", "b"]}, "group of tasks"),
    "missing field": ({key: GENERATED[key] for key in GENERATED if key != "doc_to_text"}, "'doc_to_text' is missing"),
    "no split": (
        {key: GENERATED[key] for key in GENERATED if key != "test_split"},
        "`test_split` or `validation_split`",
    ),
    "wrong split": ({**GENERATED, "test_split": "tset"}, "no data for the split 'tset' .*did you mean 'test'"),
    "output type": ({**GENERATED, "output_type": "generate"}, "`output_type`: input should be .*got 'generate'"),
    "rolling": ({**GENERATED, "output_type": "loglikelihood_rolling"}, "`output_type`"),
    "shots as text": ({**GENERATED, "num_fewshot": "5"}, "`num_fewshot`: .*integer, got '5'"),
    "negative shots": ({**GENERATED, "num_fewshot": -1}, "`num_fewshot`"),
    "repeats": ({**GENERATED, "repeats": 8}, "`repeats`"),
    "sampling": ({**GENERATED, "generation_kwargs": {"do_sample": True}}, "`generation_kwargs.do_sample`"),
    "temperature": ({**GENERATED, "generation_kwargs": {"temperature": 0.7}}, "`generation_kwargs.temperature`"),
    "generation field": (
        {**GENERATED, "generation_kwargs": {"max_new_tokens": 3}},
        "unknown field 'generation_kwargs.max_new_tokens' .*max_gen_toks",
    ),
    "sampler": ({**GENERATED, "fewshot_config": {"sampler": "balanced"}}, "`fewshot_config.sampler`"),
    "indices": (
        {**GENERATED, "fewshot_config": {"fewshot_indices": [1]}},
        "unknown field 'fewshot_config.fewshot_indices'",
    ),
    "metric": ({**GENERATED, "metric_list": [{"metric": "bleu"}]}, "unknown metric 'bleu' for generate_until"),
    "metric option": (
        {**GENERATED, "metric_list": [{"metric": "exact_match", "strip": True}]},
        "'metric_list.0.strip'",
    ),
    "metric of choices": ({**CHOICES, "metric_list": [{"metric": "exact_match"}]}, "'exact_match' for multiple_choice"),
    "option of acc": (
        {**CHOICES, "metric_list": [{"metric": "acc", "ignore_case": True}]},
        "option of exact_match, not of",
    ),
    "bad ignored regex": (
        {**GENERATED, "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ["("]}]},
        "`regexes_to_ignore` is no regular expression",
    ),
    "filter": (filtered({"function": "regexp"}, FIRST), "filter 'mine': unknown function 'regexp' .*'regex'"),
    "filter option": (filtered({**REGEX, "pattern": "x"}, FIRST), "regex has no option 'pattern' .*'regex_pattern'"),
    "bad regex": (filtered({**REGEX, "regex_pattern": "(["}, FIRST), "filter 'mine': `regex_pattern` is no regular"),
    "group_select": (filtered({**REGEX, "group_select": "last"}, FIRST), "`group_select` is a whole number"),
    "no take_first": (filtered(REGEX), "the last function, and only the last, is take_first"),
    "early take_first": (filtered(FIRST, REGEX), "the last function, and only the last, is take_first"),
    "empty map": (filtered({"function": "map"}, FIRST), "`mapping_dict`"),
    "filter of choices": (
        {**CHOICES, "filter_list": filtered(FIRST)["filter_list"]},
        "`filter_list` is for generate_until",
    ),
    "choices missing": ({**GENERATED, "output_type": "multiple_choice"}, "has `doc_to_choice`"),
    "choices as booleans": ({**CHOICES, "doc_to_choice": [False, True]}, "need quotes to be text"),
    "choice by number": (
        {**CHOICES, "doc_to_text": "a", "doc_to_target": "n"},
        "row 1 of 'test': the gold choice is number 5 of 2",
    ),
    "choice by text": ({**CHOICES, "doc_to_target": "a", "doc_to_text": "a"}, "gold answer 'z' is none of the choices"),
    "several gold": ({**CHOICES, "doc_to_target": ["x", "y"]}, "names 2 right choices"),
    "one context a choice": ({**CHOICES, "doc_to_target": 0}, "row 1 of 'test': `doc_to_text` gives the number 7"),
    "empty choice": (
        {**CHOICES, "doc_to_choice": ["", "x"], "doc_to_target": 1},
        "row 0 of 'test': an answer is empty",
    ),
    "empty gold answer": ({**GENERATED, "doc_to_target": ""}, "row 0 of 'test': an answer is empty"),
    "choices of no list": (
        {**CHOICES, "doc_to_choice": "{{q}}", "doc_to_target": 0},
        "`doc_to_choice` renders 'what\\?'",
    ),
    "missing column": (
        {**GENERATED, "doc_to_text": "{{question}}"},
        "'question' is undefined \\(columns: q, a, n, none\\)",
    ),
    "text of no text": ({**GENERATED, "doc_to_text": "n"}, "`doc_to_text` gives 1; legal: text"),
    "no target": ({**GENERATED, "doc_to_target": "none"}, "`doc_to_target` gives None"),
    "jinja": ({**GENERATED, "doc_to_text": "{{q"}, "`doc_to_text` is no jinja template"),
    "jinja on a row": (
        {**GENERATED, "doc_to_target": "{{1 / (n - 5)}}"},
        "row 1 of 'test': `doc_to_target` fails: division",
    ),
    "jinja escape": ({**GENERATED, "doc_to_text": "{{q.__class__.__mro__}}"}, "row 0 of 'test': `doc_to_text` fails"),
    "no data": ({**GENERATED, "dataset_kwargs": {}}, "needs dataset_kwargs"),
    "missing data": (
        {**GENERATED, "dataset_kwargs": {"data_files": {"test": "gone.jsonl"}}},
        "gone.jsonl does not exist",
    ),
    "empty data": (
        {**GENERATED, "dataset_kwargs": {"data_files": {"test": "empty.jsonl"}}},
        "empty.jsonl holds no rows",
    ),
    "no match": (
        {**GENERATED, "dataset_kwargs": {"data_files": {"test": "*.csv"}}},
        "no file in .* is called '\\*.csv'",
    ),
    "remote data": ({**GENERATED, "dataset_kwargs": {"data_files": "https://x/y.jsonl"}}, "data_files are local files"),
    "files of the hub": ({**GENERATED, "dataset_path": "owner/name"}, "`dataset_kwargs.data_files` goes with"),
    "too many shots": ({**GENERATED, "training_split": "train", "num_fewshot": 3}, "3 shots need 3 rows .*there are 2"),
    "shots from the items": ({**GENERATED, "num_fewshot": 1}, "drawn from the evaluated split 'test'"),
}


@pytest.mark.parametrize("case", WRONG_FIELDS)
def test_a_wrong_task_gets_one_sentence(case, folder):
    fields, sentence = WRONG_FIELDS[case]
    (folder / "task.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    with pytest.raises(BenchmarkError, match=sentence) as caught:
        load_benchmark(BenchmarkRef(name="own", file="task.yaml"), folder=folder)
    assert str(caught.value).startswith("benchmark 'own': ")
    assert "\n" not in str(caught.value)


BOMB = "a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no task file"),
        ("- a\n- b\n", "is no task file"),
        ("a: [1\n", "line 2: not YAML"),
        ("a: !!python/object/apply:os.system ['id']\n", "line 1: not YAML: could not determine a constructor"),
        ("a: &a [*a]\n", "nested too deeply|maximum recursion"),
        (BOMB, "too large for a task file"),
        ("include: gone.yaml\n", "gone.yaml cannot be read: No such file"),
        ("include: loop.yaml\n", "loop.yaml includes itself"),
        ("include: [3]\n", "`include` names one or more files"),
        ("doc_to_text: !function mine.question\n", "`doc_to_text: !function mine.question` is refused"),
        ("process_docs: !function os.system\n", "`process_docs: !function os.system` is refused: .*trust_code"),
        ("process_docs: utils.process\n", "`process_docs` is a `!function`"),
        ("metric_list: [{metric: !function a.b}]\n", "`metric_list: !function a.b` is refused"),
        ("class: !function a.b\n", "`class` is not supported"),
        ("process_docs: !function {a: b}\n", "not YAML"),
    ],
)
def test_a_wrong_yaml_gets_one_sentence(text, sentence, folder):
    (folder / "mine.py").write_text("raise SystemExit('code of a task file was run')\n", encoding="utf-8")
    (folder / "task.yaml").write_text(text, encoding="utf-8")
    for use in (load_benchmark, benchmark_digest):
        with pytest.raises(BenchmarkError, match=sentence) as caught:
            use(BenchmarkRef(name="own", file="task.yaml"), folder=folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("case", ["jinja", "bad regex", "bad ignored regex", "shots from the items", "missing data"])
def test_what_needs_no_rows_is_refused_with_the_digest(case, folder):
    fields, sentence = WRONG_FIELDS[case]
    (folder / "task.yaml").write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    with pytest.raises(BenchmarkError, match=sentence):
        benchmark_digest(BenchmarkRef(name="own", file="task.yaml"), folder=folder)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "gsm8"}, "'gsm8': neither sftlab nor .*did you mean 'gsm8k'"),
        ({"name": "mmlu", "subjects": ("anatonomy",)}, "no subject 'anatonomy' .*did you mean 'anatomy'"),
        ({"name": "gsm8k", "subjects": ("anatomy",)}, "there are no subjects in it"),
        ({"name": "gsm8k"}, "gsm8k_test.jsonl does not exist"),
        ({"name": "mmlu", "subjects": ("anatomy",)}, "anatomy_test.csv does not exist"),
        ({"name": "x", "file": "gone.yaml"}, "the task file .*gone.yaml cannot be read"),
        ({"name": "x", "data": "gone.jsonl"}, "the file .*gone.jsonl does not exist"),
        (
            {"name": "x", "data": "rows.jsonl"},
            "which column is prompt and response; the columns are 'q', 'a', 'n', 'none'",
        ),
        ({"name": "x", "data": "rows.jsonl", "prompt": "q"}, "which column is response"),
        ({"name": "x", "data": "rows.jsonl", "prompt": "qq", "response": "a"}, "no column 'qq' for `prompt` .*'q'"),
        ({"name": "x", "data": "rows.jsonl", "prompt": "q", "response": "none"}, "none of the 2 rows"),
        ({"name": "x", "data": "rows.jsonl", "prompt": "q", "response": "a", "shots": 2}, "`shots` need a task file"),
        ({"name": "x", "data": "empty.jsonl", "prompt": "q", "response": "a"}, "holds no rows"),
        ({"name": "x", "data": "rows.txt"}, "rows.txt does not exist"),
    ],
)
def test_a_wrong_reference_gets_one_sentence(fields, sentence, folder):
    with pytest.raises(BenchmarkError, match=sentence) as caught:
        load_benchmark(BenchmarkRef(**fields), folder=folder, benchmarks_dir=folder)
    assert "\n" not in str(caught.value)


def test_a_scorer_without_meaning_is_refused(folder):
    fields = {**GENERATED, "output_type": "loglikelihood"}
    (folder / "task.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    with pytest.raises(BenchmarkError, match="scorer 'generative' is not for loglikelihood; legal: likelihood"):
        load_benchmark(BenchmarkRef(name="own", file="task.yaml", scorers=("generative",)), folder=folder)


def test_a_damaged_copy_of_a_shipped_benchmark_names_the_row(folder):
    write_jsonl(folder / "boolq_val.jsonl", [{"query": "no passage", "choices": ["no", "yes"], "gold": 0}])
    with pytest.raises(BenchmarkError, match="row 0 of 'validation': a query is 'Passage: "):
        load_benchmark(BenchmarkRef(name="boolq"), folder=folder, benchmarks_dir=folder)
    (folder / "mmlu/test").mkdir(parents=True)
    (folder / "mmlu/test/anatomy_test.csv").write_text("q?,1,2,3,4,A\nr?,1,2,3,4,E\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="row 1 of 'test': the answer is one of the letters A, B, C, D, got 'E'"):
        load_benchmark(BenchmarkRef(name="mmlu", subjects=("anatomy",)), folder=folder, benchmarks_dir=folder)


OWN_CODE = """
test_split: test
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
doc_to_text: !function mine.question
doc_to_target: "{{answer}}"
process_docs: !function mine.even
process_results: !function mine.score
metric_list: [{metric: near}, {metric: far}]
"""
MINE = """
def question(row):
    return f"{row['number']} + 1 ="

def even(dataset):
    return dataset.filter(lambda row: row["number"] % 2 == 0)

def score(row, results):
    return {"near": abs(int(results[0]) - row["answer"]) < 2, "far": "far" if row["number"] else 0}
"""


def test_code_of_a_task_file_is_run_only_where_the_study_trusts_it(tmp_path):
    (tmp_path / "task.yaml").write_text(OWN_CODE, encoding="utf-8")
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    rows = "".join(f'{{"number": {number}, "answer": {number + 1}}}\n' for number in range(3))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    with pytest.raises(BenchmarkError, match=r"refused: .*`trust_code: true`"):
        load_benchmark(BenchmarkRef(name="own", file="task.yaml"), folder=tmp_path)
    trusting = BenchmarkRef(name="own", file="task.yaml", trust_code=True)
    benchmark = load_benchmark(trusting, folder=tmp_path)
    assert [item.context for item in benchmark.items] == ["0 + 1 =", "2 + 1 ="]
    reading = benchmark.read(benchmark.items[0], "2")
    assert (reading.metric, reading.score) == ("near", 1.0)
    with pytest.raises(BenchmarkError, match="gives str for the metric 'far'; legal: one number an item"):
        benchmark.read(benchmark.items[1], "2")
    with pytest.raises(BenchmarkError, match=r"own function score in .*mine\.py fails: ValueError"):
        benchmark.read(benchmark.items[0], "two")
    (tmp_path / "mine.py").write_text(MINE.replace("< 2", "< 1"), encoding="utf-8")
    assert benchmark_digest(trusting, folder=tmp_path) != benchmark.digest
