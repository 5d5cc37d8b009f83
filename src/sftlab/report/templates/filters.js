/* One choice of levels for everything on the page. A facet without an entry is not narrowed. */
const chosen = new Map();
const filterListeners = [];
const facets = payload("facets") ?? { levels: {}, families: {} };
const TITLES = { base: "Base", family: "Family", dataset: "Dataset", method: "Method", benchmark: "Benchmark", scorer: "Scorer" };
const isChosen = (facet, level) => !chosen.has(facet) || chosen.get(facet).has(level);
/* The base itself has no dataset or method, and means over all methods belong to each of them. */
const passesAnyway = { dataset: "none", method: "all" };
function allowed(facet, level) {
  if (level === null || level === undefined || passesAnyway[facet] === level) return true;
  if (facet === "base" && chosen.has("family") && facets.families[level] !== undefined && !isChosen("family", facets.families[level])) return false;
  return isChosen(facet, level);
}
const allowedAll = (levels) => Object.entries(levels).every(([facet, level]) => allowed(facet, level));
const onFilter = (listener) => { filterListeners.push(listener); };

/* What to say of facets that are narrowed though the numbers are over all their levels; `known` are those that are not. */
function beyondWords(known) {
  const beyond = [...chosen.keys()].filter((facet) => !known.has(facet) && !(facet === "family" && known.has("base")));
  return beyond.length
    ? `Over every ${beyond.map((facet) => TITLES[facet].toLowerCase()).join(" and ")}: the filter does not reach what was estimated from the whole study.`
    : "";
}

function mountFilters(mount) {
  const status = make("span", { className: "note", role: "status", id: "filter-status" });
  const clear = make("button", { type: "button", textContent: "Show everything", disabled: true });
  const boxes = [];
  const update = () => {
    for (const [facet, summary, inputs] of boxes) {
      const picked = inputs.filter((input) => input.checked).map((input) => input.value);
      if (picked.length) chosen.set(facet, new Set(picked)); else chosen.delete(facet);
      summary.querySelector("b").textContent = picked.length === 0 ? "all" : picked.length === 1 ? picked[0] : `${picked.length} of ${inputs.length}`;
      summary.classList.toggle("narrowed", picked.length > 0);
    }
    clear.disabled = chosen.size === 0;
    document.body.classList.toggle("filtered", chosen.size > 0);
    for (const listener of filterListeners) listener();
  };
  for (const [facet, title] of Object.entries(TITLES)) {
    const levels = facets.levels[facet] ?? [];
    if (levels.length < 2) continue;
    const inputs = levels.map((level) => make("input", { type: "checkbox", value: level }));
    const summary = make("summary", {}, `${title}: `, make("b", { textContent: "all" }));
    const group = make("div", { className: "levels" }, ...inputs.map((input) => make("label", {}, input, ` ${input.value}`)));
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Only these: ${title}`);
    const box = make("details", { className: "pick" }, summary, group);
    box.dataset.facet = facet;
    box.addEventListener("keydown", (event) => { if (event.key === "Escape") { box.open = false; summary.focus(); } });
    group.addEventListener("change", update);
    boxes.push([facet, summary, inputs]);
    mount.append(box);
  }
  if (boxes.length === 0) return;
  document.addEventListener("click", (event) => {
    for (const box of mount.querySelectorAll("details[open]")) if (!box.contains(event.target)) box.open = false;
  });
  clear.addEventListener("click", () => {
    for (const [, , inputs] of boxes) for (const input of inputs) input.checked = false;
    update();
  });
  mount.append(clear, status);
}
