"""The README of an exported model: what it is made of, how it was trained, how it scored."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import polars as pl
import yaml

from sftlab.release.chosen import Chosen
from sftlab.release.four_bits import four_bit_lines
from sftlab.study.declaration import Study
from sftlab.study.methods import LowRank
from sftlab.study.run import RunSpec

TRAINED = {
    "examples": "examples learned from",
    "dropped": "examples left out",
    "truncated": "examples cut",
    "steps": "optimizer steps",
    "tokens": "tokens read",
    "loss_first": "loss of the first step (nats per token)",
    "loss_last": "loss of the last step (nats per token)",
}


def model_card(
    study: Study, chosen: Chosen, result: Mapping[str, object], scores: pl.DataFrame, *, adapter: bool
) -> str:
    """A model card in Markdown with the header that the hub reads.

    `result` is what the run's record says of its training, `scores` the rows of the table `scores` of this checkpoint;
    a number that is not known is left out.
    """
    spec, base = chosen.run.spec, chosen.base.base
    revision = f" (revision {base.revision})" if base.revision else ""
    kind = "A LoRA adapter for" if adapter else "A fine-tuned copy of"
    data = [f"- {line}" for line in _data_lines(study, spec)]
    recipe = [f"| {name} | {value} |" for name, value in _recipe_rows(chosen).items()]
    trained = [
        f"| {text} | {_number(result[name])} |" for name, text in TRAINED.items() if result.get(name) is not None
    ]
    return "\n".join(
        [
            _header(study, chosen, adapter=adapter),
            f"# {spec.run}",
            "",
            f"{kind} `{base.model}`{revision}, trained on {spec.dataset} in the study {study.study} with sftlab "
            f"{version('sftlab')}. Checkpoint `{chosen.label}`: epoch {chosen.epoch}.",
            "",
            "The chat template is the one of training; generation ends with the token that ended every answer there, "
            "and is greedy, as it was for the scores below.",
            *four_bit_lines(chosen),
            *_special_token_lines(base.special_tokens if adapter else ()),
            *("", "## Data", "", *data),
            *("", "## Recipe", "", "| | |", "|---|---|", *recipe),
            *(("", "## Training", "", "| | |", "|---|---|", *trained) if trained else ()),
            *("", "## Scores", "", *_score_lines(scores)),
            "",
        ]
    )


def _header(study: Study, chosen: Chosen, *, adapter: bool) -> str:
    base = chosen.base.base
    hub_data = sorted({ref.hub for part in chosen.run.spec.parts if (ref := study.datasets[part.dataset]).hub})
    facts: dict[str, object] = {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        **({} if Path(base.model).is_dir() else {"base_model": base.model}),
        **({"datasets": hub_data} if hub_data else {}),
        "tags": ["sftlab", "sft", *(["lora"] if isinstance(chosen.run.spec.method, LowRank) else [])],
    }
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---\n"


def _special_token_lines(tokens: tuple[str, ...]) -> list[str]:
    if not tokens:
        return []
    return [
        "",
        f"The embeddings of {', '.join(f'`{token}`' for token in tokens)} were trained. Before the adapter is loaded, "
        "the base needs a row for each token of this folder's tokenizer: "
        "`model.resize_token_embeddings(len(tokenizer))`, unless it has more.",
    ]


def _data_lines(study: Study, spec: RunSpec) -> list[str]:
    total = sum(part.weight for part in spec.parts)
    lines = []
    for part in spec.parts:
        ref = study.datasets[part.dataset]
        place = f"hub dataset `{ref.hub}`, {ref.split}" if ref.hub else f"`{(ref.path or '').rpartition('/')[2]}`"
        share = f", {part.weight / total:.0%} of the mixture" if len(spec.parts) > 1 else ""
        lines.append(f"{part.dataset}: {place}{share}")
    held_out = f"; held out: {spec.validation:g}" if spec.validation else ""
    return [*lines, f"{spec.samples} examples drawn with seed {spec.seeds.sample}{held_out}"]


def _recipe_rows(chosen: Chosen) -> dict[str, object]:
    spec = chosen.run.spec
    template = spec.template if isinstance(spec.template, str) else "custom"
    unit, length = spec.length
    method = spec.method.model_dump(exclude={"select", "learning_rate", "batch_size"}, exclude_none=True)
    return {
        "method": spec.method_name,
        **{name.replace("_", " "): _plain(value) for name, value in method.items()},
        "learning rate": f"{spec.learning_rate:g}",
        "batch size": spec.batch_size,
        "schedule": f"{spec.schedule}, {spec.warmup_steps} warm-up steps",
        unit: length,
        "precision": f"weights {spec.precision.weights}, compute {spec.precision.compute}",
        "seeds": f"sample {spec.seeds.sample}, order {spec.seeds.order}, init {spec.seeds.init}",
        "template": template,
        "loss on": spec.loss_on,
        "longest example": f"{spec.max_tokens} tokens, {spec.overflow} beyond",
        "identity": f"`{chosen.run.identity}`",
    }


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _score_lines(scores: pl.DataFrame) -> list[str]:
    known = scores.filter(pl.col("main") & pl.col("value").is_not_null())
    if known.is_empty():
        return ["None was taken."]
    head = ["| benchmark | metric | score | 95 % interval | gain over the base | 95 % interval | n |", "|---" * 7 + "|"]
    return head + [
        f"| {row['benchmark']} | {row['metric']} | {_number(row['value'])} | {_interval(row, 'ci')} | "
        f"{_number(row['gain'])} | {_interval(row, 'gain_ci')} | {row['n']} |"
        for row in known.sort("benchmark", "metric").iter_rows(named=True)
    ]


def _interval(row: Mapping[str, object], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "not known" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
