const filterBar = document.getElementById("filters");
if (filterBar) mountFilters(filterBar);
const themeButton = document.getElementById("theme");
mountTheme(themeButton);
for (const panel of document.querySelectorAll("[data-panel]")) mountPanel(panel);
onFilter(redraw);
for (const holder of document.querySelectorAll(".datatable")) {
  const mount = holder.querySelector(".table-mount");
  whenInSight(mount, () => mountTable(mount, JSON.parse(holder.querySelector("script.rows").textContent)));
}
for (const mount of document.querySelectorAll(".board-mount")) {
  whenInSight(mount, () => mountBoard(mount, models()));
}
for (const form of document.querySelectorAll("form.cell-picker")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    exploreCell({ base: form.elements.base.value, dataset: form.elements.dataset.value }, form.elements.benchmark.value);
  });
}
dialog?.querySelector("button.close").addEventListener("click", () => dialog.close());
const filterStatus = document.getElementById("filter-status");
onFilter(() => {
  if (!filterStatus) return;
  const data = models();
  filterStatus.textContent = chosen.size === 0 || !data ? "" : `${passingModels(data).length.toLocaleString("en")} of ${counted(data.count, "model")}`;
});

const links = new Map([...document.querySelectorAll(".rail a:not(.brand)")].map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) { link.classList.remove("here"); link.removeAttribute("aria-current"); }
    links.get(entry.target.id)?.classList.add("here");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const section of document.querySelectorAll("main section")) watcher.observe(section);
