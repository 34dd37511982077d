// The dialog around one image.

const detail = { dialog: byId("detail"), image: null, nodule: 0, onState: () => {} };

function openDetail(image) {
  detail.image = image;
  detail.nodule = 0;
  byId("detail-title").textContent = image.id;
  const index = grid.images.indexOf(image);
  byId("position").textContent = `${index < 0 ? "outside the filters," : index + 1 + " of"} ${grid.images.length}`;
  byId("facts").replaceChildren(...makeFacts(image, goTo, chooseNodule));
  byId("facts").scrollTop = 0;
  if (!detail.dialog.open) detail.dialog.showModal();
  makePanels(image);
  drawLayers();
}

// Open another image from within: the address follows.
function goTo(image) {
  const push = !state.image;
  state.image = image.id;
  openDetail(image);
  writeState(push);
}

function step(by) {
  const index = grid.images.indexOf(detail.image) + by;
  if (index >= 0 && index < grid.images.length) goTo(grid.images[index]);
}

function onClosed() {
  const index = grid.images.indexOf(detail.image);
  Object.assign(detail, { image: null });
  byId("panels").replaceChildren();
  zoom.image = null;
  if (state.image) {
    state.image = "";
    writeState();
  }
  if (index >= 0) moveTo(index);
}

function chooseNodule(nodule) {
  detail.nodule = detail.image.nodules.indexOf(nodule);
  zoomToNodule(nodule);
}

function nextNodule() {
  const { nodules } = detail.image;
  if (nodules.length) chooseNodule(nodules[zoom.factor > 1 ? (detail.nodule + 1) % nodules.length : detail.nodule]);
}

function toggleZoom() {
  const nodule = detail.image.nodules[detail.nodule];
  if (zoom.factor > 1 || !nodule) resetZoom(detail.image);
  else chooseNodule(nodule);
}

function drawLayers() {
  for (const layer of Object.keys(LAYERS)) {
    document.body.classList.toggle(`show-${layer}`, shows(layer));
    byId(`layer-${layer}`).setAttribute("aria-pressed", String(shows(layer)));
  }
  byId("grid-boxes").setAttribute("aria-pressed", String(shows("b")));
}

function switchLayer(layer) {
  toggleLayer(layer);
  drawLayers();
  writeState();
}

const ZOOM_STEP = 1.5;
const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), z: toggleZoom, n: nextNodule,
  "+": () => zoomAt(zoom.factor * ZOOM_STEP, zoom.x, zoom.y), "-": () => zoomAt(zoom.factor / ZOOM_STEP, zoom.x, zoom.y),
  t: () => detail.dialog.classList.add("compared"),
};
for (const [number, { key }] of PANELS.entries()) KEYS[number + 1] = () => showAlone(key);
for (const layer of Object.keys(LAYERS)) KEYS[layer] = () => switchLayer(layer);

function onDetailKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function startDetail() {
  for (const [layer, label] of Object.entries(LAYERS)) {
    const button = make("button", { type: "button", id: `layer-${layer}`, title: `${label} (${layer})` }, label);
    button.addEventListener("click", () => switchLayer(layer));
    byId("toggles").append(button);
  }
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", () => detail.dialog.close());
  detail.dialog.addEventListener("close", onClosed);
  detail.dialog.addEventListener("keydown", onDetailKey);
  detail.dialog.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "t") detail.dialog.classList.remove("compared");
  });
  startPanels();
}
