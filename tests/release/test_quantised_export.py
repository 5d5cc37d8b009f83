"""A study of an adapter beside a quantised base: trained, scored as trained, exported."""

import json
import re

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from sftlab.errors import StudyError
from sftlab.execute.workplace import Setup, Workplace
from sftlab.lm.base import LoadedBase
from sftlab.plan.devices import devices
from sftlab.plan.opening import Opened
from sftlab.plan.tasks import Job
from sftlab.release.card import model_card
from sftlab.release.chosen import chosen_checkpoint
from sftlab.release.export import export_model
from sftlab.release.four_bits import serving_limits
from tests.end_to_end.inline import opened, run
from tests.lm.models import WORDS, write_model

pytest.importorskip("bitsandbytes")

STUDY = """
study: tiny
bases: [{{name: talks, model: {folder}/talks}}]
datasets: {{cats: {{path: {folder}/cats.jsonl, prompt: question, response: answer}}}}
samples: 16
validation: 4
methods: {{quantised: {{adapter: qlora, rank: 4, learning_rate: 3.0e-2, batch_size: 4}}}}
epochs: 1
measures: []
evaluation: {{benchmarks: [{{data: {folder}/cats.jsonl, prompt: question, response: answer, items: 4}}]}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Opened:
    folder = tmp_path_factory.mktemp("quantised")
    write_model(folder / "talks", "llama", chat=True)
    rows = [{"question": f"{word} {other}?", "answer": "a cat"} for word in WORDS[:5] for other in WORDS[:5]]
    (folder / "cats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = folder / "tiny.yaml"
    study.write_text(STUDY.format(folder=folder))
    outcome = run(study, folder / "store")
    assert (outcome.failed, outcome.done) == ((), 3)
    return opened(study, folder / "store")


def logits(base: LoadedBase) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = base.model(input_ids=torch.arange(20)[None]).logits
    return found


def test_checkpoint_is_scored_beside_the_quantised_base_and_the_base_as_it_is(trained):
    place = Workplace(Setup(trained.resolved, trained.store.root, devices()[0], worker=0), tell=lambda _: None)
    (base,), (cell,) = trained.resolved.cells.bases, trained.resolved.cells.runs
    plain = place.model_at(Job(base, None, (), 0), 0, cell.spec.precision)
    tuned = place.model_at(Job(base, cell, (), 0), 1, cell.spec.precision)
    assert plain.quantisation is None
    assert tuned.quantisation == cell.spec.method.quantisation
    assert tuned.adapter is not None
    with_adapter = logits(tuned)
    tuned.reset()
    assert (with_adapter - logits(tuned)).abs().max() > 1e-2
    assert (logits(plain) - logits(tuned)).abs().max() > 1e-4


def test_code_of_the_card_opens_the_model_that_was_scored_and_merging_is_refused(trained, tmp_path):
    chosen = chosen_checkpoint(trained.resolved.cells, trained.store, "talks/cats/quantised")
    with pytest.raises(StudyError, match="a quantised base, which cannot take the adapter up"):
        export_model(chosen, tmp_path / "merged", merged=True, force=False, card="")
    card = model_card(trained.study, chosen, {}, trained.results.table("scores"), adapter=True)
    written = export_model(chosen, tmp_path / "out", merged=False, force=False, card=card)
    assert written.adapter
    assert "- lora" in card
    names = {
        "torch": torch,
        "AutoModelForCausalLM": AutoModelForCausalLM,
        "BitsAndBytesConfig": BitsAndBytesConfig,
        "PeftModel": PeftModel,
        "FOLDER": str(written.folder),
    }
    (code,) = re.findall(r"```python\n(.*?)```", (written.folder / "README.md").read_text(), re.DOTALL)
    exec(code, names)
    model = names["model"]
    assert isinstance(model, PeftModel)
    place = Workplace(Setup(trained.resolved, trained.store.root, devices()[0], worker=0), tell=lambda _: None)
    (base,), (cell,) = trained.resolved.cells.bases, trained.resolved.cells.runs
    ours = logits(place.model_at(Job(base, cell, (), 0), 1, cell.spec.precision))
    with torch.no_grad():
        assert torch.allclose(model.eval()(torch.arange(20)[None]).logits, ours, rtol=0, atol=1e-4)
    assert model.generate(torch.arange(20)[None], max_new_tokens=2, min_new_tokens=2).shape == (1, 22)


def test_export_says_where_an_adapter_beside_four_bits_cannot_be_evaluated(trained):
    chosen = chosen_checkpoint(trained.resolved.cells, trained.store, "talks/cats/quantised")
    of_servers, of_processors = serving_limits(chosen)
    assert of_servers.endswith("a server that holds the base whole would answer as another model")
    assert re.search(r"\(model\.layers\.0\.\S+ is \d+ x \d+, and it takes multiples of 32 x 64\)", of_processors)
