const cellOf = (column, row) => {
  if (column.kind === "text") return column.codes[row] < 0 ? null : column.levels[column.codes[row]];
  if (column.kind === "interval") return [column.low[row], column.high[row]];
  return column.values[row];
};
const shownCell = (value, kind) => {
  if (value === null || value === undefined) return NOTHING;
  if (kind === "number") return shownNumber(value);
  if (kind === "interval") return value[0] === null || value[1] === null ? NOTHING : `${shownNumber(value[0])} to ${shownNumber(value[1])}`;
  if (kind === "integer") return value.toLocaleString("en");
  return String(value);
};
const sortKey = (column, row) => (column.kind === "interval" ? column.low[row] : cellOf(column, row));
const compare = (kind, sign) => (left, right) => {
  if (left === null || right === null) return (left === null) - (right === null);
  return sign * (kind === "text" ? String(left).localeCompare(String(right), "en", { numeric: true }) : left - right);
};
const csvField = (value) => {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = (columns, rows) => {
  const names = columns.flatMap((column) => (column.kind === "interval" ? [`${column.name}_low`, `${column.name}_high`] : [column.name]));
  const lines = rows.map((row) => columns.flatMap((column) => cellOf(column, row)));
  return [names, ...lines].map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n";
};

function mountTable(mount, table) {
  const { columns, count, pageRows } = table;
  const state = { words: "", chosen: new Map(), sorted: null, sign: 1, page: 0 };
  const all = Array.from({ length: count }, (_, row) => row);
  let haystack = null;
  const holds = (row, word) => {
    haystack ??= all.map((one) => columns.map((column) => String(cellOf(column, one) ?? "")).join("\u0001").toLowerCase());
    return haystack[row].includes(word);
  };
  const shown = columns.filter((column) => column.shown);
  const narrowable = columns.filter((column) => column.kind === "text" && TITLES[column.follows] && column.levels.length);
  const selected = () => {
    const open = narrowable.filter(({ follows }) => chosen.has(follows) || (follows === "base" && chosen.has("family")))
      .map((column) => [column.codes, column.levels.map((level) => allowed(column.follows, level))]);
    const words = state.words.split(/\s+/).filter(Boolean);
    const found = all.filter((row) => open.every(([codes, passes]) => codes[row] < 0 || passes[codes[row]]) &&
      [...state.chosen].every(([place, value]) => String(cellOf(columns[place], row)) === value) && words.every((word) => holds(row, word)));
    if (state.sorted !== null) {
      const column = columns[state.sorted];
      const order = compare(column.kind, state.sign);
      found.sort((left, right) => order(sortKey(column, left), sortKey(column, right)) || left - right);
    }
    return found;
  };
  const search = make("input", { type: "search", placeholder: "Filter by any word", ariaLabel: "Filter rows by any word" });
  const controls = make("div", { className: "controls" });
  const worthFiltering = count > 8;
  if (worthFiltering) controls.append(search);
  columns.forEach((column, place) => {
    if (!column.facet || !column.shown || !worthFiltering) return;
    const values = column.kind === "text" ? [...column.levels] : [...new Set(all.map((row) => cellOf(column, row)))].filter((value) => value !== null);
    if (values.length < 2 || values.length > 60) return;
    values.sort(compare(column.kind, 1));
    const select = choice(`Only one ${column.title}`, [`${column.title}: all`, ...values.map(String)], ["", ...values.map(String)]);
    select.addEventListener("change", () => {
      if (select.selectedIndex === 0) state.chosen.delete(place); else state.chosen.set(place, select.value);
      state.page = 0; show();
    });
    controls.append(select);
  });
  const save = make("button", { type: "button", textContent: "Download as csv" });
  save.addEventListener("click", () => download(table.file, csvOf(columns, selected())));
  controls.append(make("span", { className: "spacer" }), save);
  const heads = shown.map((column, index) => {
    const place = columns.indexOf(column);
    const button = make("button", { type: "button", textContent: column.title });
    const head = make("th", { scope: "col", className: column.kind === "text" ? "" : "right" }, button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      state.sign = state.sorted === place ? -state.sign : 1;
      state.sorted = place;
      state.page = 0;
      heads.forEach((other, at) => other.setAttribute("aria-sort", at !== index ? "none" : state.sign > 0 ? "ascending" : "descending"));
      show();
    });
    return head;
  });
  const body = make("tbody");
  const reach = make("p", { className: "reach note" });
  const back = make("button", { type: "button", textContent: "Previous" });
  const onward = make("button", { type: "button", textContent: "Next" });
  const tally = make("span", { className: "note", role: "status" });
  const pager = make("div", { className: "controls pager" }, back, onward, tally);
  function show() {
    const found = selected();
    const pages = Math.max(1, Math.ceil(found.length / pageRows));
    state.page = Math.min(state.page, pages - 1);
    const first = state.page * pageRows;
    body.replaceChildren(...found.slice(first, first + pageRows).map((row) => make("tr", {}, ...shown.map((column) => {
      const { kind } = column;
      const value = cellOf(column, row);
      const text = shownCell(value, kind);
      const classes = [kind === "text" ? "" : "right", text === NOTHING ? "unknown" : "", kind === "text" && text.length > 40 ? "wrap" : ""];
      return make("td", { className: classes.join(" ").trim(), textContent: text, title: kind === "number" && value !== null ? String(value) : "" });
    }))));
    reach.textContent = beyondWords(new Set(narrowable.map((column) => column.follows)));
    const range = found.length ? `${(first + 1).toLocaleString("en")}\u2013${Math.min(first + pageRows, found.length).toLocaleString("en")} of ` : "";
    tally.textContent = `${range}${found.length.toLocaleString("en")} rows${found.length === count ? "" : ` (${count.toLocaleString("en")} without the filter)`}`;
    pager.classList.toggle("single", pages === 1);
    back.disabled = state.page === 0;
    onward.disabled = state.page >= pages - 1;
  }
  search.addEventListener("input", () => { state.words = search.value.trim().toLowerCase(); state.page = 0; show(); });
  back.addEventListener("click", () => { state.page -= 1; show(); });
  onward.addEventListener("click", () => { state.page += 1; show(); });
  onFilter(() => { state.page = 0; whenInSight(mount, show); });
  const caption = make("caption", { textContent: mount.dataset.caption, className: "skip" });
  const whole = make("table", {}, caption, make("thead", {}, make("tr", {}, ...heads)), body);
  mount.append(reach, controls, make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: mount.dataset.caption }, whole), pager);
  show();
}
