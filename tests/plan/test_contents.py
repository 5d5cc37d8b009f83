import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftlab.errors import DataError, ModelError
from sftlab.plan.contents import Contents, resolved_template
from sftlab.store import Store
from sftlab.study.declaration import BaseRef, DatasetRef


def base_folder(folder: Path, *, weights: bytes = b"weights", template: str = "{}") -> BaseRef:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(template)
    return BaseRef(name="b", model=str(folder))


def test_base_digest_depends_on_content_and_not_on_place(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    here = contents.base(base_folder(tmp_path / "here"))
    there = contents.base(base_folder(tmp_path / "there"))
    other = contents.base(base_folder(tmp_path / "other", weights=b"weightz"))
    assert here.digest == there.digest != other.digest
    assert here.tokenizer_digest == other.tokenizer_digest


def test_dataset_digest_depends_on_content_and_reading_and_not_on_place(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    for name, text in (("a", "one"), ("b", "one"), ("c", "onf")):
        (tmp_path / name).write_text(text)
    digests = {name: contents.dataset(DatasetRef(path=str(tmp_path / name))) for name in "abc"}
    assert digests["a"] == digests["b"] != digests["c"]
    assert contents.dataset(DatasetRef(path=str(tmp_path / "a"), turns="first")) != digests["a"]
    assert contents.dataset(DatasetRef(path=str(tmp_path / "a"), short="allow")) == digests["a"]


def test_dataset_digest_tells_formats_apart_that_read_the_same_bytes_differently(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    for name in ("a.csv", "a.tsv", "a.jsonl", "b.ndjson"):
        (tmp_path / name).write_text("question,answer\tmore\nx,y\tz\n")
    csv, tsv, jsonl, ndjson = (
        contents.dataset(DatasetRef(path=str(tmp_path / name))) for name in ("a.csv", "a.tsv", "a.jsonl", "b.ndjson")
    )
    assert len({csv, tsv, jsonl}) == 3
    assert jsonl == ndjson


def test_files_of_a_hub_dataset_are_part_of_its_identity(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    refs = [DatasetRef(hub="nobody/none", revision="0" * 40, files=files) for files in (None, ("a",), ("b",))]
    assert len({contents.dataset(ref) for ref in refs}) == 3


def test_base_digest_covers_generation_settings_and_trusted_code(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    ref = base_folder(tmp_path / "base")
    plain = contents.base(ref).digest
    (tmp_path / "base" / "modeling.py").write_text("code")
    assert contents.base(ref).digest == plain
    assert contents.base(ref.model_copy(update={"trust_remote_code": True})).digest != plain
    (tmp_path / "base" / "generation_config.json").write_text('{"eos_token_id": [2, 13]}')
    assert contents.base(ref).digest != plain


def test_remembered_digest_is_used_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    first = Contents(Store(tmp_path / "store"))
    digest = first.file(file)
    first.remember()
    again = Contents(Store(tmp_path / "store"))
    assert again.file(file) == digest
    file.write_text("two and more")
    assert again.file(file) != digest


def test_fresh_digest_sees_a_change_that_keeps_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    contents = Contents(Store(tmp_path / "store"))
    digest = contents.file(file)
    stamp = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert contents.file(file) == digest
    assert contents.file(file, fresh=True) != digest


def test_base_without_safetensors_is_refused(tmp_path: Path) -> None:
    ref = base_folder(tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds no \.safetensors file"):
        Contents(Store(tmp_path / "store")).base(ref)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json cannot be read"):
        Contents(Store(tmp_path / "store")).file(tmp_path / "nowhere.json")


def test_hub_id_without_a_network_is_provisional(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from sftlab.plan.contents import Contents; from sftlab.store import Store\n"
        "from sftlab.study.declaration import BaseRef\n"
        "contents = Contents(Store(Path(sys.argv[1])))\n"
        "print(len(contents.base(BaseRef(name='q', model='nobody/none-here')).digest), *contents.provisional)"
    )
    closed = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "store")], capture_output=True, text=True, check=True, env=closed
    )
    assert answer.stdout.startswith("64 base q: the hub could not be reached for 'nobody/none-here'")


def test_silent_hub_is_asked_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from sftlab.benchmarks import sources; from sftlab.plan import hub\n"
        "asked = []; ask = sources.urllib.request.urlopen\n"
        "sources.urllib.request.urlopen = lambda *given, **named: asked.append(1) or ask(*given, **named)\n"
        "from sftlab.study.declaration import BaseRef\n"
        "reasons = [hub.pinned_model(BaseRef(name='q', model=f'nobody/none-{n}')).reason for n in range(5)]\n"
        "print(len(asked), sum('could not be reached' in reason for reason in reasons))"
    )
    closed = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    closed.pop("HF_HUB_OFFLINE", None)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=closed)
    assert answer.stdout.split() == ["1", "5"]


@pytest.mark.parametrize(("config", "expected"), [("{}", "question_answer"), ('{"chat_template": "x"}', "chat")])
def test_auto_template_is_the_tokenizers_own_if_it_has_one(tmp_path: Path, config: str, expected: str) -> None:
    assert resolved_template("auto", base_folder(tmp_path / "base", template=config)) == expected


def test_special_tokens_make_another_base_and_their_absence_none(tmp_path: Path) -> None:
    contents = Contents(Store(tmp_path / "store"))
    ref = base_folder(tmp_path / "here")
    plain = contents.base(ref)
    given = ((), ("<a>",), ("<a>", "<b>"), ("<b>", "<a>"))
    cells = [contents.base(ref.model_copy(update={"special_tokens": tokens})) for tokens in given]
    assert (cells[0].digest, cells[0].tokenizer_digest) == (plain.digest, plain.tokenizer_digest)
    assert len({cell.digest for cell in cells}) == len({cell.tokenizer_digest for cell in cells}) == 4
