// DRR, CXR, what it is compared with, and their difference, side by side; all move and zoom together.

const MAX_ZOOM = 16;
const NODULE_ZOOM = 5;
const zoom = { factor: 1, x: 0, y: 0, image: null };

const PANELS = [
  { key: "drr", label: () => "DRR", file: (image) => fileOf("drr", image.id, ".png") },
  { key: "cxr", label: () => "CXR", file: (image) => fileOf("images", image.id, ".png") },
  { key: "other", label: (image) => image.other, needsOther: true, file: (image) => otherFile(image) },
  { key: "difference", label: () => "difference", needsOther: true, file: (image) => differenceFile(image) },
];
const otherFile = (image) => fileOf("images", idOf(image, image.other), ".png");
const differenceFile = (image) => fileOf("previews", image.id, "_difference.png");

const BOXES = ["visual", "full", "core"];
const seen = (nodule) => (nodule.class >= 2 ? "seen" : "unseen");

function makeOverlay(image, makeMarks) {
  const size = { viewBox: `0 0 ${image.width} ${image.height}`, class: "overlay", "aria-hidden": "true" };
  return makeSvg("svg", size, ...image.nodules.flatMap(makeMarks));
}

function makeBox(nodule, name, margin) {
  const [x, y, width, height] = nodule.boxes[BOXES.indexOf(name)];
  const place = { x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin };
  return makeSvg("rect", { class: `${name} ${seen(nodule)}`, "data-nodule": nodule.id, ...place });
}

// The outline is a path in half pixels from the corner of the visual box.
function makeMarks(nodule) {
  const [x, y] = nodule.boxes[0];
  const place = { d: nodule.outline, transform: `translate(${x} ${y}) scale(0.5)` };
  const mask = makeSvg("path", { class: `mask ${seen(nodule)}`, "data-nodule": nodule.id, ...place });
  return [mask, ...BOXES.map((name) => makeBox(nodule, name, 0))];
}

function makePanels(image) {
  const shown = PANELS.filter((panel) => image.other || !panel.needsOther);
  byId("panels").replaceChildren(...shown.map((panel, number) => makePanel(image, panel, number + 1)));
  byId("panels").classList.toggle("two", shown.length === 2);
  resetZoom(image);
}

function makePanel(image, panel, number) {
  const label = panel.label(image);
  const picture = make("img", { src: panel.file(image), alt: `${label} of ${image.id}`, draggable: "false" });
  const stage = make("div", { class: "stage" }, picture);
  if (panel.key === "cxr" && image.other) {
    stage.append(make("img", { src: differenceFile(image), alt: "", class: "layer-difference", draggable: "false" }));
    stage.append(make("img", { src: otherFile(image), alt: "", class: "layer-other", draggable: "false" }));
  }
  stage.append(makeOverlay(image, makeMarks));
  const frame = make("div", { class: "frame" }, stage);
  const about = { type: "button", "aria-pressed": "false", title: `${label} alone (${number})` };
  const button = make("button", about, `${number} ${label}`);
  button.addEventListener("click", () => showAlone(panel.key));
  const caption = make("figcaption", {}, button);
  if (panel.key === "difference") caption.append(makeScale(image.scale));
  const figure = make("figure", { "data-panel": panel.key }, frame, caption);
  figure.style.setProperty("--shape", `${image.width} / ${image.height}`);
  return figure;
}

const makeScale = (end) =>
  make("span", { class: "scale", title: "CXR minus this, as share of the display range" },
    `−${end}`, make("i", { class: "ramp" }), `+${end}`);

// One panel fills the place of all; the same again brings all back.
function showAlone(key) {
  const panels = byId("panels");
  if (!panels.querySelector(`[data-panel="${key}"]`)) return;
  if (panels.dataset.alone === key) delete panels.dataset.alone;
  else panels.dataset.alone = key;
  markAlone();
}

function markAlone() {
  const { alone } = byId("panels").dataset;
  for (const figure of byId("panels").children) {
    figure.hidden = Boolean(alone) && figure.dataset.panel !== alone;
    figure.querySelector("figcaption button").setAttribute("aria-pressed", String(figure.dataset.panel === alone));
  }
  placeStages();
}

function resetZoom(image) {
  Object.assign(zoom, { factor: 1, x: image.width / 2, y: image.height / 2, image });
  markAlone();
}

const visibleFrame = () => byId("panels").querySelector("figure:not([hidden]) .frame");

// How large a pixel of the image is on screen before zooming, and where the image begins in its frame.
function fit(frame) {
  const scale = Math.min(frame.clientWidth / zoom.image.width, frame.clientHeight / zoom.image.height);
  const left = (frame.clientWidth - zoom.image.width * scale) / 2;
  return { scale, left, top: (frame.clientHeight - zoom.image.height * scale) / 2 };
}

function placeStages() {
  const frame = visibleFrame();
  if (!frame || !frame.clientWidth) return;
  const { scale, left, top } = fit(frame);
  const half = { x: frame.clientWidth / 2 / scale / zoom.factor, y: frame.clientHeight / 2 / scale / zoom.factor };
  const keep = (value, size, margin) => (2 * margin >= size ? size / 2 : Math.min(size - margin, Math.max(margin, value)));
  zoom.x = keep(zoom.x, zoom.image.width, half.x);
  zoom.y = keep(zoom.y, zoom.image.height, half.y);
  const moveX = frame.clientWidth / 2 - zoom.factor * (left + zoom.x * scale);
  const moveY = frame.clientHeight / 2 - zoom.factor * (top + zoom.y * scale);
  const style = byId("panels").style;
  style.setProperty("--zoom", zoom.factor);
  style.setProperty("--move-x", `${moveX}px`);
  style.setProperty("--move-y", `${moveY}px`);
  byId("panels").classList.toggle("zoomed", zoom.factor > 1);
}

// The point (x, y) of the image stays where it is on screen.
function zoomAt(factor, x, y) {
  const next = Math.min(MAX_ZOOM, Math.max(1, factor));
  zoom.x = x + ((zoom.x - x) * zoom.factor) / next;
  zoom.y = y + ((zoom.y - y) * zoom.factor) / next;
  zoom.factor = next;
  placeStages();
}

function zoomToNodule(nodule) {
  Object.assign(zoom, { factor: NODULE_ZOOM, x: nodule.center[0], y: nodule.center[1] });
  placeStages();
}

function toImage(event, frame) {
  const box = frame.getBoundingClientRect();
  const perPixel = fit(frame).scale * zoom.factor;
  const x = zoom.x + (event.clientX - box.left - box.width / 2) / perPixel;
  return { x, y: zoom.y + (event.clientY - box.top - box.height / 2) / perPixel, perPixel };
}

function startPanels() {
  const panels = byId("panels");
  const frameOf = (event) => event.target.closest(".frame");
  panels.addEventListener("dblclick", (event) => {
    if (!frameOf(event)) return;
    const { x, y } = toImage(event, frameOf(event));
    if (zoom.factor > 1) zoomAt(1, x, y);
    else zoomAt(NODULE_ZOOM, x, y);
  });
  panels.addEventListener("wheel", (event) => {
    if (!frameOf(event) || !(event.ctrlKey || zoom.factor > 1)) return;
    event.preventDefault();
    const { x, y } = toImage(event, frameOf(event));
    zoomAt(zoom.factor * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), x, y);
  }, { passive: false });
  panels.addEventListener("pointerdown", (event) => {
    if (frameOf(event) && zoom.factor > 1) frameOf(event).setPointerCapture(event.pointerId);
  });
  panels.addEventListener("pointermove", (event) => {
    const frame = frameOf(event);
    if (!frame?.hasPointerCapture(event.pointerId)) return;
    const { perPixel } = toImage(event, frame);
    zoom.x -= event.movementX / perPixel;
    zoom.y -= event.movementY / perPixel;
    placeStages();
  });
  new ResizeObserver(() => zoom.image && placeStages()).observe(panels);
}
