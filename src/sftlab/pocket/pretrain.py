"""Train the pocket bases: `python -m sftlab.pocket.pretrain --out DIR`, the same on every run of one machine.

Every base is one architecture trained on one mixture by plain AdamW with a cosine schedule, in float32 on one thread of
a CPU. The documents are packed one after another into rows of the context length; none of them sees another, and
nothing is read twice. The weights are rounded to float16 on disk, and the configuration asks for float32, in which they
are meant to be used.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from sftlab.errors import SftlabError
from sftlab.pocket.catalogue import POCKET_BASES
from sftlab.pocket.quality import write_readme
from sftlab.pocket.training import Recipe, make_base
from sftlab.pocket.world import World


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the bases named, or all of them, and write the README with what was measured of them."""
    import torch

    names = list(POCKET_BASES)
    parser = argparse.ArgumentParser(prog="python -m sftlab.pocket.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets one folder for each base")
    parser.add_argument("--base", choices=names, action="append", help="only this base; may be given again")
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="optimizer steps of each base")
    parser.add_argument("--readme-only", action="store_true", help="measure the bases that are there; train nothing")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    world, recipe = World(), Recipe(steps=chosen.steps)
    if not chosen.readme_only:
        for name in chosen.base or names:
            make_base(POCKET_BASES[name], chosen.out, world=world, recipe=recipe)
    if all((chosen.out / name / "model.safetensors").is_file() for name in names):
        write_readme(chosen.out, world=world, recipe=recipe)


if __name__ == "__main__":
    try:
        main()
    except SftlabError as error:
        raise SystemExit(str(error)) from error
