const darkness = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
let wanted = null;
const palettes = {
  light: { ink: "#1b2230", soft: "#5b6577", grid: "#e8ebf0", line: "#c6ccd6", surface: "#ffffff",
    sure: [[0, "#a8480a"], [0.25, "#e39a4f"], [0.5, "#f4f4f2"], [0.75, "#67a6d3"], [1, "#0b5394"]],
    muted: [[0, "#ecdccd"], [0.5, "#f1f1f0"], [1, "#d3e0ea"]] },
  dark: { ink: "#e6e9ef", soft: "#9aa4b5", grid: "#2a313d", line: "#465063", surface: "#1a1f28",
    sure: [[0, "#f2a65a"], [0.25, "#a8672a"], [0.5, "#2a303b"], [0.75, "#2f77ad"], [1, "#79c0f5"]],
    muted: [[0, "#4a3d31"], [0.5, "#2a303b"], [1, "#2c3f50"]] },
};
const isDark = () => !printing && (wanted ?? (darkness.matches ? "dark" : "light")) === "dark";
const theme = () => palettes[isDark() ? "dark" : "light"];
const isAxis = (key) => /^[xy]axis\d*$/.test(key);

/* In small multiples names along the bottom stand only where they are few; hovering tells them. */
const SMALL_NAMES = 6;
const SMALL_HEIGHT = 260;
function themed(figure, small) {
  const colours = theme();
  const axis = { gridcolor: colours.grid, zerolinecolor: colours.line, linecolor: colours.line, tickcolor: colours.line,
    automargin: true, title: { standoff: 10, font: { size: 13, color: colours.soft } } };
  const layout = structuredClone(figure.layout);
  layout.template = { layout: {
    font: { family: getComputedStyle(document.body).fontFamily, size: small ? 10 : 13, color: colours.ink },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.soft, activecolor: colours.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
    hoverlabel: { align: "left", bgcolor: colours.surface, bordercolor: colours.line, font: { color: colours.ink, size: 13 } },
    legend: { orientation: "h", yanchor: "bottom", y: 1.01, x: 0, font: { size: 12 } },
  } };
  for (const key of Object.keys(layout)) {
    if (isAxis(key)) layout[key].fixedrange = layout[key].fixedrange ?? false;
  }
  for (const [key, scale] of [["coloraxis", colours.sure], ["coloraxis2", colours.muted]]) {
    if (!layout[key]) continue;
    layout[key].colorscale = scale;
    if (small) layout[key].showscale = false;
  }
  if (small && (layout.xaxis?.ticktext?.length ?? 0) > SMALL_NAMES) layout.xaxis.showticklabels = false;
  for (const shape of layout.shapes ?? []) shape.line = { ...shape.line, color: colours.soft };
  const data = figure.data.map((trace) => {
    if (small && trace.type === "heatmap") return { ...trace, texttemplate: "" };
    if (!trace.marker?.pattern?.shape) return trace;
    const pattern = { ...trace.marker.pattern, bgcolor: colours.surface, fgcolor: colours.line };
    const text = small ? [] : trace.text;
    return { ...trace, text, textfont: { color: colours.soft, size: 11 }, marker: { ...trace.marker, color: colours.line, pattern } };
  });
  return { data, layout };
}

/* The places of an axis that the filters leave, as a map from old place to new; null where all stay. */
function keptPlaces(axis) {
  if (!axis) return null;
  const kept = axis.names.map((name, place) => [name, place]).filter(([name]) => allowed(axis.facet, name));
  return kept.length === axis.names.length ? null : new Map(kept.map(([, place], now) => [place, now]));
}
function narrowedAxis(axis, kept) {
  const ends = [-0.5, kept.size - 0.5];
  return { ...axis, tickvals: [...kept.values()], ticktext: [...kept.keys()].map((place) => axis.ticktext[place]),
    range: axis.range[0] > axis.range[1] ? ends.reverse() : ends };
}
function narrowedHeatmap(trace, kept) {
  const columns = kept.x ? [...kept.x.keys()] : trace.x.map((_, place) => place);
  const rows = kept.y ? [...kept.y.keys()] : trace.y.map((_, place) => place);
  const narrowed = { ...trace, x: columns.map((_, place) => place), y: rows.map((_, place) => place) };
  for (const field of ["z", "text", "hovertext"]) {
    if (Array.isArray(trace[field])) narrowed[field] = rows.map((row) => columns.map((column) => trace[field][row][column]));
  }
  return narrowed;
}
function narrowedPoints(trace, kept) {
  const count = trace.x.length;
  const centre = (place) => (trace.base ? Math.round(trace.base[place] + trace.y[place] / 2) : trace.y[place]);
  const levels = Object.entries(trace.meta ?? {});
  const places = trace.x.map((_, place) => place).filter((place) =>
    levels.every(([facet, level]) => allowed(facet, Array.isArray(level) ? level[place] : level)) &&
    (!kept.x || kept.x.has(trace.x[place])) && (!kept.y || kept.y.has(centre(place))));
  if (places.length === count && !kept.x && !kept.y) return trace;
  if (places.length === 0) return null;
  const picked = (object) => Object.fromEntries(Object.entries(object).map(([key, value]) =>
    [key, Array.isArray(value) && value.length === count ? places.map((place) => value[place]) : value]));
  const narrowed = picked(trace);
  for (const part of ["marker", "error_x", "error_y"]) if (trace[part]) narrowed[part] = picked(trace[part]);
  if (kept.x) narrowed.x = narrowed.x.map((place) => kept.x.get(place));
  if (kept.y && trace.base) narrowed.base = places.map((place) => kept.y.get(centre(place)) - trace.y[place] / 2);
  else if (kept.y) narrowed.y = narrowed.y.map((place) => kept.y.get(place));
  return narrowed;
}
function narrowed(figure) {
  if (chosen.size === 0) return figure;
  const meta = figure.layout.meta ?? {};
  const kept = { x: keptPlaces(meta.x), y: keptPlaces(meta.y) };
  const layout = { ...figure.layout };
  for (const axis of ["x", "y"]) if (kept[axis]) layout[`${axis}axis`] = narrowedAxis(layout[`${axis}axis`], kept[axis]);
  if (kept.y) {
    const each = (layout.height - 100) / Math.max(1, meta.y.names.length);
    layout.height = Math.round(100 + each * Math.max(2, kept.y.size));
  }
  const data = figure.data.map((trace) => (trace.type === "heatmap" ? narrowedHeatmap(trace, kept) : narrowedPoints(trace, kept)));
  return { data: data.filter(Boolean), layout };
}
/* The facets that filters can narrow a figure by. */
function knownFacets(figure, own) {
  const meta = figure.layout.meta ?? {};
  return new Set([...Object.keys(own), ...Object.values(meta).map((axis) => axis.facet),
    ...figure.data.flatMap((trace) => Object.keys(trace.meta ?? {}))]);
}

const facetsOf = (element) => (element.facets ??= JSON.parse(element.dataset.facets || "{}"));
function draw(figureElement) {
  const plot = figureElement.querySelector(".plot");
  plot.figure ??= JSON.parse(figureElement.querySelector("script.figure").textContent);
  const small = figureElement.closest(".multiples") !== null;
  const { data, layout } = themed(narrowed(plot.figure), small);
  if (small) layout.height = Math.min(layout.height, SMALL_HEIGHT);
  plot.style.minHeight = `${layout.height}px`;
  const note = figureElement.querySelector(".reach");
  const { x, y } = plot.figure.layout.meta ?? {};
  const alone = x && y && x.facet === y.facet && keptPlaces(x)?.size < 2;
  note.textContent = alone ? "The filter leaves fewer than two to compare." : beyondWords(knownFacets(plot.figure, facetsOf(figureElement)));
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", scrollZoom: false,
    showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: plot.getAttribute("aria-label") } };
  const fresh = !plot.drawn;
  plot.drawn = true;
  const done = Plotly.react(plot, data, layout, config);
  if (fresh) plot.on("plotly_click", (event) => openFromPlot(plot, event));
  else if (plot.clientWidth !== plot.drawnWidth) Plotly.Plots.resize(plot);
  plot.drawnWidth = plot.clientWidth;
  return done;
}
const allFigures = [...document.querySelectorAll("figure.variant")];
function redraw() {
  for (const figure of allFigures) if (!figure.hidden) whenInSight(figure, () => draw(figure));
}

/* A panel shows one of its variants, or all that the filters leave. */
function mountPanel(panel) {
  const variants = [...panel.querySelectorAll("figure.variant")];
  const select = panel.querySelector(".panel-head select");
  const toggle = panel.querySelector("button.all-variants");
  const empty = make("p", { className: "note", hidden: true, textContent: "Nothing of this is left by the filters." });
  panel.append(empty);
  let together = panel.dataset.panel === "grid";
  const show = () => {
    const passing = variants.map((variant) => allowedAll(facetsOf(variant)));
    if (select) [...select.options].forEach((option, place) => { option.hidden = option.disabled = !passing[place]; });
    if (select && !passing[select.selectedIndex]) select.selectedIndex = passing.indexOf(true);
    const one = select ? select.selectedIndex : -1;
    variants.forEach((variant, place) => {
      variant.hidden = !passing[place] || !(together || select === null || place === one);
      if (!variant.hidden) whenInSight(variant, () => draw(variant));
    });
    empty.hidden = passing.includes(true);
  };
  select?.addEventListener("change", () => { show(); build(variants[select.selectedIndex]); });
  toggle?.addEventListener("click", () => {
    together = !together;
    panel.classList.toggle("grid", together);
    panel.classList.toggle("multiples", together);
    panel.classList.toggle("select", !together);
    toggle.textContent = together ? "One at a time" : "All side by side";
    toggle.setAttribute("aria-pressed", String(together));
    show();
  });
  onFilter(show);
  show();
}
function mountTheme(button) {
  const name = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Show the page in ${isDark() ? "light" : "dark"} colours`); };
  button.addEventListener("click", () => {
    wanted = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = wanted;
    name();
    redraw();
  });
  darkness.addEventListener("change", () => { name(); redraw(); });
  name();
}
addEventListener("beforeprint", () => { printing = true; document.documentElement.dataset.theme = "light"; redraw(); buildAll(); });
addEventListener("afterprint", () => {
  printing = false;
  if (wanted) document.documentElement.dataset.theme = wanted; else delete document.documentElement.dataset.theme;
  redraw();
});
