"""Recipes and models ranked by the reader's own goal and floors."""

from sftlab.report.blocks import Block, Leaderboard, Prose, Section
from sftlab.report.sections.material import Material
from sftlab.report.sections.models import has_models

NOTE = (
    "Ranked by mean gain on the goal among those that keep to every floor. Tied: cannot be told from the best after "
    "Holm's correction over all rivals. For new bases: paired t over base families (bases, where there is one family), "
    "taking the items as they are. For the bases tried: from items and seeds, unpaired, which errs on the side of a "
    "tie. \u2713 keeps a floor surely, ? by its estimate alone, \u2717 breaks it. The page's filters choose which "
    "models count."
)


def leaderboard(material: Material) -> Section:
    """Where the reader says what must rise and what must not fall."""
    nothing = Prose(("There is nothing to rank yet: no tuned model has been scored.",))
    board = Leaderboard("board", "What to train on, given what must not get worse", NOTE)
    blocks: tuple[Block, ...] = (board,) if has_models(material) else (nothing,)
    return Section("leaderboard", "Leaderboard", "What is best for a goal, without losing elsewhere?", blocks)
