"""A study of two methods and two templates, trained once for all tests of what leaves it."""

import json
from pathlib import Path

import pytest

from sftlab.cli.working import do_missing
from sftlab.plan.opening import Opened
from tests.end_to_end.inline import opened
from tests.lm.models import WORDS, write_model

STUDY = """
study: tiny
bases:
  - {{name: talks, model: {folder}/talks}}
  - {{name: plain, model: {folder}/plain}}
datasets:
  cats: {{path: {folder}/cats.jsonl, prompt: question, response: answer}}
samples: 32
validation: 4
methods:
  full: {{learning_rate: 1.0e-2, batch_size: 2}}
  lora: {{adapter: lora, rank: 8, alpha: 16, learning_rate: 1.0e-2, batch_size: 2}}
epochs: 3
checkpoints: all
measures: []
"""


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Opened:
    """Runs `talks/cats/full/...` and so on; `talks` has a chat template, `plain` has none."""
    folder: Path = tmp_path_factory.mktemp("release")
    write_model(folder / "talks", "llama", chat=True)
    write_model(folder / "plain", "gpt2")
    rows = [{"question": f"{word} {other}?", "answer": "a cat"} for word in WORDS[:6] for other in WORDS[:6]]
    (folder / "cats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = folder / "tiny.yaml"
    study.write_text(STUDY.format(folder=folder))
    store = folder / "store"
    do_missing(opened(study, store), on="inline", workers=1)
    return opened(study, store)
