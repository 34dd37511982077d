// The thumbnails: only those in sight are in the document, so ten thousand images cost no more than fifty.

const CELL_PX = 176;
const GAP_PX = 12;
const CAPTION_PX = 52;
const SPARE_ROWS = 1;

const grid = {
  list: byId("grid"), images: [], cells: new Map(), current: 0, columns: 1, width: 0, height: 0, onOpen: () => {},
};

function showInGrid(found) {
  grid.images = found;
  grid.current = Math.max(0, Math.min(grid.current, found.length - 1));
  clearGrid();
  layOutGrid();
}

function clearGrid() {
  for (const cell of grid.cells.values()) cell.remove();
  grid.cells.clear();
}

function layOutGrid() {
  const width = grid.list.clientWidth;
  if (!width) return;
  grid.columns = Math.max(2, Math.floor((width + GAP_PX) / (CELL_PX + GAP_PX)));
  grid.width = (width + GAP_PX) / grid.columns;
  grid.height = grid.width + CAPTION_PX;
  grid.list.style.height = `${Math.ceil(grid.images.length / grid.columns) * grid.height}px`;
  for (const [index, cell] of grid.cells) placeCell(cell, index);
  drawGrid();
}

function placeCell(cell, index) {
  const row = Math.floor(index / grid.columns);
  cell.style.width = `${grid.width - GAP_PX}px`;
  cell.style.height = `${grid.height - GAP_PX}px`;
  cell.style.transform = `translate(${(index % grid.columns) * grid.width}px, ${row * grid.height}px)`;
}

function drawGrid() {
  const top = -grid.list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / grid.height) - SPARE_ROWS) * grid.columns;
  const rows = Math.ceil(innerHeight / grid.height) + 2 * SPARE_ROWS + 1;
  const last = Math.min(grid.images.length, first + rows * grid.columns);
  for (const [index, cell] of grid.cells) {
    const inSight = index >= first && index < last;
    if (inSight || cell.contains(document.activeElement)) continue;
    cell.remove();
    grid.cells.delete(index);
  }
  for (let index = first; index < last; index++) if (!grid.cells.has(index)) addCell(index);
  const reached = grid.cells.has(grid.current) ? grid.current : first;
  for (const [index, cell] of grid.cells) cell.firstChild.tabIndex = index === reached ? 0 : -1;
}

function addCell(index) {
  const cell = makeCell(grid.images[index], index);
  placeCell(cell, index);
  grid.cells.set(index, cell);
  // In the order of the images, so that reading aloud follows it.
  const after = [...grid.cells.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
  grid.list.insertBefore(cell, after === undefined ? null : grid.cells.get(after));
}

function makeCell(image, index) {
  const told = image.nodules.map(tellNodule).join("; ") || "no nodule";
  const picture = make("img", { src: fileOf("previews", image.id, ".jpg"), alt: "", decoding: "async" });
  const thumb = make("span", { class: "thumb" }, picture, makeThumbMarks(image));
  if (image.role !== "positive") thumb.append(make("span", { class: "badge" }, image.role));
  const caption = [make("span", { class: "id" }, image.id), make("span", { class: "told quiet" }, told)];
  const label = `${image.id}, ${image.role}: ${told}`;
  const button = make("button", { type: "button", "aria-label": label, title: label }, thumb, ...caption);
  button.addEventListener("click", () => grid.onOpen(grid.images[index]));
  button.addEventListener("focus", () => (grid.current = index));
  return make("li", { "aria-setsize": grid.images.length, "aria-posinset": index + 1 }, button);
}

// A nodule is a few pixels large here: its frame keeps clear of it.
function makeThumbMarks(image) {
  const margin = 0.015 * Math.max(image.width, image.height);
  return makeOverlay(image, (nodule) => [makeBox(nodule, "visual", margin)]);
}

const tellNodule = (nodule) => {
  const kind = nodule.origin === "real" ? `real ${words(nodule.kind)}` : words(nodule.kind);
  return `${kind}, ${nodule.diameter.toFixed(0)} mm, ${CLASSES[nodule.class]}`;
};

// Bring an image into sight and give it the focus.
function moveTo(index) {
  if (!grid.images.length) return;
  grid.current = Math.max(0, Math.min(index, grid.images.length - 1));
  const top = grid.list.getBoundingClientRect().top + Math.floor(grid.current / grid.columns) * grid.height;
  if (top < 0) scrollBy(0, top - GAP_PX);
  else if (top + grid.height > innerHeight) scrollBy(0, top + grid.height - innerHeight);
  drawGrid();
  grid.cells.get(grid.current)?.firstChild.focus({ preventScroll: true });
}

function onGridKey(event) {
  const page = grid.columns * Math.max(1, Math.floor(innerHeight / grid.height));
  const steps = {
    ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns, PageUp: -page, PageDown: page,
    Home: -Infinity, End: Infinity,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  moveTo(grid.current + steps[event.key]);
}

function startGrid(onOpen) {
  grid.onOpen = onOpen;
  grid.list.addEventListener("keydown", onGridKey);
  let asked = false;
  const draw = () => {
    if (!asked) requestAnimationFrame(() => ((asked = false), state.tab === "images" && drawGrid()));
    asked = true;
  };
  addEventListener("scroll", draw, { passive: true });
  addEventListener("resize", draw);
  new ResizeObserver(layOutGrid).observe(grid.list);
}
