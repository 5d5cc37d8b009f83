"""What would fail only after training is said at planning."""

import json
from pathlib import Path

import pytest
import yaml

from sftlab.cli.plan import plan
from sftlab.errors import BenchmarkError, ModelError, StudyError
from sftlab.plan.resolve import resolve
from sftlab.pocket.files import PocketDesign, write_pocket_study
from sftlab.store import Store
from sftlab.study.declaration import BenchmarkRef, Study
from sftlab.study.engine import Server
from sftlab.study.reading import load_study


def small_study(folder: Path) -> Study:
    design = PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
    return load_study(write_pocket_study(folder, design=design))


@pytest.mark.parametrize(("left", "complaint"), [("", "holds no rows"), ('{"question": "a"}\n', "has both|no column")])
def test_benchmark_without_items_is_refused_at_planning(tmp_path: Path, left: str, complaint: str) -> None:
    study = small_study(tmp_path)
    (tmp_path / "bench" / "facts.jsonl").write_text(left)
    with pytest.raises(BenchmarkError, match=f"benchmark 'facts': .*({complaint})"):
        resolve(study, Store(tmp_path / "store"))


def test_benchmark_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), Store(tmp_path / "store")
    first = resolve(study, store)
    held = store.read_note("benchmarks")
    assert held == {score.benchmark_digest: 4 for score in first.cells.scores}
    resolve(study, store)
    assert store.read_note("benchmarks") == held
    path = tmp_path / "bench" / "facts.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    resolve(study, store)
    assert sorted((store.read_note("benchmarks") or {}).values()) == [3, 4, 4, 4, 4]


@pytest.mark.parametrize("where", ["study", "evaluation"])
def test_chat_template_that_a_base_lacks_is_refused_at_planning(tmp_path: Path, where: str) -> None:
    study = small_study(tmp_path)
    if where == "study":
        chat = study.model_copy(update={"template": "chat"})
    else:
        chat = study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"template": "chat"})})
    with pytest.raises(ModelError, match="the base llama-facts has no chat template"):
        resolve(chat, Store(tmp_path / "store"))


def asked(study: Study, **fields: object) -> Study:
    return study.model_copy(update={"evaluation": study.evaluation.model_copy(update=fields)})


def test_bases_are_asked_once_more_in_their_own_form_beside_the_form_of_all(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), Store(tmp_path / "store")
    plain = resolve(study, store).cells.scores
    own = resolve(asked(study, base_template="alpaca"), store).cells.scores
    assert [score.identity for score in own if not score.base_condition] == [score.identity for score in plain]
    more = [score for score in own if score.base_condition]
    of_base = [score for score in plain if score.run is None]
    assert [score.benchmark.name for score in more] == [f"{score.benchmark.name}@base" for score in of_base]
    assert all((score.run, score.epoch) == (None, 0) for score in more)
    assert not {score.identity for score in more} & {score.identity for score in plain}
    assert [score.benchmark_digest for score in more] == [score.benchmark_digest for score in of_base]


def with_tasks(study: Study, folder: Path, **fields: object) -> Study:
    """The study asked two task files more: `apart`, with a training split, and `alone`, without."""
    rows = "".join(json.dumps({"question": f"{n} + 1?", "answer": f"{n + 1}"}) + "\n" for n in range(6))
    task = {"dataset_path": "json", "output_type": "generate_until", "test_split": "test"}
    task |= {"doc_to_text": "{{question}}", "doc_to_target": " {{answer}}"}
    refs = [ref for ref in study.evaluation.benchmarks if ref.name == "facts"]
    for name, splits in {"apart": {"training_split": "train"}, "alone": {}}.items():
        data = {split: str(folder / f"{name}-{split}.jsonl") for split in ("test", *splits.values())}
        for path in data.values():
            Path(path).write_text(rows)
        content = {**task, **splits, "task": name, "dataset_kwargs": {"data_files": data}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        refs.append(BenchmarkRef.model_validate({"file": str(folder / f"{name}.yaml"), **fields.get(name, {})}))
    return asked(
        study, benchmarks=tuple(refs), **{key: one for key, one in fields.items() if key not in {"apart", "alone"}}
    )


def shots_of(study: Study, folder: Path) -> dict[str, int | None]:
    cells = resolve(study, Store(folder / "store")).cells.scores
    return {score.benchmark.name: score.benchmark.shots for score in cells if score.base_condition}


def test_base_shots_of_the_study_are_for_benchmarks_that_have_shots_to_give(tmp_path: Path) -> None:
    study = with_tasks(small_study(tmp_path), tmp_path, base_shots=2)
    assert shots_of(study, tmp_path) == {"facts@base": None, "apart@base": 2, "alone@base": None}
    assert resolve(study, Store(tmp_path / "store")).without_shots == ("facts", "alone")
    stated = with_tasks(small_study(tmp_path), tmp_path, base_shots=2, alone={"base_shots": 0}, apart={"base_shots": 3})
    assert shots_of(stated, tmp_path) == {"facts@base": None, "apart@base": 3, "alone@base": 0}
    assert resolve(stated, Store(tmp_path / "store")).without_shots == ("facts",)
    impossible = with_tasks(small_study(tmp_path), tmp_path, alone={"base_shots": 1})
    with pytest.raises(BenchmarkError, match=r"'alone@base': .*`base_shots: 0`"):
        resolve(impossible, Store(tmp_path / "store"))


def test_a_benchmark_may_have_a_base_form_of_its_own(tmp_path: Path) -> None:
    store, plain = Store(tmp_path / "store"), with_tasks(small_study(tmp_path), tmp_path)
    before = {score.identity for score in resolve(plain, store).cells.scores}
    own = with_tasks(small_study(tmp_path), tmp_path, apart={"base_template": "plain", "base_shots": 1})
    cells = resolve(own, store).cells.scores
    assert {score.identity for score in cells if not score.base_condition} == before
    (more,) = [score for score in cells if score.base_condition]
    assert more.benchmark.name == "apart@base"
    assert own.base_template(more.benchmark) == "plain" != own.asked_template
    shots_alone = with_tasks(small_study(tmp_path), tmp_path, apart={"base_shots": 1})
    (other,) = [score for score in resolve(shots_alone, store).cells.scores if score.base_condition]
    assert len({more.identity, other.identity, *before}) == len(before) + 2


def test_a_system_prompt_is_part_of_every_score_and_of_nothing_else(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), Store(tmp_path / "store")
    cells, said = resolve(study, store).cells, resolve(asked(study, system_prompt="Be brief."), store).cells
    assert not {score.identity for score in cells.scores} & {score.identity for score in said.scores}
    assert [run.identity for run in cells.runs] == [run.identity for run in said.runs]


def test_likelihoods_are_not_asked_of_an_engine_that_tells_none(tmp_path: Path) -> None:
    study, store = small_study(tmp_path), Store(tmp_path / "store")
    serve = "transformers serve {model} --port {port} --dtype {dtype}"
    served = asked(study, engine=Server(serve=serve))
    with pytest.raises(StudyError, match=r"benchmark '\w+': the engine transformers tells no log-prob.*generative"):
        resolve(served, store)
    written = tuple(
        ref.model_copy(update={"scorers": ("generative",)}) for ref in study.evaluation.benchmarks if ref.data is None
    )
    assert resolve(asked(served, benchmarks=written), store).cells.scores
    elsewhere = Server(serve=serve.replace("transformers", "sglang"), version="1")
    assert resolve(asked(study, engine=elsewhere), store).cells.scores


def test_plan_names_the_benchmarks_that_keep_their_own_shots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pocket_study(
        tmp_path, design=PocketDesign(bases=("llama-facts",), datasets=("facts",), samples=16, items=4)
    )
    path.write_text(path.read_text().replace("evaluation:\n", "evaluation:\n  base_shots: 2\n", 1))
    plan(path, tmp_path / "store")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("base_shots: ")]
    assert "facts" in said.split("not of ")[1].split(", which")[0].split(", ")
