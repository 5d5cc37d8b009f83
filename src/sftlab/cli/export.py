"""`sftlab export`: one trained model as a folder to serve."""

from pathlib import Path
from typing import Annotated

import typer

from sftlab.cli.options import AsJson, StoreFolder, StudyFile


def export(  # noqa: PLR0913, PLR0917 - the options of the verb
    study: StudyFile,
    run: Annotated[str, typer.Argument(help="a run or checkpoint, or how only one begins", show_default=False)],
    to: Annotated[Path, typer.Option("--to", help="the folder to write", show_default=False)],
    epoch: Annotated[int | None, typer.Option("--epoch", min=1, help="the scored one if not given")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="a whole model in place of an adapter")] = False,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier export")] = False,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model for transformers or PEFT, with the template it was trained with."""
    import polars as pl

    from sftlab.analyse.tables import table
    from sftlab.cli.printing import print_json, print_line, size
    from sftlab.lm.weights import is_adapter
    from sftlab.plan.opening import open_study
    from sftlab.release.card import model_card
    from sftlab.release.chosen import chosen_checkpoint
    from sftlab.release.export import export_model
    from sftlab.release.four_bits import serving_limits

    opened = open_study(study, store)
    cells = opened.resolved.cells
    chosen = chosen_checkpoint(cells, opened.store, run, epoch=epoch)
    record = opened.store.record(chosen.run.identity)
    scores = table("scores", cells, opened.store).filter(pl.col("checkpoint") == chosen.label)
    adapter = is_adapter(chosen.folder) and not merged
    card = model_card(opened.study, chosen, record.result if record else {}, scores, adapter=adapter)
    written = export_model(chosen, to.resolve(), merged=merged, force=force, card=card)
    if as_json:
        facts = {"folder": str(written.folder), "run": chosen.run.spec.run, "epoch": chosen.epoch}
        kind = "adapter" if written.adapter else "model"
        print_json({**facts, "kind": kind, "bytes": written.num_bytes, "ends_with": written.end_tokens})
        return
    kind = f"adapter for {chosen.base.base.model}" if written.adapter else "whole model"
    print_line(f"{chosen.run.spec.run}, epoch {chosen.epoch}: {kind}, {size(written.num_bytes)}, in {written.folder}")
    print_line(f"an answer ends with {' or '.join(written.end_tokens)}")
    for limit in serving_limits(chosen):
        print_line(limit)
