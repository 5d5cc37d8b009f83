/* Recipes or models ranked by a goal among those that keep to the reader's floors; ties by Holm's correction. */
const LEVEL = 0.05;
const outcomeName = (outcome) => `${outcome.benchmark} (${outcome.metric}, ${outcome.scorer})`;
const levelOf = (models, name, model) => { const { levels, codes } = models.columns[name]; return codes[model] < 0 ? null : levels[codes[model]]; };
const passingModels = (models) => Array.from({ length: models.count }, (_, model) => model).filter((model) =>
  ["base", "dataset", "method"].every((facet) => allowed(facet, levelOf(models, facet, model))));

/* Gain of one entry in one outcome by unit: seeds are averaged in bases, and bases in families where there are several. */
function gainsByUnit(models, outcome, members, unitOf) {
  const bases = new Map();
  for (const model of members) {
    const gain = models.gain[outcome][model];
    if (gain === null) continue;
    const base = models.columns.base.codes[model];
    if (!bases.has(base)) bases.set(base, []);
    bases.get(base).push([gain, models.gain_se[outcome][model]]);
  }
  const units = new Map();
  for (const [base, pairs] of bases) {
    const value = meanOf(pairs.map(([gain]) => gain));
    const errors = pairs.map(([, se]) => se).filter((se) => se !== null);
    const se = errors.length === pairs.length ? Math.sqrt(meanOf(errors.map((one) => one * one))) : null;
    const seeds = (models.outcomes[outcome].seed?.[0] ?? 0) / pairs.length;
    const unit = unitOf(base);
    if (!units.has(unit)) units.set(unit, []);
    units.get(unit).push({ value, se, own: se === null ? 0 : se * se, seeds });
  }
  return { bases: new Set(bases.keys()), units: new Map([...units].map(([unit, found]) => [unit, ofBases(found)])) };
}
/* Errors of items are partly shared by bases, which were asked the same ones; those of seeds are each base's own. */
function ofBases(found) {
  return { value: meanOf(found.map((one) => one.value)), se: found.every((one) => one.se !== null) ? meanOf(found.map((one) => one.se)) : null,
    own: meanOf(found.map((one) => one.own)) / found.length, seeds: meanOf(found.map((one) => one.seeds)) / found.length };
}
/* Unpaired items err on the side of a tie: scores of two models on the same items go up and down together. */
function difference(best, rival, df, these) {
  const shared = [...best.units.keys()].filter((unit) => rival.units.has(unit));
  if (shared.length === 0) return { value: 0, se: null, df: 0, n: 0 };
  return estimated(shared.map((unit) => {
    const [one, other] = [best.units.get(unit), rival.units.get(unit)];
    return { value: one.value - other.value, se: one.se === null || other.se === null ? null : Math.hypot(one.se, other.se), own: one.own + other.own, seeds: one.seeds + other.seeds };
  }), df, these);
}
function scoredModel(models, outcome, model) {
  const [value, se] = [models.value[outcome][model], models.value_se[outcome][model]];
  return value === null ? { bases: new Set(), units: new Map() } : { bases: new Set([0]), units: new Map([[0, { value: value * models.outcomes[outcome].better, se, own: se * se, seeds: 0 }]]) };
}
function entriesOf(models, kind) {
  const groups = new Map();
  for (const model of passingModels(models)) {
    const key = kind === "recipes" ? models.columns.recipe.codes[model] : model;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(model);
  }
  return [...groups].map(([key, members]) => ({ members,
    name: kind === "recipes" ? models.columns.recipe.levels[key] : `${levelOf(models, "base", key)} \u00b7 ${models.columns.recipe.levels[models.columns.recipe.codes[key]]}${seedOf(models, key)}` }));
}
const seedOf = (models, model) => (models.facts.seed && new Set(models.facts.seed).size > 1 ? ` \u00b7 seed ${models.facts.seed[model]}` : "");

function ranked(models, settings) {
  const { goal, floors, kind, sure, these } = settings;
  const passing = passingModels(models);
  const families = new Set(passing.map((model) => models.columns.family.codes[model]));
  const familyOf = new Map(passing.map((model) => [models.columns.base.codes[model], models.columns.family.codes[model]]));
  const unitOf = (base) => (families.size > 1 ? familyOf.get(base) : base);
  const dfOf = (outcome) => ({ items: (models.outcomes[outcome].items ?? 1) - 1, seeds: models.outcomes[outcome].seed?.[1] ?? 0, shared: models.outcomes[outcome].shared ?? 1 });
  const entries = entriesOf(models, kind).map((entry) => {
    const gained = (outcome) => gainsByUnit(models, outcome, entry.members, unitOf);
    const parts = kind === "models" ? scoredModel(models, goal, entry.members[0]) : gained(goal);
    const held = floors.map((floor) => {
      const { units } = gained(floor.outcome);
      if (units.size === 0) return { state: "unknown" };
      const gain = estimated([...units.values()], dfOf(floor.outcome), these);
      const half = halfWidth(gain);
      if (gain.value < -floor.most) return { state: "broken", gain, half };
      return { state: half !== null && gain.value - half >= -floor.most ? "surely" : "kept", gain, half };
    });
    const keeps = held.every((one) => one.state === "surely" || (!sure && one.state === "kept"));
    const meanGain = (outcome) => { const { units } = gained(outcome); return units.size ? meanOf([...units.values()].map((one) => one.value)) : null; };
    return { ...entry, parts, held, keeps, meanGain, estimate: parts.units.size ? estimated([...parts.units.values()], dfOf(goal), these) : null };
  });
  const known = entries.filter((entry) => entry.estimate);
  const widest = known.reduce((most, entry) => (entry.parts.bases.size > most.size ? entry.parts.bases : most), new Set());
  for (const entry of known) entry.comparable = [...widest].every((base) => entry.parts.bases.has(base));
  const field = known.filter((entry) => entry.keeps && entry.comparable).sort((left, right) => right.estimate.value - left.estimate.value);
  const [best, ...rivals] = field;
  const adjusted = holm(rivals.map((rival) => pValue(difference(best.parts, rival.parts, dfOf(goal), these))));
  field.forEach((entry, place) => { entry.rank = place + 1; entry.state = place === 0 ? "best" : adjusted[place - 1] <= LEVEL ? "behind" : "tied"; });
  const others = entries.filter((entry) => !field.includes(entry)).sort((left, right) => (right.estimate?.value ?? -Infinity) - (left.estimate?.value ?? -Infinity));
  for (const entry of others) entry.state = !entry.estimate ? "unscored" : entry.keeps ? "elsewhere" : entry.held.some((one) => one.state === "broken") ? "broken" : "unsure";
  return { field, others, numBases: widest.size, unit: families.size > 1 ? "family" : "base", noise: best?.estimate.se !== null };
}
const floorText = (models, floor) => `${models.outcomes[floor.outcome].benchmark} not down by more than ${floor.most}`;
/* Scores in which less is better are ranked by their negative, and shown as they are. */
function withInterval(estimate, unit, better = 0) {
  const show = better ? (value) => rounded(value * better) : signed;
  const half = halfWidth(estimate);
  if (half === null) return `${show(estimate.value)} ${unit} (no interval is known)`;
  const ends = [show(estimate.value - half), show(estimate.value + half)];
  return `${show(estimate.value)} ${unit} [${(better < 0 ? ends.reverse() : ends).join(", ")}]`;
}
function answerOf(models, settings, found) {
  const { goal, floors, kind } = settings;
  const outcome = models.outcomes[goal];
  const noun = kind === "recipes" ? "recipe" : "model";
  const kept = floors.length ? `keeping ${listed(floors.map((floor) => floorText(models, floor)))}` : "without any floor";
  if (found.field.length === 0) {
    const broken = found.others.filter((entry) => entry.state === "broken").length;
    return `No ${noun} reaches the goal, ${kept}: ${broken} of ${counted(found.others.length, noun)} break a floor.`;
  }
  const [best, ...rivals] = found.field;
  const tied = rivals.filter((entry) => entry.state === "tied");
  const verb = kind === "recipes" ? "gains most" : "scores best";
  const half = halfWidth(best.estimate);
  const helps = kind === "models" ? "" : half === null ? "; whether it helps at all cannot be told" : best.estimate.value - half > 0 ? "" : "; whether it helps at all cannot be told, as its interval holds 0";
  const over = kind === "models" ? "" : settings.these ? ` for the ${counted(found.numBases, "base")} tried` : ` for new bases like these (n = ${best.estimate.n} ${best.estimate.n === 1 ? found.unit : found.unit === "family" ? "families" : "bases"})`;
  const ties = rivals.length === 0 ? `It is the only ${noun} left.`
    : tied.length === 0 ? `It is surely ahead of the other ${rivals.length}.`
    : tied.length === rivals.length ? `None of the other ${rivals.length} can be told from it${half === null ? ", for there are no intervals" : ""}.`
    : `${counted(tied.length, "other")} cannot be told from it: ${listed(tied.map((entry) => entry.name), 4)}.`;
  return `For ${outcome.benchmark}, ${kept}: ${best.name} ${verb}, ${withInterval(best.estimate, outcome.unit, kind === "models" ? outcome.better : 0)}${over}${helps}. ${ties}`;
}
