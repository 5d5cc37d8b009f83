"""The parts of the page, in the order in which they are read: one file each, found here."""

from collections.abc import Callable

from sftlab.report.blocks import Section
from sftlab.report.sections.answer import answer
from sftlab.report.sections.audit import audit
from sftlab.report.sections.data import data
from sftlab.report.sections.gains import gains
from sftlab.report.sections.layers import layers
from sftlab.report.sections.leaderboard import leaderboard
from sftlab.report.sections.losses import losses
from sftlab.report.sections.map import map_of_models
from sftlab.report.sections.material import Material
from sftlab.report.sections.missing import missing
from sftlab.report.sections.reading import reading
from sftlab.report.sections.scores import scores
from sftlab.report.sections.synergy import synergy
from sftlab.report.sections.training import training

SECTIONS: tuple[Callable[[Material], Section], ...] = (
    answer,
    leaderboard,
    gains,
    synergy,
    data,
    layers,
    training,
    map_of_models,
    losses,
    audit,
    missing,
    scores,
    reading,
)
