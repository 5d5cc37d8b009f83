"""Everything that an analysis of a study found: what the command line prints and the report draws."""

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property

import polars as pl

from sftlab.analyse.audit.finding import AuditFinding
from sftlab.analyse.effects import SECTIONS, Finding, Section, told
from sftlab.analyse.frames import SCHEMAS, TSNE, framed
from sftlab.analyse.model_map import ModelMap, Tsne, tsne
from sftlab.errors import DataError
from sftlab.study.spelling import nearest


@dataclass(frozen=True)
class Analysis:
    """The answers of a study, as frames with the columns of `SCHEMAS` and as sentences.

    Gains are tuned minus base, oriented so that positive is better, at the last scored epoch of each run and of
    chosen runs only. Columns that recur: `benchmark`, `scorer`, `metric` with `main` (the metric the answer is given
    in) and `unit`; `se`, `ci_low`, `ci_high` (95 %) and `n`, the number of independent units; `p` and `p_adjusted`
    with `verdict` (`higher`, `lower`, `cannot tell` or `too small to tell`). Unknown values are null.

    - metrics: what each benchmark is scored in; `scored` counts its checkpoints.
    - gains: one row per base x dataset x method (`all` is their mean) x metric; `n` counts runs; interval from paired
      items and seeds, of that base; cells without a gain have a `status` other than done and a `reason`.
    - ranking: datasets by mean gain, best first; `population` is `bases like these` (interval over base families, `n`
      of them) or `these bases` (interval over paired items and seeds, `n` items that at least one base has;
      `fewest_items` is how many the base with the fewest has). Over the recipes that all datasets were tried with;
      `rank` is null where there is none. Of datasets not tried on the same bases it goes by matched differences.
    - comparisons: every pair of datasets, the better one first: how much more it helped where both were tried alike.
      `smallest_effect`, here and elsewhere, is what a design with this uncertainty would have found in 4 of 5 studies
      after correction, were it the only effect.
    - power: that for every kind of question, of several the median; `questions` are asked together, `n` as there.
    - properties: correlation of a data property with gain over family x dataset cells; `scope` is `within` (centred by
      family) or `across`; `kind` is pearson or spearman; `n` is the number of clusters the interval counts.
    - property_points: the base x dataset cells behind them.
    - partial_correlations: the same, of what is left once base score and length (`given`) are accounted for.
    - strongest_property: properties by their correlation within families, and how far each is `behind` the strongest;
      `in_set`: it may be the strongest, with 95 % confidence; `led`: how often it is, with a dataset left out.
    - layer_change: mean relative weight change by depth (0 first layer, 1 last) per method; parts without a depth
      (embedding, head, norm outside layers, and `all` of the model) have a null depth. `near_peak`: cannot be told
      from the largest.
    - layer_correlations: correlation of that change with gain over family x dataset cells, centred by family.
      `near_peak`: it may be the largest in size, with 95 % confidence.
    - training: level minus other of a factor (of `FACTORS`, such as method or samples), all else equal. Here and in
      `layer_change`, mixtures of datasets that were tried alone do not count: they are no datasets of their own.
    - training_points: the base x dataset cells behind them.
    - seed_noise: standard deviation of gain between seeds of the same cell, with its degrees of freedom.
    - agreement: correlations between the levels of a factor (base, dataset, benchmark) over the other two; `raw`, and
      `correlation` after double centring; `ceiling` and `disattenuated` where item noise is known; `p` by permutation.
    - mean_agreement: their mean over all pairs of levels.
    - components, loadings: principal components of gains on all benchmarks, beside a null without anything shared.
    - variance_shares: what gains depend on, of a complete array of main-metric gains.
    - audit: what is wrong with the numbers; scores that it excludes are in no answer.
    - consistency: for every dataset and benchmark, whether the gain holds over families (`holds`).
    - epoch_gains: gain after every epoch of runs that were scored after each, of one `dataset` or (null) the mean over
      them; where it is largest (`peak`), and what came from there `to_end`, which the test is of.
    - transfer: correlation of gains between languages' versions of a benchmark.
    - dimension_by_depth: intrinsic dimension of hidden states of bases (dataset `none`) and after each dataset and
      method, with its `change` from the base; `points` counts texts. dimension_change: the mean change by depth.
    - map_points: every model as a point, of `log-likelihoods` of fixed texts or of `scores` (`source`): first two
      principal components of the `models` or of their `changes` from the base (`view`); `map_components` their shares
      of the variance; `map_tsne` lays the same models out by t-SNE.
    - map_groups: share of a map's variance that lies between bases, datasets or methods, beside its mean and 97.5 %
      quantile with labels permuted (`null_share`, `null_high`); of cell means after training.
    - map_movement: distance from the base after each epoch (root mean square: nats a text, or standard deviations of
      changes in scores), and as a `share` of that at the end.
    """

    study: str
    findings: tuple[Finding, ...]
    metrics: pl.DataFrame
    gains: pl.DataFrame
    ranking: pl.DataFrame
    comparisons: pl.DataFrame
    properties: pl.DataFrame
    property_points: pl.DataFrame
    layer_change: pl.DataFrame
    layer_correlations: pl.DataFrame
    training: pl.DataFrame
    training_points: pl.DataFrame
    seed_noise: pl.DataFrame
    agreement: pl.DataFrame
    mean_agreement: pl.DataFrame
    components: pl.DataFrame
    loadings: pl.DataFrame
    variance_shares: pl.DataFrame
    consistency: pl.DataFrame
    partial_correlations: pl.DataFrame = field(default_factory=lambda: framed("partial_correlations", []))
    strongest_property: pl.DataFrame = field(default_factory=lambda: framed("strongest_property", []))
    power: pl.DataFrame = field(default_factory=lambda: framed("power", []))
    epoch_gains: pl.DataFrame = field(default_factory=lambda: framed("epoch_gains", []))
    transfer: pl.DataFrame = field(default_factory=lambda: framed("transfer", []))
    dimension_by_depth: pl.DataFrame = field(default_factory=lambda: framed("dimension_by_depth", []))
    dimension_change: pl.DataFrame = field(default_factory=lambda: framed("dimension_change", []))
    map_points: pl.DataFrame = field(default_factory=lambda: framed("map_points", []))
    map_components: pl.DataFrame = field(default_factory=lambda: framed("map_components", []))
    map_groups: pl.DataFrame = field(default_factory=lambda: framed("map_groups", []))
    map_movement: pl.DataFrame = field(default_factory=lambda: framed("map_movement", []))
    audit: tuple[AuditFinding, ...] = ()
    maps: tuple[ModelMap, ...] = ()

    def __post_init__(self) -> None:
        for name, schema in SCHEMAS.items():
            got = getattr(self, name).schema
            assert dict(got) == dict(schema), f"{name}: {got}"

    def sentences(
        self, section: Section | None = None, *, benchmark: str | None = None, subject: str | None = None
    ) -> tuple[str, ...]:
        """The sentences, in reading order, of a section, a benchmark or a subject; of all where none is named.

        What qualifies several of them is said once, behind them (see `effects.told`). Raises DataError for a section
        that there is not.
        """
        if section is not None and section not in SECTIONS:
            raise DataError(f"there is no section {section!r} of sentences{nearest(section, SECTIONS)}")
        wanted = [
            finding
            for finding in self.findings
            if (section is None or finding.section == section)
            and (benchmark is None or finding.benchmark == benchmark)
            and (subject is None or finding.subject == subject)
        ]
        return tuple(told(wanted))

    @cached_property
    def tsne(self) -> tuple[Tsne | None, ...]:
        """A t-SNE layout of each of `maps`, made when it is asked for; None of too few or too many models."""
        return tuple(tsne(one) for one in self.maps)

    @cached_property
    def map_tsne(self) -> pl.DataFrame:
        """The layouts as a frame: source, view, checkpoint, run, base, epoch, x, y, and how far to trust each."""
        rows = [
            {
                "source": one.source,
                "view": one.view,
                **point,
                "x": float(at[0]),
                "y": float(at[1]),
                "perplexity": layout.perplexity,
                "neighbours_kept": layout.neighbours_kept,
                "stability": layout.stability,
            }
            for one, layout in zip(self.maps, self.tsne, strict=True)
            if layout is not None
            for point, at in zip(
                layout.models.select("checkpoint", "run", "base", "epoch").iter_rows(named=True),
                layout.place,
                strict=True,
            )
        ]
        return pl.DataFrame(rows, schema=dict(TSNE))

    def to_json(self) -> dict[str, object]:
        """Plain values: sentences by section, findings with their effects, and every frame as a list of rows."""
        frames = {one.name: getattr(self, one.name) for one in fields(self) if one.name in SCHEMAS}
        return {
            "study": self.study,
            "sentences": {section: list(self.sentences(section)) for section in SECTIONS},
            "findings": [asdict(finding) for finding in self.findings],
            "audit": [finding.to_json() for finding in self.audit],
            **{name: frame.to_dicts() for name, frame in frames.items()},
            "map_tsne": self.map_tsne.to_dicts(),
        }
