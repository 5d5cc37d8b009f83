const STATES = { best: "best", tied: "tied with the best", behind: "behind", broken: "breaks a floor", unsure: "floor not sure",
  elsewhere: "other bases", unscored: "no score" };
const BOARD_ROWS = 20;
const BOARD_OUTCOMES = 12;

function mountBoard(mount, models) {
  const main = models.outcomes.map((outcome, place) => place).filter((place) => models.outcomes[place].main);
  const state = { goal: main[0] ?? 0, floors: [], kind: "recipes", sure: false, page: 0,
    these: models.gain_se.some((errors) => errors.some((error) => error !== null)) };
  const names = models.outcomes.map(outcomeName);
  const places = names.map((_, place) => String(place));
  const kind = choice("What is ranked", ["recipes", "models"]);
  const goal = choice("Goal", names, places);
  const population = choice("For which bases", ["the bases tried", "new bases like these"]);
  population.selectedIndex = state.these ? 0 : 1;
  goal.value = String(state.goal);
  const sure = make("input", { type: "checkbox" });
  const floors = make("div", { className: "floors" });
  const add = make("button", { type: "button", textContent: "Add a floor" });
  const answer = make("p", { className: "board-answer", role: "status" });
  const head = make("thead");
  const body = make("tbody");
  const back = make("button", { type: "button", textContent: "Previous" });
  const onward = make("button", { type: "button", textContent: "Next" });
  const tally = make("span", { className: "note" });
  const pager = make("div", { className: "controls pager" }, back, onward, tally);
  const save = make("button", { type: "button", textContent: "Download as csv" });
  let found = null;

  const cell = (text, className = "", title = "") => make("td", { className, textContent: text, title });
  const shownOutcomes = () => main.filter((place) => place !== state.goal && allowed("benchmark", models.outcomes[place].benchmark)
    && allowed("scorer", models.outcomes[place].scorer) && !state.floors.some((floor) => floor.outcome === place)).slice(0, BOARD_OUTCOMES);
  const isModels = () => state.kind === "models";
  const goalText = (entry) => (entry.estimate ? withInterval(entry.estimate, "", isModels() ? models.outcomes[state.goal].better : 0).replace(" (no interval is known)", "").replace("  ", " ") : NOTHING);
  const heldText = (held) => (held.state === "unknown" ? NOTHING : `${held.state === "broken" ? "\u2717" : held.state === "surely" ? "\u2713" : "?"} ${signed(held.gain.value)}`);
  const entryRow = (entry, others) => {
    const open = make("button", { type: "button", className: "link", textContent: entry.name, title: "Recipe, losses and answers" });
    open.addEventListener("click", () => explore(entry.members[0], models.outcomes[state.goal].benchmark));
    return make("tr", { className: entry.state }, cell(entry.rank ? String(entry.rank) : NOTHING, "right"), make("th", { scope: "row" }, open),
      cell(STATES[entry.state]), cell(goalText(entry), "right"), ...entry.held.map((held) => cell(heldText(held), "right", held.state)),
      cell(String(entry.members.length), "right"), ...others.map((place) => cell(signed(entry.meanGain(place)), "right")));
  };
  const headings = (others) => {
    const outcome = models.outcomes[state.goal];
    return ["Rank", isModels() ? "Model" : "Recipe", "Standing", `${isModels() ? "Score" : "Gain"} on ${outcome.benchmark} (${outcome.unit})`,
      ...state.floors.map((floor) => `${models.outcomes[floor.outcome].benchmark}, floor \u2212${floor.most}`), "Models", ...others.map((place) => `Gain on ${models.outcomes[place].benchmark}`)];
  };
  const settle = () => { found = ranked(models, state); state.page = 0; show(); };
  function show() {
    const rows = [...found.field, ...found.others];
    const others = shownOutcomes();
    answer.textContent = answerOf(models, state, found);
    head.replaceChildren(make("tr", {}, ...headings(others).map((text) => make("th", { scope: "col", textContent: text }))));
    const first = state.page * BOARD_ROWS;
    body.replaceChildren(...rows.slice(first, first + BOARD_ROWS).map((entry) => entryRow(entry, others)));
    const compared = isModels() ? "" : ` Ranked are those tried on the same ${counted(found.numBases, "base")}.`;
    tally.textContent = `${rows.length ? `${first + 1}\u2013${Math.min(rows.length, first + BOARD_ROWS)} of ` : ""}${counted(rows.length, isModels() ? "model" : "recipe")}.${compared}`;
    pager.classList.toggle("single", rows.length <= BOARD_ROWS);
    back.disabled = state.page === 0;
    onward.disabled = first + BOARD_ROWS >= rows.length;
  }
  function drawFloors() {
    floors.replaceChildren(...state.floors.map((floor, place) => {
      const outcome = choice("Benchmark of the floor", names, places);
      outcome.value = String(floor.outcome);
      const most = make("input", { type: "number", step: "any", min: "0", value: String(floor.most), ariaLabel: "May be down by at most" });
      const drop = make("button", { type: "button", textContent: "Remove", ariaLabel: `Remove the floor on ${models.outcomes[floor.outcome].benchmark}` });
      outcome.addEventListener("change", () => { floor.outcome = Number(outcome.value); drawFloors(); settle(); });
      most.addEventListener("input", () => { floor.most = Math.max(0, Number(most.value) || 0); settle(); });
      drop.addEventListener("click", () => { state.floors.splice(place, 1); drawFloors(); settle(); add.focus(); });
      return make("div", { className: "controls floor" }, outcome, labelled("not down by more than", most), make("span", { className: "note", textContent: models.outcomes[floor.outcome].unit }), drop);
    }));
  }
  add.addEventListener("click", () => {
    const free = main.find((place) => place !== state.goal && !state.floors.some((floor) => floor.outcome === place)) ?? state.goal;
    state.floors.push({ outcome: free, most: models.outcomes[free].unit.startsWith("points") ? 1 : 0 });
    drawFloors();
    settle();
    floors.lastElementChild.querySelector("select").focus();
  });
  kind.addEventListener("change", () => { state.kind = kind.value; settle(); });
  goal.addEventListener("change", () => { state.goal = Number(goal.value); settle(); });
  population.addEventListener("change", () => { state.these = population.selectedIndex === 0; settle(); });
  sure.addEventListener("change", () => { state.sure = sure.checked; settle(); });
  back.addEventListener("click", () => { state.page -= 1; show(); });
  onward.addEventListener("click", () => { state.page += 1; show(); });
  save.addEventListener("click", () => {
    const others = shownOutcomes();
    const lines = [...found.field, ...found.others].map((entry) => [entry.rank ?? null, entry.name, STATES[entry.state], entry.estimate ? entry.estimate.value : null,
      ...entry.held.map((held) => (held.gain ? held.gain.value : null)), entry.members.length, ...others.map((place) => entry.meanGain(place))]);
    download("leaderboard.csv", [headings(others), ...lines].map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n");
  });
  onFilter(() => whenInSight(mount, settle));
  const settings = make("div", { className: "controls" }, labelled("Rank", kind), labelled("by", goal), labelled("for", population), add, labelled("floors must hold surely", sure), make("span", { className: "spacer" }), save);
  const caption = make("caption", { className: "skip", textContent: "Leaderboard" });
  const table = make("div", { className: "scroll board", tabIndex: 0, role: "region", ariaLabel: "Leaderboard" }, make("table", {}, caption, head, body));
  mount.append(settings, floors, answer, table, pager);
  settle();
}
