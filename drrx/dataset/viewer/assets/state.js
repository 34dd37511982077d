// What the user chose. The address keeps it after the #, so a copied link opens the same view.

const FACETS = [
  { key: "role", label: "Role", of: (image) => image.role },
  { key: "view", label: "View", of: (image) => image.view },
  { key: "split", label: "Split", of: (image) => image.split },
  { key: "kind", label: "Type", ofNodule: true, of: (nodule) => nodule.kind },
  { key: "zone", label: "Zone", ofNodule: true, of: (nodule) => nodule.zone },
  { key: "class", label: "Visibility", ofNodule: true, of: (nodule) => CLASSES[nodule.class] },
  { key: "origin", label: "Origin", ofNodule: true, of: (nodule) => nodule.origin },
];
const ORDERS = {
  class: CLASSES,
  role: ["positive", "twin", "sham", "removed"],
  split: ["train", "val", "test"],
};
const LAYERS = {
  b: "visual box", f: "full box", c: "core box", m: "mask", d: "difference on CXR", i: "inverted",
};
const PLAIN = { tab: "images", image: "", q: "", case: "", min: "", max: "", sort: "order", descending: "", show: "b" };

const state = { ...PLAIN };
for (const { key } of FACETS) state[key] = new Set();

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(PLAIN)) state[key] = given.get(key) ?? value;
  for (const { key } of FACETS) state[key] = new Set((given.get(key) ?? "").split(",").filter(Boolean));
}

// `push`: a new step for the browser's back button.
function writeState(push = false) {
  const told = new URLSearchParams();
  for (const [key, value] of Object.entries(PLAIN)) if (state[key] !== value) told.set(key, state[key]);
  for (const { key } of FACETS) if (state[key].size) told.set(key, [...state[key]].join(","));
  const address = `#${told.toString().replaceAll("%2C", ",")}`;
  if (address !== (location.hash || "#")) history[push ? "pushState" : "replaceState"](null, "", address);
}

const shows = (layer) => state.show.includes(layer);

function toggleLayer(layer) {
  state.show = shows(layer) ? state.show.replace(layer, "") : state.show + layer;
}
