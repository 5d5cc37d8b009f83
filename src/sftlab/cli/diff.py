"""`sftlab diff`: what fine-tuning changed between two checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    from sftlab.measure.checkpoint_diff import CheckpointDiff

MOST_CHANGED = 10


def diff(
    base: Annotated[Path, typer.Argument(help="a model's folder, or a safetensors file", show_default=False)],
    tuned: Annotated[Path, typer.Argument(help="another, or an adapter's folder", show_default=False)],
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="every tensor, not the most changed ones only")] = False,
    figure: Annotated[Path | None, typer.Option(help="also a picture: svg, pdf or png")] = None,
    as_json: AsJson = False,
) -> None:
    """Relative weight change layer by layer between any two checkpoints, read one tensor at a time."""
    from rich.console import Console
    from rich.progress import Progress

    from sftlab.cli.printing import print_json, print_line
    from sftlab.measure.checkpoint_diff import checkpoint_bytes, diff_checkpoints
    from sftlab.report.diff_picture import check_figure_name, draw_diff

    if figure is not None:
        check_figure_name(figure)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = sum(checkpoint_bytes(side) for side in (base, tuned) if side.exists())
        task = progress.add_task("reading", total=total)
        found = diff_checkpoints(base, tuned, on_tensor=lambda size: progress.advance(task, size))
    if figure is not None:
        draw_diff(found.layers, f"{tuned.name} against {base.name}", figure)
    if as_json:
        print_json({"layers": found.layers.to_dicts(), "tensors": found.tensors.to_dicts(), "notes": list(found.notes)})
        return
    _print(found, all_tensors=tensors)
    if figure is not None:
        print_line(f"picture: {figure}")


def _print(found: "CheckpointDiff", *, all_tensors: bool) -> None:
    import polars as pl

    from sftlab.cli.printing import print_columns, print_line

    parts = [part for part in ("all", "attention", "mlp", "norm") if part in found.layers["part"]]
    inside = found.layers.filter(pl.col("layer").is_not_null())
    if inside.height:
        wide = inside.pivot("part", index=["layer", "depth"], values="relative_change", maintain_order=True)
        rows = [
            (row["layer"], f"{row['depth']:.2f}", *(_shown(row.get(part)) for part in parts)) for row in wide.to_dicts()
        ]
        print_columns(("layer", "depth", *parts), rows)
        print_line()
    outside = found.layers.filter(pl.col("layer").is_null())
    print_columns(
        ("outside layers", "relative change"),
        [
            ("whole model" if row["part"] == "all" else row["part"], _shown(row["relative_change"]))
            for row in outside.to_dicts()
        ],
    )
    print_line()
    ordered = found.tensors.sort("relative_change", descending=True, nulls_last=True)
    shown = found.tensors if all_tensors else ordered.filter(pl.col("status") != "equal").head(MOST_CHANGED)
    rows = [
        (row["tensor"], row["shape"], row["dtype"], row["status"], _shown(row["relative_change"]), row["note"] or "")
        for row in shown.to_dicts()
    ]
    if rows:
        lead = "tensor" if all_tensors else "most changed tensor"
        print_columns((lead, "shape", "dtype", "status", "relative change", "note"), rows)
    counts = found.tensors["status"].value_counts(sort=True)
    print_line(", ".join(f"{count} {status}" for status, count in counts.iter_rows()))
    for note in found.notes:
        print_line(f"note: {note}")


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
