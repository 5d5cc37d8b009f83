"""`sftlab data`: what is in a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sftlab.data.example import Dataset
    from sftlab.data.summary import DataSummary, Finding, Spread, TokenLengths

OVERFLOWS: tuple[Literal["truncate"], Literal["drop"]] = ("truncate", "drop")
EXCERPTS = 3


def data(  # noqa: PLR0913 - each is an option of the command line
    file: Annotated[Path, typer.Argument(help="json, jsonl, csv, tsv or parquet, also gzipped", show_default=False)],
    *,
    base: Annotated[str | None, typer.Option("--base", help="a base, for lengths in its tokens")] = None,
    prompt: Annotated[str | None, typer.Option(help="the column that asks")] = None,
    response: Annotated[str | None, typer.Option(help="the column that answers")] = None,
    columns: Annotated[str | None, typer.Option(help="names of a headerless file's columns, with commas")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="what counts as too long, with --base")] = 2048,
    benchmarks_dir: Annotated[
        Path | None,
        typer.Option("--benchmarks-dir", help="a folder of benchmark files: which questions are in the data"),
    ] = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="another dataset: what both hold (may be repeated)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report records, shape, lengths, duplicates, refusals, cut answers and broken rows of a dataset."""
    from dataclasses import asdict, replace

    from sftlab.cli.printing import print_json
    from sftlab.data.reading import read_dataset
    from sftlab.data.summary import summarise
    from sftlab.errors import DataError
    from sftlab.study.declaration import DatasetRef

    if not file.exists():
        raise DataError(f"there is no file {file}")
    names = tuple(columns.split(",")) if columns else None
    ref = DatasetRef(path=str(file.resolve()), prompt=prompt, response=response, columns=names)
    dataset = read_dataset(ref, name=file.name.split(".")[0], from_flags=True)
    summary = summarise(dataset)
    if base is not None:
        lengths, too_long = _under_base(dataset, base, max_tokens)
        summary = replace(summary, tokens=lengths, findings=(*summary.findings, *too_long))
    summary = replace(summary, findings=(*summary.findings, *_overlaps(dataset, benchmarks_dir, against or ())))
    if as_json:
        print_json(asdict(summary))
    else:
        _print(summary)


def _overlaps(dataset: "Dataset", benchmarks_dir: Path | None, against: "Sequence[Path]") -> "Iterator[Finding]":
    """What the dataset shares with benchmarks and other datasets."""
    from sftlab.data.reading import read_dataset
    from sftlab.errors import DataError
    from sftlab.plan.overlaps import benchmark_overlaps, dataset_overlaps, shipped_questions
    from sftlab.study.declaration import DatasetRef

    if benchmarks_dir is not None:
        if not benchmarks_dir.is_dir():
            raise DataError(f"there is no folder {benchmarks_dir}")
        yield from benchmark_overlaps(dataset, shipped_questions(benchmarks_dir))
    for file in against:
        if not file.exists():
            raise DataError(f"there is no file {file}")
        ref = DatasetRef(path=str(file.resolve()))
        yield from dataset_overlaps(dataset, read_dataset(ref, name=file.name.split(".")[0], from_flags=True))


def _under_base(dataset: "Dataset", base: str, max_tokens: int) -> tuple["TokenLengths", tuple["Finding", ...]]:
    """Lengths in the base's tokens as they would be trained on, and the examples that are cut to fit."""
    import tempfile

    from sftlab.data.summary import Excerpt, Finding, TokenLengths, spread
    from sftlab.errors import DataError
    from sftlab.lm.base import load_tokenizer
    from sftlab.lm.encoding import EncodingRecipe, encode_examples
    from sftlab.study.declaration import BaseRef

    folder = Path(base)
    ref = BaseRef(name=folder.name, model=str(folder.resolve()) if folder.is_dir() else base)
    tokenizer = load_tokenizer(ref)
    with tempfile.TemporaryDirectory() as tokens:
        cut, dropped = (
            encode_examples(
                dataset.examples,
                tokenizer,
                recipe=EncodingRecipe(max_tokens=max_tokens, overflow=overflow),
                folder=Path(tokens),
            )
            for overflow in OVERFLOWS
        )
        if len(cut) == 0:
            raise DataError(f"no example of {dataset.name} has a response within {max_tokens} tokens of {ref.name}")
        limit = min(max_tokens, tokenizer.context_length)
        excerpts = tuple(Excerpt(one.index, one.reason) for one in dropped.dropped[:EXCERPTS])
        kind = f"longer than {limit} tokens of {ref.name}: cut or dropped, as the study says"
        too_long = (Finding(kind, len(dropped.dropped), excerpts),) if dropped.dropped else ()
        lengths = TokenLengths(
            base=ref.name,
            prompt=spread([int(count) for count in cut.prompt_tokens]),
            response=spread([int(count) for count in cut.response_tokens]),
        )
    return lengths, too_long


def _print(summary: "DataSummary") -> None:
    from sftlab.cli.printing import print_columns, print_line

    print_line(f"{summary.name}: {summary.num_usable} of {summary.num_rows} records are usable, shape {summary.shape}")
    print_line(f"multi-turn: {summary.num_multi_turn}; with a system message: {summary.num_with_system}")
    rows = [_row("prompt, bytes", summary.prompt_bytes), _row("response, bytes", summary.response_bytes)]
    if summary.tokens is not None:
        unit = f"tokens of {summary.tokens.base}"
        rows.append(_row(f"prompt, {unit}, as trained on", summary.tokens.prompt))
        rows.append(_row(f"response, {unit}, as trained on", summary.tokens.response))
    print_columns(("length of", "median", "mean", "longest", "total", "n"), rows)
    _print_findings("broken rows (left out)", summary.broken)
    _print_findings("worth a look (kept)", summary.findings)


def _row(name: str, spread: "Spread") -> tuple[str, str, str, str, str, str]:
    return (name, f"{spread.median:g}", f"{spread.mean:.1f}", f"{spread.maximum}", f"{spread.total}", f"{spread.n}")


def _print_findings(title: str, findings: tuple["Finding", ...]) -> None:
    from sftlab.cli.printing import print_line

    print_line(f"{title}:{'' if findings else ' none'}")
    for finding in findings:
        print_line(f"  {finding.count} x {finding.kind}")
        for excerpt in finding.excerpts:
            print_line(f"      row {excerpt.index}: {excerpt.text}")
