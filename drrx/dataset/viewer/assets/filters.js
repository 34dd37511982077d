// Which images are shown, in which order, and how many each tick would give.

const imageFacets = FACETS.filter((facet) => !facet.ofNodule);
const noduleFacets = FACETS.filter((facet) => facet.ofNodule);

const fits = (facet, thing) => state[facet.key].size === 0 || state[facet.key].has(facet.of(thing));

function imagePasses(image, skipped) {
  return (
    (!state.case || image.case === state.case) &&
    imageFacets.every((facet) => facet === skipped || fits(facet, image)) &&
    state.q.toLowerCase().split(/\s+/).every((word) => image.text.includes(word))
  );
}

function nodulePasses(nodule, skipped) {
  return (
    (state.min === "" || nodule.diameter >= Number(state.min)) &&
    (state.max === "" || nodule.diameter <= Number(state.max)) &&
    noduleFacets.every((facet) => facet === skipped || fits(facet, nodule))
  );
}

const asksForNodule = () => state.min !== "" || state.max !== "" || noduleFacets.some(({ key }) => state[key].size);

function findImages() {
  const needsNodule = asksForNodule();
  const found = images.filter(
    (image) => imagePasses(image) && (!needsNodule || image.nodules.some((nodule) => nodulePasses(nodule))),
  );
  return sortImages(found);
}

const collator = new Intl.Collator("en", { numeric: true });
const VALUES = { size: (image) => image.diameter, dprime: (image) => image.dprime };

// Images without a nodule come last in either direction.
function sortImages(found) {
  const sign = state.descending ? -1 : 1;
  const value = VALUES[state.sort];
  if (state.sort === "id") return found.sort((a, b) => sign * collator.compare(a.id, b.id));
  if (!value) return state.descending ? found.reverse() : found;
  const key = (image) => (image.nodules.length ? sign * value(image) : Infinity);
  return found.sort((a, b) => key(a) - key(b) || a.order - b.order);
}

function countValues(facet) {
  const counts = new Map();
  const needsNodule = asksForNodule();
  for (const image of images) {
    if (!imagePasses(image, facet)) continue;
    let values = [];
    if (facet.ofNodule) values = image.nodules.filter((n) => nodulePasses(n, facet)).map(facet.of);
    else if (!needsNodule || image.nodules.some((n) => nodulePasses(n))) values = [facet.of(image)];
    for (const value of new Set(values)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return counts;
}

// A group with one value only would filter nothing.
function makeFacets(onChange) {
  for (const facet of FACETS) {
    const things = facet.ofNodule ? images.flatMap((image) => image.nodules) : images;
    const found = [...new Set(things.map(facet.of))].sort(collator.compare);
    const order = ORDERS[facet.key] ?? found;
    const values = found.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    facet.inputs = new Map(values.map((value) => [value, makeTick(facet, value, onChange)]));
    const ticks = [...facet.inputs.values()].map((input) => input.parentElement);
    if (values.length > 1) byId("facets").append(make("fieldset", {}, make("legend", {}, facet.label), ...ticks));
  }
}

function makeTick(facet, value, onChange) {
  const input = make("input", { type: "checkbox", name: facet.key, value });
  make("label", {}, input, make("span", {}, words(value)), make("span", { class: "number quiet" }));
  input.addEventListener("change", () => {
    state[facet.key][input.checked ? "add" : "delete"](value);
    onChange();
  });
  return input;
}

function drawFacets() {
  for (const facet of FACETS) {
    const counts = countValues(facet);
    for (const [value, input] of facet.inputs) {
      input.checked = state[facet.key].has(value);
      input.parentElement.lastChild.textContent = counts.get(value) ?? 0;
      input.parentElement.classList.toggle("none", !counts.has(value) && !input.checked);
    }
  }
}

const countFilters = () =>
  ["q", "case", "min", "max"].filter((key) => state[key] !== "").length +
  FACETS.filter(({ key }) => state[key].size).length;

function clearFilters() {
  Object.assign(state, { q: "", case: "", min: "", max: "" });
  for (const { key } of FACETS) state[key] = new Set();
}
