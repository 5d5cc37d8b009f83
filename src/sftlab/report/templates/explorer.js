/* From a cell to its runs: recipe, losses, scores, and answers beside the base's. */
let modelData;
let sampleData;
const models = () => (modelData === undefined ? (modelData = payload("models")) : modelData);
const samples = () => (sampleData === undefined ? (sampleData = payload("samples")) : sampleData);
const dialog = document.getElementById("explorer");
const FACT_TITLES = { loss_first: "first loss", loss_last: "last loss", wall_seconds: "seconds of training" };
const factText = (value) => (typeof value === "number" ? (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)))) : String(value));

function openFromPlot(plot, event) {
  const meta = plot.figure.layout.meta ?? {};
  const point = event.points?.[0];
  if (!point || meta.x?.facet !== "dataset" || meta.y?.facet !== "base" || !models()) return;
  const kept = { x: keptPlaces(meta.x), y: keptPlaces(meta.y) };
  const named = (axis, now) => meta[axis].names[kept[axis] ? [...kept[axis].keys()][now] : now];
  const down = point.data.type === "bar" ? Math.round(point.data.base[point.pointNumber] + point.data.y[point.pointNumber] / 2) : point.y;
  const { benchmark, method } = facetsOf(plot.closest("figure"));
  exploreCell({ base: named("y", down), dataset: named("x", point.x), method }, benchmark);
}
function exploreCell(cell, benchmark) {
  const data = models();
  const found = Array.from({ length: data.count }, (_, model) => model).filter((model) =>
    Object.entries(cell).every(([facet, level]) => level === undefined || levelOf(data, facet, model) === level));
  if (found.length) explore(found[0], benchmark);
  else showDialog(make("p", { textContent: `No model of ${cell.base} trained on ${cell.dataset} has been scored; the section "What is missing" says why.` }));
}
function explore(model, benchmark) {
  const data = models();
  const select = (label, facet, wantedLevel, cell) => {
    const levels = [...new Set(siblings(data, cell).map((one) => levelOf(data, facet, one)))];
    const control = choice(label, levels);
    control.value = wantedLevel;
    return control;
  };
  const base = levelOf(data, "base", model);
  const dataset = levelOf(data, "dataset", model);
  const bases = select("Base", "base", base, {});
  const datasets = select("Dataset", "dataset", dataset, { base });
  const runs = select("Run", "run", levelOf(data, "run", model), { base, dataset });
  const goTo = (cell) => { const next = siblings(data, cell)[0] ?? siblings(data, { base: cell.base })[0]; explore(next, benchmark); };
  bases.addEventListener("change", () => goTo({ base: bases.value, dataset }));
  datasets.addEventListener("change", () => goTo({ base, dataset: datasets.value }));
  runs.addEventListener("change", () => goTo({ base, dataset, run: runs.value }));
  const picks = make("div", { className: "controls" }, labelled("Base", bases), labelled("trained on", datasets), labelled("run", runs));
  showDialog(picks, recipeOf(data, model), curveOf(data, model), scoresOf(data, model, benchmark), answersOf(data, model, benchmark));
}
const siblings = (data, cell) => Array.from({ length: data.count }, (_, model) => model).filter((model) =>
  Object.entries(cell).every(([facet, level]) => levelOf(data, facet, model) === level));

function showDialog(...content) {
  dialog.querySelector(".explorer-body").replaceChildren(...content.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  const plot = dialog.querySelector(".curve");
  if (plot) Plotly.react(plot, ...plot.drawing);
}
function recipeOf(data, model) {
  const facts = Object.entries(data.facts).map(([name, values]) => [name, values[model]]).filter(([, value]) => value !== null);
  const family = levelOf(data, "family", model);
  const entries = [["recipe", levelOf(data, "recipe", model)], ["family", family], ["method", levelOf(data, "method", model)], ...facts].filter(([, value]) => value !== null);
  return make("dl", { className: "facts" }, ...entries.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: FACT_TITLES[name] ?? name.replaceAll("_", " ") }), make("dd", { textContent: factText(value) }))));
}
function curveOf(data, model) {
  const curve = data.curves[levelOf(data, "run", model)];
  if (!curve) return make("p", { className: "note", textContent: "No training loss was recorded for this run." });
  const plot = make("div", { className: "curve", role: "img", ariaLabel: `Training loss from ${shownNumber(curve[1][0])} to ${shownNumber(curve[1].at(-1))}` });
  const line = { type: "scatter", mode: "lines", x: curve[0], y: curve[1], line: { color: "#56a3d9" } };
  const axes = { xaxis: { title: { text: "optimizer step" } }, yaxis: { title: { text: "training loss (nats per token)" } } };
  const { data: traces, layout } = themed({ data: [line], layout: { height: 220, margin: { l: 10, r: 16, t: 10, b: 40 }, ...axes } }, true);
  plot.drawing = [traces, layout, { displayModeBar: false, responsive: true }];
  return make("section", { className: "part" }, make("h3", { textContent: "Training loss" }), plot);
}
function scoresOf(data, model, benchmark) {
  const rows = data.outcomes.map((outcome, place) => ({ outcome, place })).filter(({ place }) => data.value[place][model] !== null)
    .sort((left, right) => (right.outcome.benchmark === benchmark) - (left.outcome.benchmark === benchmark));
  const cells = ({ outcome, place }) => {
    const [gain, se] = [data.gain[place][model], data.gain_se[place][model]];
    const half = se > 0 && outcome.items > 1 ? se * tQuantile(outcome.items - 1) : null;
    return [outcomeName(outcome), shownNumber(data.value[place][model]), gain === null ? NOTHING : withInterval({ value: gain, se, df: outcome.items - 1 }, "").replace(" (no interval is known)", "").replace("  ", " "), outcome.unit, half === null ? NOTHING : String(outcome.items)];
  };
  return plainTable("Scores of this model", ["Benchmark", "Score", "Gain over the base [95 %]", "Unit", "Items at least"], rows.map(cells));
}
function plainTable(title, heads, rows) {
  const table = make("table", {}, make("caption", { className: "skip", textContent: title }),
    make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", { textContent: text, className: text.length > 30 ? "wrap" : "" }))))));
  return make("section", { className: "part" }, make("h3", { textContent: title }), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title }, table));
}
function answersOf(data, model, benchmark) {
  const held = samples();
  if (!held) return make("p", { className: "note", textContent: "These results have no items, so there are no answers to show." });
  const run = levelOf(data, "run", model);
  const { rows } = held;
  const readOf = ({ levels, codes }, row) => (codes[row] < 0 ? null : levels[codes[row]]);
  const read = (column, row) => readOf(rows[column], row);
  const own = rows.run.codes.map((_, row) => row).filter((row) => read("run", row) === run);
  const names = [...new Set(own.map((row) => read("benchmark", row)))];
  if (names.length === 0) return make("p", { className: "note", textContent: "No item of this run was answered by its base as well." });
  const shown = names.includes(benchmark) ? benchmark : names[0];
  const select = choice("Benchmark of the answers", names);
  select.value = shown;
  select.addEventListener("change", () => explore(model, select.value));
  const { tallies } = held;
  const tally = tallies.run.codes.findIndex((_, row) => readOf(tallies.run, row) === run && readOf(tallies.benchmark, row) === shown);
  const written = (answer, part, parsed) => (answer === null ? "(only its likelihood was asked)" : answer === "" ? "(empty)" : answer)
    + (parsed === false ? "\n\u2192 could not be read" : part === null ? "" : `\n\u2192 read as: ${part}`);
  const side = (row, of) => [written(read(`${of}answer`, row), read(`${of}read`, row), rows[`${of}parsed`][row]), shownNumber(rows[`${of}score`][row])];
  const asked = own.some((row) => read("prompt", row) !== null);
  const question = (row) => (asked ? [read("prompt", row) ?? NOTHING, read("gold", row) ?? NOTHING] : []);
  const table = plainTable("Answers beside the base's", ["Item", ...(asked ? ["Prompt (its end)", "Right answer"] : []), "Base answered", "Score", "Tuned answered", "Score"],
    own.filter((row) => read("benchmark", row) === shown).map((row) => [String(read("item", row)), ...question(row), ...side(row, "base_"), ...side(row, "")]));
  table.querySelector("h3").after(labelled("Benchmark", select), make("p", { className: "note", textContent:
    `Of ${tallies.both[tally].toLocaleString("en")} items that both answered, ${tallies.higher[tally]} scored better and ${tallies.lower[tally]} worse. Here are those that changed most, at most ${held.most} of each run and benchmark, texts cut at ${held.characters} characters; the tables items and questions have them all.` }));
  return table;
}
