"""`sftlab diff`: what fine-tuning changed between two checkpoints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sftlab.cli.options import AsJson

if TYPE_CHECKING:
    import polars as pl

    from sftlab.measure.checkpoint_diff import CheckpointDiff

MOST_CHANGED = 10
NEARLY_WHOLE = 0.9
"""With less of the base's numbers compared, their change is not called that of the whole model."""


def diff(  # noqa: PLR0913 - each is an option of the command line
    base: Annotated[Path, typer.Argument(help="a model's folder, or a safetensors file", show_default=False)],
    tuned: Annotated[Path, typer.Argument(help="another, or an adapter's folder", show_default=False)],
    *,
    tensors: Annotated[bool, typer.Option("--tensors", help="every tensor, not the most changed ones only")] = False,
    spectrum: Annotated[bool, typer.Option("--spectrum", help="also of how high a rank the changes are")] = False,
    against: Annotated[Path | None, typer.Option(help="a third checkpoint: did both move the same way?")] = None,
    figure: Annotated[Path | None, typer.Option(help="also a picture: svg, pdf or png")] = None,
    as_json: AsJson = False,
) -> None:
    """Relative weight change layer by layer between any two checkpoints, read one tensor at a time."""
    from rich.console import Console
    from rich.progress import Progress

    from sftlab.cli.printing import print_json, print_line
    from sftlab.measure.change_spectrum import change_spectra
    from sftlab.measure.checkpoint_diff import checkpoint_bytes, diff_checkpoints, other_base_of
    from sftlab.report.diff_picture import check_figure_name, draw_diff

    if figure is not None:
        check_figure_name(figure)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        total = sum(checkpoint_bytes(side) for side in (base, tuned) if side.exists())
        task = progress.add_task("reading", total=total)
        found = diff_checkpoints(base, tuned, on_tensor=lambda size: progress.advance(task, size))
    for side in filter(None, (tuned, against)):
        if (named := other_base_of(side, base)) is not None:
            typer.echo(f"warning: the adapter {side} says that its base is {named}, not {base}: is it so?", err=True)
    if figure is not None:
        draw_diff(found.layers, f"{tuned.name} against {base.name}", figure)
    spectra = None
    if spectrum or against is not None:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("singular values", total=checkpoint_bytes(base))
            spectra = change_spectra(base, tuned, against=against, on_tensor=lambda size: progress.advance(task, size))
    if as_json:
        values = {
            "layers": found.layers.to_dicts(),
            "tensors": found.tensors.to_dicts(),
            "compared_share": found.compared_share,
            "notes": list(found.notes),
        }
        print_json(values if spectra is None else {**values, "spectra": spectra.to_dicts()})
        return
    _print(found, all_tensors=tensors)
    if spectra is not None:
        _print_spectra(spectra, both=against is not None)
    if figure is not None:
        print_line(f"picture: {figure}")


def _print(found: "CheckpointDiff", *, all_tensors: bool) -> None:
    import polars as pl

    from sftlab.cli.printing import print_columns, print_line

    print_line("change: |W' - W| / |W|, W the base's weights and W' the tuned ones, in the Frobenius norm")
    print_line()
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
            (_whole(found.compared_share) if row["part"] == "all" else row["part"], _shown(row["relative_change"]))
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


def _whole(share: float) -> str:
    """What the last row is the change of: the whole model only where nearly all of it was compared."""
    if share == 1.0:
        return "whole model"
    covered = f"{100 * share:.3g} % of the base's numbers"
    return f"whole model ({covered})" if share >= NEARLY_WHOLE else f"what was compared ({covered})"


def _print_spectra(spectra: "pl.DataFrame", *, both: bool) -> None:
    """Means over the matrices of each part."""
    import polars as pl

    from sftlab.cli.printing import print_columns, print_line

    names = [
        "stable_rank",
        "energy_1",
        "energy_4",
        "energy_16",
        *(["agreement", "agreement_by_chance"] if both else []),
    ]
    means = spectra.group_by("part", maintain_order=True).agg(pl.len(), *(pl.col(name).mean() for name in names))
    rows = [(row["part"], row["len"], *(_shown(row[name]) for name in names)) for row in means.to_dicts()]
    print_line()
    print_columns(("change of matrices", "matrices", *(name.replace("_", " ") for name in names)), rows)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
