// Start: read the address, fill the page, listen.

const HELP = [
  ["← →", "previous, next image (in the grid also ↑ ↓ Home End)"], ["Enter", "open the image"], ["Esc", "close"],
  ["1 2 3 4", "one panel alone, and back"], ["z", "zoom to the nodule, and back"], ["n", "next nodule"],
  ["+ −", "zoom; also double click, Ctrl and wheel; drag moves"], ["t", "hold: what the CXR is compared with, in its place"],
  ...Object.entries(LAYERS), ["/", "search"], ["?", "this help"],
];

function update() {
  const found = findImages();
  showInGrid(found);
  drawFacets();
  byId("count").textContent = `${found.length} of ${images.length} images`;
  byId("no-match").hidden = found.length > 0;
  byId("no-match").textContent = images.length ? "No image passes these filters." : "The data set has no image.";
  const active = countFilters();
  byId("active-filters").textContent = active ? `(${active} active)` : "";
}

function onFilter() {
  scrollTo(0, 0);
  update();
  writeState();
}

function drawTab() {
  const tab = ["cases", "files"].includes(state.tab) ? state.tab : "images";
  for (const part of document.querySelectorAll("[data-part]")) part.hidden = part.dataset.part !== tab;
  for (const link of document.querySelectorAll("[data-tab]")) {
    if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function restore() {
  readState();
  drawTab();
  const form = byId("filter-form").elements;
  for (const key of ["q", "case", "min", "max"]) form[key].value = state[key];
  byId("sort").value = state.sort;
  byId("descending").setAttribute("aria-pressed", String(Boolean(state.descending)));
  drawLayers();
  update();
  const image = imagesById.get(state.image);
  if (image) openDetail(image);
  else if (detail.dialog.open) detail.dialog.close();
}

function startForm() {
  const form = byId("filter-form");
  const cases = [...new Set(images.map((image) => image.case))];
  form.elements.case.append(...cases.map((name) => make("option", { value: name }, name)));
  for (const key of ["q", "case", "min", "max"]) {
    form.elements[key].addEventListener("input", (event) => {
      state[key] = event.target.value;
      onFilter();
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    clearFilters();
    onFilter();
  });
  byId("sort").addEventListener("change", (event) => {
    state.sort = event.target.value;
    onFilter();
  });
  byId("descending").addEventListener("click", (event) => {
    state.descending = state.descending ? "" : "1";
    event.currentTarget.setAttribute("aria-pressed", String(Boolean(state.descending)));
    onFilter();
  });
  byId("grid-boxes").addEventListener("click", () => switchLayer("b"));
}

// A tab keeps the filters, unlike its plain link.
function startTabs() {
  for (const link of document.querySelectorAll("[data-tab]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      state.tab = link.dataset.tab;
      drawTab();
      writeState(true);
    });
  }
}

function startHelp() {
  const rows = HELP.map(([key, text]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", {}, key)), make("td", {}, text)));
  byId("keys").tBodies[0].append(...rows);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
}

function onKey(event) {
  const typing = event.target.matches?.("input:not([type=checkbox]), select");
  if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "?") byId("help").showModal();
  else if (detail.dialog.open || byId("help").open || state.tab !== "images") return;
  else if (event.key === "/") byId("filter-form").elements.q.focus();
  else if (event.key === "b" || event.key === "i") switchLayer(event.key);
  else return;
  event.preventDefault();
}

makeFacets(onFilter);
startForm();
startGrid(goTo);
startDetail();
startTabs();
startHelp();
if (matchMedia("(max-width: 45rem)").matches) byId("filters").open = false;
addEventListener("keydown", onKey);
addEventListener("popstate", restore);
restore();
