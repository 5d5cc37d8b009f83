const NOTHING = "\u2013";
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const payload = (name) => {
  const element = document.getElementById(`data-${name}`);
  return element ? JSON.parse(element.textContent) : null;
};
const minus = (text) => text.replace("-", "\u2212");
const shownNumber = (value) => {
  if (value === null || value === undefined) return NOTHING;
  if (value !== 0 && Math.abs(value) < 1e-4) return minus(value.toExponential(2));
  const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return minus(value.toFixed(Math.min(digits, 4)));
};
const rounded = (value) => minus(value.toFixed(Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(Math.abs(value) || 1))))));
const signed = (value) => (value === null || value === undefined ? NOTHING : `${value > 0 ? "+" : ""}${rounded(value)}`);
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const listed = (names, most = 6) =>
  names.length <= most ? names.join(", ") : `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
const download = (name, text) => {
  const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const choice = (label, names, values = names) => {
  const select = make("select", { ariaLabel: label });
  names.forEach((name, place) => select.append(make("option", { value: String(values[place]), textContent: name })));
  return select;
};
const labelled = (text, control) => make("label", {}, `${text} `, control);

/* What is drawn or built only once it comes into sight, or when the page is printed. */
const waiting = new Map();
const inSight = new Set();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) { inSight.delete(target); continue; }
    inSight.add(target);
    build(target);
  }
}, { rootMargin: "500px 0px" });
function build(element) {
  const work = waiting.get(element);
  waiting.delete(element);
  work?.();
}
function whenInSight(element, work) {
  waiting.set(element, work);
  sight.observe(element);
  if (inSight.has(element)) build(element);
}
function buildAll() { for (const element of [...waiting.keys()]) if (element.checkVisibility?.() ?? true) build(element); }
