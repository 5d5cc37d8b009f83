"""The shipped pocket bases: small, loadable, and at work."""

import functools
import math

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from sftlab.pocket.catalogue import POCKET_BASES, bases_folder, pocket_base_folder
from sftlab.pocket.domains import DOMAINS, draw_questions
from sftlab.pocket.mixtures import MIXTURES
from sftlab.pocket.pretrain import main
from sftlab.pocket.quality import code_length, held_out_documents, known, load, token_nats
from sftlab.pocket.training import Recipe, make_base, packed_rows
from sftlab.pocket.world import World

WORLD = World()
_MEGABYTE = 1_000_000
_SKILLED = {"facts": ("facts", "reading"), "skills": ("arithmetic", "strings")}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def _known(base, domain):
    return known(pocket_base_folder(base), DOMAINS[domain], world=WORLD, count=60)


def test_weights_of_all_bases_together_stay_under_four_megabytes():
    files = list(bases_folder().rglob("*.safetensors"))
    assert len(files) == len(POCKET_BASES)
    assert sum(file.stat().st_size for file in files) < 4 * _MEGABYTE


def test_folders_hold_the_shipped_bases_and_no_other_kind_of_weights():
    assert {path.name for path in bases_folder().iterdir()} == {*POCKET_BASES, "README.md"}
    assert {path.suffix for path in bases_folder().rglob("*") if path.is_file()} == {".json", ".md", ".safetensors"}


@pytest.mark.parametrize("name", POCKET_BASES)
def test_tokenizer_keeps_text_and_has_the_special_tokens_it_documents(name):
    tokenizer = AutoTokenizer.from_pretrained(pocket_base_folder(name))
    text = "###Question: Wo? 12 + 7\n###Answer: été 🙂\n#### 19"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.is_fast
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert (ids[0] == tokenizer.bos_token_id) is name.startswith("llama")
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, None}) == 4


@pytest.mark.parametrize("name", POCKET_BASES)
def test_config_asks_for_float32_and_fits_its_tokenizer(name):
    config = AutoConfig.from_pretrained(pocket_base_folder(name))
    tokenizer = AutoTokenizer.from_pretrained(pocket_base_folder(name))
    assert config.dtype == torch.float32
    assert config.vocab_size == len(tokenizer)
    assert config.eos_token_id == tokenizer.eos_token_id
    assert config.max_position_embeddings == 256


@pytest.mark.parametrize("name", POCKET_BASES)
def test_every_question_fits_the_context(name):
    tokenizer = AutoTokenizer.from_pretrained(pocket_base_folder(name))
    for domain in DOMAINS.values():
        for question in draw_questions(domain, WORLD, held_out=True, count=100):
            whole = f"###Question: {question.prompt}\n###Answer: {question.answer}"
            assert len(tokenizer(whole)["input_ids"]) < 200


@pytest.mark.parametrize("name", POCKET_BASES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_base_beats_unigram_and_uniform_on_unseen_text(name, domain):
    length = code_length(pocket_base_folder(name), domain, world=WORLD, mixture=POCKET_BASES[name].mixture)
    assert length.model < 0.7 * length.unigram
    assert length.unigram < length.uniform


@pytest.mark.parametrize("architecture", ["llama", "neox"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_base_predicts_best_what_its_mixture_taught(architecture, domain):
    taught = next(mixture for mixture, domains in _SKILLED.items() if domain in domains)
    bits = {
        mixture: code_length(
            pocket_base_folder(f"{architecture}-{mixture}"), domain, world=WORLD, mixture=mixture
        ).model
        for mixture in MIXTURES
    }
    assert min(bits, key=bits.__getitem__) == taught


@pytest.mark.parametrize("architecture", ["llama", "neox"])
@pytest.mark.parametrize("domain", ["facts", "reading"])
def test_taught_base_chooses_well_above_chance(architecture, domain):
    knows = _known(f"{architecture}-facts", domain)
    standard_error = math.sqrt(knows.chance * (1 - knows.chance) / knows.n)
    assert knows.accuracy > knows.chance + 5 * standard_error


@pytest.mark.parametrize("architecture", ["llama", "neox"])
@pytest.mark.parametrize("domain", ["arithmetic", "strings"])
def test_taught_base_answers_most_questions_by_greedy_decoding(architecture, domain):
    assert _known(f"{architecture}-skills", domain).greedy > 0.5


def test_token_nats_equal_the_loss_of_transformers():
    model, tokenizer = load(pocket_base_folder("llama-facts"))
    ids = tokenizer(held_out_documents(WORLD, "facts", 1)[0])["input_ids"]
    row = torch.tensor([ids])
    with torch.inference_mode():
        loss = model(input_ids=row, labels=row).loss.item()
    assert sum(token_nats(model, ids)) / (len(ids) - 1) == pytest.approx(loss, abs=1e-5)


def test_packed_rows_lose_no_token():
    _, tokenizer = load(pocket_base_folder("neox-facts"))
    texts = held_out_documents(WORLD, "strings", 4000)
    batches = packed_rows(iter(texts), tokenizer, rows=2, length=50)
    read = torch.cat([next(batches).flatten() for _ in range(20)]).tolist()
    expected = [token for text in texts[:200] for token in (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)]
    assert read == expected[: len(read)]


def test_pretraining_twice_gives_the_same_bytes(tmp_path):
    recipe = Recipe(steps=3)
    folders = [
        make_base(POCKET_BASES["neox-skills"], tmp_path / name, world=WORLD, recipe=recipe) for name in ("one", "two")
    ]
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert files[0] == files[1]
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(files[0])
    for name in files[0]:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_shipped_tokenizer_is_the_one_pretraining_makes(tmp_path):
    made = make_base(POCKET_BASES["llama-facts"], tmp_path, world=WORLD, recipe=Recipe(steps=1))
    shipped = pocket_base_folder("llama-facts")
    assert (made / "tokenizer.json").read_bytes() == (shipped / "tokenizer.json").read_bytes()
    assert (made / "config.json").read_bytes() == (shipped / "config.json").read_bytes()


def test_unknown_base_on_the_command_line_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as refused:
        main(["--out", str(tmp_path), "--base", "gpt9"])
    assert refused.value.code == 2
    assert "llama-facts" in capsys.readouterr().err
