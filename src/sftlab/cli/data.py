"""`sftlab data`: what is in a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from sftlab.data.example import Dataset
    from sftlab.data.summary import DataSummary, Finding, Spread, TokenLengths


def data(  # noqa: PLR0913 - each is an option of the command line
    file: Annotated[Path, typer.Argument(help="json, jsonl, csv, tsv or parquet, also gzipped", show_default=False)],
    *,
    base: Annotated[str | None, typer.Option("--base", help="a base, for lengths in its tokens")] = None,
    prompt: Annotated[str | None, typer.Option(help="the column that asks")] = None,
    response: Annotated[str | None, typer.Option(help="the column that answers")] = None,
    columns: Annotated[str | None, typer.Option(help="names of a headerless file's columns, with commas")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="what counts as too long, with --base")] = 2048,
    as_json: AsJson = False,
) -> None:
    """Report records, shape, lengths, duplicates, empty and broken rows of a dataset."""
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
    dataset = read_dataset(ref, name=file.name.split(".")[0])
    summary = summarise(dataset)
    if base is not None:
        summary = replace(summary, tokens=_token_lengths(dataset, base, max_tokens))
    if as_json:
        print_json(asdict(summary))
    else:
        _print(summary)


def _token_lengths(dataset: "Dataset", base: str, max_tokens: int) -> "TokenLengths":
    import tempfile

    from sftlab.data.summary import TokenLengths, spread
    from sftlab.lm.base import load_tokenizer
    from sftlab.lm.encoding import EncodingRecipe, encode_examples
    from sftlab.study.declaration import BaseRef

    folder = Path(base)
    ref = BaseRef(name=folder.name, model=str(folder.resolve()) if folder.is_dir() else base)
    recipe = EncodingRecipe(max_tokens=max_tokens, overflow="truncate")
    with tempfile.TemporaryDirectory() as tokens:
        encoded = encode_examples(dataset.examples, load_tokenizer(ref), recipe=recipe, folder=Path(tokens))
        return TokenLengths(
            base=ref.name,
            prompt=spread([int(count) for count in encoded.prompt_tokens]),
            response=spread([int(count) for count in encoded.response_tokens]),
        )


def _print(summary: "DataSummary") -> None:
    from sftlab.cli.printing import print_columns, print_line

    print_line(f"{summary.name}: {summary.num_usable} of {summary.num_rows} records are usable, shape {summary.shape}")
    print_line(f"multi-turn: {summary.num_multi_turn}; with a system message: {summary.num_with_system}")
    rows = [_row("prompt, bytes", summary.prompt_bytes), _row("response, bytes", summary.response_bytes)]
    if summary.tokens is not None:
        rows.append(_row(f"prompt, tokens of {summary.tokens.base}", summary.tokens.prompt))
        rows.append(_row(f"response, tokens of {summary.tokens.base}", summary.tokens.response))
    print_columns(("length of", "median", "mean", "longest", "total", "n"), rows)
    _print_findings("broken rows (left out)", summary.broken)
    _print_findings("worth a look (kept)", summary.findings)


def _row(name: str, spread: "Spread") -> tuple[str, str, str, str, str, str]:
    return (name, f"{spread.median:g}", f"{spread.mean:.1f}", f"{spread.maximum}", f"{spread.total}", f"{spread.n}")


def _print_findings(title: str, findings: tuple["Finding", ...]) -> None:
    from sftlab.cli.printing import print_line

    print_line(f"{title}: {'none' if not findings else ''}")
    for finding in findings:
        print_line(f"  {finding.count} x {finding.kind}")
        for excerpt in finding.excerpts:
            print_line(f"      row {excerpt.index}: {excerpt.text}")
