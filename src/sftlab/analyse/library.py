"""The analyses as functions on data frames: what a notebook imports, without a study, a store or a model.

Start with the table `scores` (`sftlab.open(study).scores()`, or `sftlab.from_scores(frame).scores()` of one's own
numbers) and, where there are any, `items`. `gain_sets` makes of them what most functions take; those that look at one
gain array take what `gain_array` makes. Every frame's columns are those of `SCHEMAS`, explained in `Analysis`; what a
design cannot give is null. `docs/library.md` shows each on a made table.
"""

from sftlab.analyse.agreement import Agreement, MantelTest, agreements, mantel, mean_agreement
from sftlab.analyse.analysis import Analysis
from sftlab.analyse.answers import analysis_of_tables, answer_lines
from sftlab.analyse.audit.auditing import audit, without_excluded
from sftlab.analyse.comparing.grid import sibling_grid, sibling_standings
from sftlab.analyse.comparing.models import Model, model_named, models
from sftlab.analyse.comparing.pairs import paired_scores
from sftlab.analyse.comparing.side_by_side import answers_side_by_side
from sftlab.analyse.components import Components, components
from sftlab.analyse.consistency import consistency_frame
from sftlab.analyse.dimensions import dimension_frames
from sftlab.analyse.epochs import epoch_gains_frame
from sftlab.analyse.frames import SCHEMAS
from sftlab.analyse.gain_array import GainArray, gain_array
from sftlab.analyse.gain_sets import GainSet, Influence, gain_sets
from sftlab.analyse.grouping import GroupShare, group_share
from sftlab.analyse.intervals import (
    Estimate,
    clustered_mean,
    correlation,
    mean,
    paired_proportion,
    proportion,
    ratio,
    two_way_mean,
)
from sftlab.analyse.item_tables import influences_of_items
from sftlab.analyse.layers import layer_change_frame, layer_correlations_frame, profiles
from sftlab.analyse.length_controlled import length_controlled_win_rate
from sftlab.analyse.maps import Maps, maps
from sftlab.analyse.model_map import ModelMap, Tsne, principal_components, tsne
from sftlab.analyse.model_vectors import ModelVectors, model_vectors
from sftlab.analyse.multiplicity import benjamini_hochberg, holm, holm_within_families
from sftlab.analyse.partial import partial_correlation, partial_correlations_frame, strongest_property_frame
from sftlab.analyse.planned_power import Design, Spread, smallest_choice, smallest_difference, typical_spread
from sftlab.analyse.power import power_frame, smallest_correlation, smallest_effect
from sftlab.analyse.properties import properties_frame, property_points
from sftlab.analyse.ranking import comparisons_frame, gains_frame, metrics_frame, ranking_frame
from sftlab.analyse.spectra import stable_rank_by_depth
from sftlab.analyse.synergy import Synergy, synergy
from sftlab.analyse.training import seed_noise_frame, training_frames
from sftlab.analyse.transfer import transfer_frame
from sftlab.analyse.variance_shares import VarianceShare, variance_shares

__all__ = [
    "SCHEMAS",
    "Agreement",
    "Analysis",
    "Components",
    "Design",
    "Estimate",
    "GainArray",
    "GainSet",
    "GroupShare",
    "Influence",
    "MantelTest",
    "Maps",
    "Model",
    "ModelMap",
    "ModelVectors",
    "Spread",
    "Synergy",
    "Tsne",
    "VarianceShare",
    "agreements",
    "analysis_of_tables",
    "answer_lines",
    "answers_side_by_side",
    "audit",
    "benjamini_hochberg",
    "clustered_mean",
    "comparisons_frame",
    "components",
    "consistency_frame",
    "correlation",
    "dimension_frames",
    "epoch_gains_frame",
    "gain_array",
    "gain_sets",
    "gains_frame",
    "group_share",
    "holm",
    "holm_within_families",
    "influences_of_items",
    "layer_change_frame",
    "layer_correlations_frame",
    "length_controlled_win_rate",
    "mantel",
    "maps",
    "mean",
    "mean_agreement",
    "metrics_frame",
    "model_named",
    "model_vectors",
    "models",
    "paired_proportion",
    "paired_scores",
    "partial_correlation",
    "partial_correlations_frame",
    "power_frame",
    "principal_components",
    "profiles",
    "properties_frame",
    "property_points",
    "proportion",
    "ranking_frame",
    "ratio",
    "seed_noise_frame",
    "sibling_grid",
    "sibling_standings",
    "smallest_choice",
    "smallest_correlation",
    "smallest_difference",
    "smallest_effect",
    "stable_rank_by_depth",
    "strongest_property_frame",
    "synergy",
    "training_frames",
    "transfer_frame",
    "tsne",
    "two_way_mean",
    "typical_spread",
    "variance_shares",
    "without_excluded",
]
