"use strict";
(() => {
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  const palettes = {
    light: { ink: "#1b2230", soft: "#5b6577", grid: "#e8ebf0", line: "#c6ccd6", surface: "#ffffff",
      sure: [[0, "#a8480a"], [0.25, "#e39a4f"], [0.5, "#f4f4f2"], [0.75, "#67a6d3"], [1, "#0b5394"]],
      muted: [[0, "#ecdccd"], [0.5, "#f1f1f0"], [1, "#d3e0ea"]] },
    dark: { ink: "#e6e9ef", soft: "#9aa4b5", grid: "#2a313d", line: "#465063", surface: "#1a1f28",
      sure: [[0, "#f2a65a"], [0.25, "#a8672a"], [0.5, "#2a303b"], [0.75, "#2f77ad"], [1, "#79c0f5"]],
      muted: [[0, "#4a3d31"], [0.5, "#2a303b"], [1, "#2c3f50"]] },
  };
  const theme = () => palettes[darkness.matches && !printing ? "dark" : "light"];

  const isAxis = (key) => /^[xy]axis\d*$/.test(key);

  function themed(figure) {
    const colours = theme();
    const axis = { gridcolor: colours.grid, zerolinecolor: colours.line, linecolor: colours.line, tickcolor: colours.line,
      automargin: true, title: { standoff: 10, font: { size: 13, color: colours.soft } } };
    const layout = structuredClone(figure.layout);
    layout.template = { layout: {
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colours.ink },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.soft, activecolor: colours.ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      hoverlabel: { align: "left", bgcolor: colours.surface, bordercolor: colours.line, font: { color: colours.ink, size: 13 } },
      legend: { orientation: "h", yanchor: "bottom", y: 1.01, x: 0, font: { size: 12 } },
    } };
    for (const key of Object.keys(layout)) {
      if (isAxis(key)) layout[key].fixedrange = layout[key].fixedrange ?? false;
    }
    for (const [key, scale] of [["coloraxis", colours.sure], ["coloraxis2", colours.muted]]) {
      if (layout[key]) layout[key].colorscale = scale;
    }
    for (const shape of layout.shapes ?? []) shape.line = { ...shape.line, color: colours.soft };
    const data = figure.data.map((trace) => {
      if (!trace.marker?.pattern?.shape) return trace;
      const pattern = { ...trace.marker.pattern, bgcolor: colours.surface, fgcolor: colours.line };
      return { ...trace, textfont: { color: colours.soft, size: 11 }, marker: { ...trace.marker, color: colours.line, pattern } };
    });
    return { data, layout };
  }

  const drawn = new Set();
  function draw(figureElement) {
    const plot = figureElement.querySelector(".plot");
    plot.figure ??= JSON.parse(figureElement.querySelector("script.figure").textContent);
    const { data, layout } = themed(plot.figure);
    const config = { responsive: true, displaylogo: false, displayModeBar: "hover", scrollZoom: false,
      showSendToCloud: false, plotlyServerURL: "",
      modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: plot.getAttribute("aria-label") } };
    drawn.add(figureElement);
    return Plotly.react(plot, data, layout, config);
  }
  function drawVisible() {
    for (const figure of document.querySelectorAll("figure.variant:not([hidden])")) draw(figure);
  }
  function redraw() { for (const figure of drawn) if (!figure.hidden) draw(figure); }

  for (const panel of document.querySelectorAll('[data-panel="select"]')) {
    const variants = panel.querySelectorAll("figure.variant");
    panel.querySelector("select")?.addEventListener("change", (event) => {
      variants.forEach((figure, place) => { figure.hidden = place !== Number(event.target.value); });
      draw(variants[Number(event.target.value)]);
    });
  }
  darkness.addEventListener("change", redraw);
  addEventListener("beforeprint", () => { printing = true; redraw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
  drawVisible();

  const NOTHING = "\u2013";
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const shownNumber = (value) => {
    if (value === null || value === undefined) return NOTHING;
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(2).replace("-", "\u2212");
    const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value) || 1)));
    return value.toFixed(Math.min(digits, 4)).replace("-", "\u2212");
  };
  const shownCell = (value, kind) => {
    if (value === null || value === undefined) return NOTHING;
    if (kind === "number") return shownNumber(value);
    if (kind === "interval") return value[0] === null || value[1] === null ? NOTHING : `${shownNumber(value[0])} to ${shownNumber(value[1])}`;
    if (kind === "integer") return value.toLocaleString("en");
    return String(value);
  };
  const sortKey = (value, kind) => (kind === "interval" ? value?.[0] ?? null : value);
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
    const lines = rows.map((row) => row.flatMap((value, place) => (columns[place].kind === "interval" ? value ?? [null, null] : [value])));
    return [names, ...lines].map((line) => line.map(csvField).join(",")).join("\r\n") + "\r\n";
  };

  function mountTable(mount, table) {
    const { columns, rows, pageRows } = table;
    const state = { words: "", chosen: new Map(), sorted: null, sign: 1, page: 0 };
    const haystack = rows.map((row) => row.map((value) => String(value ?? "")).join("\u0001").toLowerCase());
    const selected = () => {
      const found = rows.map((row, place) => place).filter((place) =>
        state.words.split(/\s+/).every((word) => haystack[place].includes(word)) &&
        [...state.chosen].every(([column, value]) => String(rows[place][column]) === value));
      if (state.sorted !== null) {
        const { kind } = columns[state.sorted];
        const order = compare(kind, state.sign);
        found.sort((left, right) => order(sortKey(rows[left][state.sorted], kind), sortKey(rows[right][state.sorted], kind)) || left - right);
      }
      return found.map((place) => rows[place]);
    };
    const search = make("input", { type: "search", placeholder: "Filter by any word", ariaLabel: "Filter rows by any word" });
    const controls = make("div", { className: "controls" });
    const worthFiltering = rows.length > 8;
    if (worthFiltering) controls.append(search);
    columns.forEach((column, place) => {
      if (!column.facet || !worthFiltering) return;
      const values = [...new Set(rows.map((row) => row[place]))].filter((value) => value !== null);
      if (values.length < 2 || values.length > 60) return;
      const choice = make("select", { ariaLabel: `Only one ${column.title}` }, make("option", { value: "", textContent: `${column.title}: all` }));
      choice.options[0].dataset.all = "";
      values.sort(compare(column.kind, 1)).forEach((value) => choice.append(make("option", { value: String(value), textContent: String(value) })));
      choice.addEventListener("change", () => {
        if (choice.selectedIndex === 0) state.chosen.delete(place); else state.chosen.set(place, choice.value);
        state.page = 0; show();
      });
      controls.append(choice);
    });
    const save = make("button", { type: "button", textContent: "Download as csv" });
    save.addEventListener("click", () => {
      const link = make("a", { download: table.file, href: URL.createObjectURL(new Blob([csvOf(columns, selected())], { type: "text/csv" })) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    controls.append(make("span", { className: "spacer" }), save);
    const heads = columns.map((column, place) => {
      const button = make("button", { type: "button", textContent: column.title });
      const head = make("th", { scope: "col", className: column.kind === "text" ? "" : "right" }, button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        state.sign = state.sorted === place ? -state.sign : 1;
        state.sorted = place;
        state.page = 0;
        heads.forEach((other, index) => other.setAttribute("aria-sort", index !== place ? "none" : state.sign > 0 ? "ascending" : "descending"));
        show();
      });
      return head;
    });
    const body = make("tbody");
    const back = make("button", { type: "button", textContent: "Previous" });
    const onward = make("button", { type: "button", textContent: "Next" });
    const tally = make("span", { className: "note", role: "status" });
    const pager = make("div", { className: "controls pager" }, back, onward, tally);
    function show() {
      const found = selected();
      const pages = Math.max(1, Math.ceil(found.length / pageRows));
      state.page = Math.min(state.page, pages - 1);
      const first = state.page * pageRows;
      body.replaceChildren(...found.slice(first, first + pageRows).map((row) => make("tr", {}, ...row.map((value, place) => {
        const { kind } = columns[place];
        const text = shownCell(value, kind);
        const classes = [kind === "text" ? "" : "right", text === NOTHING ? "unknown" : "", kind === "text" && text.length > 40 ? "wrap" : ""];
        return make("td", { className: classes.join(" ").trim(), textContent: text, title: kind === "number" && value !== null ? String(value) : "" });
      }))));
      const range = found.length ? `${(first + 1).toLocaleString("en")}\u2013${Math.min(first + pageRows, found.length).toLocaleString("en")} of ` : "";
      tally.textContent = `${range}${found.length.toLocaleString("en")} rows${found.length === rows.length ? "" : ` (${rows.length.toLocaleString("en")} without the filter)`}`;
      pager.classList.toggle("single", pages === 1);
      back.disabled = state.page === 0;
      onward.disabled = state.page >= pages - 1;
    }
    search.addEventListener("input", () => { state.words = search.value.trim().toLowerCase(); state.page = 0; show(); });
    back.addEventListener("click", () => { state.page -= 1; show(); });
    onward.addEventListener("click", () => { state.page += 1; show(); });
    const caption = make("caption", { textContent: mount.dataset.caption, className: "skip" });
    const whole = make("table", {}, caption, make("thead", {}, make("tr", {}, ...heads)), body);
    mount.append(controls, make("div", { className: "scroll", tabIndex: 0 }, whole), pager);
    show();
  }
  for (const holder of document.querySelectorAll(".datatable")) {
    mountTable(holder.querySelector(".table-mount"), JSON.parse(holder.querySelector("script.rows").textContent));
  }

  const links = new Map([...document.querySelectorAll(".rail a:not(.brand)")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.classList.remove("here");
      links.get(entry.target.id)?.classList.add("here");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main section")) watcher.observe(section);
})();
