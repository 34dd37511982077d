// What is known about an image and its nodules, in words.

const ROLES = {
  positive: "with inserted nodules", twin: "without inserted nodules", sham: "lung inserted, no nodule",
  removed: "without the CT's nodules",
};

function makeFacts(image, open, zoomTo) {
  const sections = [makeSection(`${image.role}: ${ROLES[image.role]}`, choiceFacts(image, open))];
  for (const nodule of image.nodules) {
    const button = make("button", { type: "button", title: "Zoom to it (z)" }, `${nodule.id}: ${tellNodule(nodule)}`);
    button.addEventListener("click", () => zoomTo(nodule));
    sections.push(makeSection(button, noduleFacts(nodule)));
  }
  if (!image.nodules.length) sections.push(make("p", { class: "quiet" }, "No annotated nodule."));
  sections.push(makeSection("Image", imageFacts(image)));
  return sections;
}

function makeSection(title, rows) {
  const list = make("dl");
  for (const [label, value] of rows) {
    if (value !== null && value !== undefined && value !== "") list.append(make("dt", {}, label), make("dd", {}, value));
  }
  return make("section", {}, make("h3", {}, title), list);
}

// The same case seen otherwise: one click away.
function choiceFacts(image, open) {
  const same = images.filter((other) => other.case === image.case);
  const variants = same.filter((other) => other.view === image.view);
  const views = same.filter((other) => other.variant === image.variant);
  return [
    ["Variant", makeChoices(image, variants, (other) => other.variant, open)],
    ["View", makeChoices(image, views, (other) => other.view, open)],
  ];
}

function imageFacts(image) {
  const pose = Object.entries(image.taken.pose).filter(([, value]) => value);
  return [
    ["Case", image.case],
    ["Patient", image.source.patient === image.case ? "" : image.source.patient],
    ["Cohort", image.cohort],
    ["Split", image.split],
    ["Taken as", image.taken.view_position],
    ["Pose", pose.map(([name, value]) => tellPose(name, value)).join(", ")],
    ["Size", `${image.width} × ${image.height} px of ${image.taken.pixel_spacing_mm.map(short).join(" × ")} mm`],
    ["Leakage", image.leakage === null ? "" : short(image.leakage)],
    ["CT from", image.source.source],
    ["Licence", image.source.licence],
    ["Files", makeLinks(image)],
  ];
}

function makeChoices(image, others, name, open) {
  const choices = make("span", { class: "choices" });
  for (const other of others) {
    const button = make("button", { type: "button", "aria-pressed": String(other === image) }, name(other));
    button.addEventListener("click", () => open(other));
    choices.append(button);
  }
  return choices;
}

function makeLinks(image) {
  const links = [["CXR", fileOf("images", image.id, ".png")], ["DRR", fileOf("drr", image.id, ".png")]];
  const masked = data.folders.includes("masks") ? image.nodules : [];
  for (const { id } of masked) links.push([`mask ${id}`, fileOf("masks", `${image.id}_${id}`, ".png")]);
  const list = make("span", { class: "choices" });
  for (const [label, href] of links) list.append(make("a", { href, target: "_blank" }, label));
  return list;
}

const short = (value) => String(Number(value.toPrecision(3)));
const percent = (share) => `${Math.round(share * 100)} %`;

// `tilt_deg` is a tilt in degrees.
function tellPose(name, value) {
  const unit = name.split("_").at(-1);
  return `${words(name.slice(0, -unit.length - 1))} ${value > 0 ? "+" : ""}${short(value)} ${unit}`;
}

function noduleFacts(nodule) {
  return [
    ["Visibility", `${CLASSES[nodule.class]} (class ${nodule.class})`],
    ["d′, DRR → CXR", pair(nodule, 2)],
    ["Contrast", pair(nodule, 0)],
    ["Contrast / SD", pair(nodule, 1)],
    ["Contrast transfer", nodule.transfer === null ? "" : short(nodule.transfer)],
    ["Type", words(nodule.kind)],
    ["Margin", words(nodule.margin)],
    ["Attachment", words(nodule.attachment)],
    ["Origin", nodule.real_nodule ? `${words(nodule.origin)}, ${nodule.real_nodule}` : words(nodule.origin)],
    ["Diameter", `${short(nodule.diameter)} mm`],
    ["Volume", `${short(nodule.volume)} mm³`],
    ["Density", `${Math.round(nodule.hu)} HU; lung ${Math.round(nodule.lung)} HU`],
    ["Zone", words(nodule.zone)],
    ["Lobe, approx.", words(nodule.lobe.replace("lobe_", ""))],
    ["Centre (LPS)", `${nodule.world.join(", ")} mm`],
    ["Centre (x, y)", `${nodule.center.join(", ")} px`],
    ["Visual box", `${nodule.boxes[0].join(", ")} px`],
    ["Magnification", short(nodule.magnification)],
    ["Longest path", `${short(nodule.path)} mm`],
    ["Δ −ln I, peak", short(nodule.log)],
    ["Crossed by bone", percent(nodule.bone)],
    ["By mediastinum", percent(nodule.mediastinum)],
    ["Cut by border", nodule.truncated ? "yes" : ""],
  ];
}

const pair = (nodule, index) => [nodule.drr, nodule.cxr].filter(Boolean).map((values) => short(values[index])).join(" → ");
