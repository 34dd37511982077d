// The data of the page as objects, and how elements are made. Texts go in as text, never as markup.

const byId = (id) => document.getElementById(id);
const words = (name) => String(name).replaceAll("_", " ");
const CLASSES = ["hidden", "subtle", "visible", "obvious"];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const toObjects = ({ columns, rows }) =>
  rows.map((row) => Object.fromEntries(columns.map((name, column) => [name, row[column]])));

function readImages() {
  const nodules = toObjects(data.nodules);
  let start = 0;
  return toObjects(data.images).map((row, order) => {
    const own = nodules.slice(start, (start += row.nodules));
    const image = { ...row, order, nodules: own };
    image.taken = data.views[row.view_facts];
    image.source = data.sources[row.source];
    image.id = idOf(image, image.variant);
    image.diameter = Math.max(...own.map((nodule) => nodule.diameter));
    image.dprime = Math.max(...own.map((nodule) => (nodule.cxr ?? nodule.drr)[2]));
    image.text = [image.id, image.cohort, image.role, image.split, image.source.patient, ...own.map(describe)].join(" ").toLowerCase();
    return image;
  });
}

const idOf = (image, variant) => `${image.case}_${variant}_${image.view}`;
const fileOf = (folder, id, ending) => `${folder}/${encodeURIComponent(id)}${ending}`;

function describe(nodule) {
  const parts = [nodule.kind, nodule.margin, nodule.attachment, nodule.lobe, nodule.zone, nodule.origin];
  return [...parts, CLASSES[nodule.class], nodule.real_nodule ?? ""].map(words).join(" ");
}

const data = JSON.parse(byId("data").textContent);
const images = readImages();
const imagesById = new Map(images.map((image) => [image.id, image]));
