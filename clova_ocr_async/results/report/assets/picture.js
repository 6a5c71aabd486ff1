/* The picture of a document with its boxes: zoom, pan, turn.

   Picture and boxes stand in one SVG in the coordinates of the picture, and one transform moves them both. So no box
   is ever computed for the screen. */

const stage = {
  svg: null,
  scene: null,
  row: null,
  width: 1,
  height: 1,
  scale: 1,
  x: 0,
  y: 0,
  turn: 0,
  touched: false,
  draws: 0,
  fingers: new Map(),
};
const served = new Map();

function startStage() {
  stage.svg = byId("stage");
  stage.scene = byId("scene");
  stage.svg.addEventListener("wheel", onWheel, { passive: false });
  stage.svg.addEventListener("pointerdown", onPointerDown);
  stage.svg.addEventListener("pointermove", onPointerMove);
  for (const name of ["pointerup", "pointercancel"]) stage.svg.addEventListener(name, onPointerUp);
  new ResizeObserver(() => stage.touched || stage.svg.hasAttribute("viewBox") || fit()).observe(stage.svg);
}

/** Return the address of a row's picture; its thumbnail where there is no more; null where there is nothing. */
function pictureOf(row) {
  if (row.picture === "embedded" && pictures.has(row.n)) return dataUrl(pictures.get(row.n));
  if (row.picture === "served") return served.get(row.n) || "";
  if (row.picture && row.picture !== "embedded") return row.picture;
  return thumbs.has(row.n) ? dataUrl(thumbs.get(row.n)) : null;
}

function hasPicture(row) {
  return Boolean(row.picture) || thumbs.has(row.n);
}

/** Show the picture and the boxes of a row. Each polygon knows its field, and its field finds it by number. */
async function drawPicture(row) {
  const [width, height] = row.size || extentOf(row);
  const mine = ++stage.draws; // a correction may replace the row while its picture is on its way
  Object.assign(stage, { row, width, height, turn: 0, touched: false });
  stage.svg.classList.toggle("boxless", false);
  const boxes = (row.fields || []).flatMap((field, index) =>
    (field.b || []).map((corners) => boxOf(row, field, index, corners)),
  );
  const sheet = el("rect", { class: "sheet", width, height });
  // Where there is nothing at all, a white sheet would look like a picture of one.
  stage.scene.replaceChildren(...(boxes.length || hasPicture(row) ? [sheet] : []), ...boxes);
  sayPicture(row, "");
  fit();
  const address = row.picture === "served" ? await servedPicture(row) : pictureOf(row);
  if (!address || stage.draws !== mine) return;
  if (!row.size && !boxes.length) await takeSize(address, mine);
  if (stage.draws !== mine) return;
  const image = el("image", {
    width: stage.width,
    height: stage.height,
    preserveAspectRatio: "none",
    href: address,
    "aria-label": say("picture.label", { file: row.file || row.source }),
    role: "img",
  });
  image.addEventListener(
    "error",
    () => stage.draws === mine && sayPicture(row, say("picture.missing", { address: address.slice(0, 200) })),
  );
  sheet.after(image);
}

/** Take the size of the picture itself, where nothing was read that has a place on it. */
async function takeSize(address, draw) {
  const picture = new Image();
  picture.src = address;
  try {
    await picture.decode();
  } catch {
    return; // the page says that it is missing
  }
  if (stage.draws !== draw) return;
  Object.assign(stage, { width: picture.naturalWidth, height: picture.naturalHeight });
  for (const side of ["width", "height"]) stage.scene.firstChild.setAttribute(side, stage[side]);
  if (!stage.touched) fit();
}

/** Where a row has no size of its picture, its boxes span the sheet. */
function extentOf(row) {
  const points = (row.fields || []).flatMap((field) => (field.b || []).flat());
  const most = (from) =>
    points.reduce((found, value, place) => (place % 2 === from ? Math.max(found, value) : found), 0);
  return points.length ? [most(0) * 1.05, most(1) * 1.05] : [600, 800];
}

function reasonWithout(row) {
  if (row.status === "skipped" || row.status === "pending") return "picture.unsent";
  return row.error && run.masked ? "picture.unread" : "picture.none";
}

function sayPicture(row, problem) {
  const nothing = !hasPicture(row);
  const onlyThumb = !row.picture && thumbs.has(row.n);
  const text =
    problem ||
    (nothing
      ? own(row.no_picture) || say(reasonWithout(row))
      : onlyThumb
        ? own(row.no_picture) || say("picture.small")
        : "");
  byId("picture-note").textContent = text;
  byId("picture-note").hidden = !text;
}

function boxOf(row, field, index, corners) {
  const points = [];
  for (let place = 0; place + 1 < corners.length; place += 2) points.push(`${corners[place]},${corners[place + 1]}`);
  const box = el(
    "polygon",
    { points: points.join(" "), "data-field": index, class: `box ${kindOf(row, field)}` },
    el("title", {}, `${labelOf(row, field.p)}: ${field.t}`),
  );
  box.addEventListener("pointerenter", () => lightField(index, true));
  box.addEventListener("pointerleave", () => lightField(index, false));
  return box;
}

/** Return how a field looks, in the list and on the picture. */
function kindOf(row, field) {
  if (field.corrected) return "corrected";
  if (field.confirmed) return "confirmed";
  if (reasonsOf(row, field).length) return "doubtful";
  return field.m ? "masked" : "sure";
}

function boxesOf(index) {
  return stage.scene.querySelectorAll(`[data-field="${index}"]`);
}

function place() {
  stage.scene.setAttribute("transform", `translate(${stage.x} ${stage.y}) scale(${stage.scale}) rotate(${stage.turn})`);
}

/** Return the extent of a part of the picture as the turned picture shows it, at scale one. */
function turned(left, top, right, bottom) {
  const angle = (stage.turn * Math.PI) / 180;
  const [cos, sin] = [Math.round(Math.cos(angle)), Math.round(Math.sin(angle))];
  const corners = [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ].map(([x, y]) => [x * cos - y * sin, x * sin + y * cos]);
  const xs = corners.map(([x]) => x);
  const ys = corners.map(([, y]) => y);
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/** Return the scale at which a part of the picture takes a share of the stage, at most a given one. */
function scaleOf(part, share, most) {
  const { clientWidth: width, clientHeight: height } = stage.svg;
  return Math.min(
    (share * width) / (part.right - part.left || 1),
    (share * height) / (part.bottom - part.top || 1),
    most,
  );
}

/** The scale at which the stage shows the whole picture. */
function wholeScale() {
  return scaleOf(turned(0, 0, stage.width, stage.height), 0.96, 8);
}

/** Centre a part of the picture. */
function showPart(part, scale) {
  const { clientWidth: width, clientHeight: height } = stage.svg;
  if (!width || !height) return;
  stage.scale = scale;
  stage.x = width / 2 - (stage.scale * (part.left + part.right)) / 2;
  stage.y = height / 2 - (stage.scale * (part.top + part.bottom)) / 2;
  place();
}

/** Have the stage show what it shows now at any size, as that of paper. */
function holdStage() {
  stage.svg.setAttribute("viewBox", `0 0 ${stage.svg.clientWidth || 1} ${stage.svg.clientHeight || 1}`);
}

function releaseStage() {
  stage.svg.removeAttribute("viewBox");
}

function fit() {
  stage.touched = false;
  showPart(turned(0, 0, stage.width, stage.height), wholeScale());
}

function rotate() {
  stage.turn = (stage.turn + 90) % 360;
  fit();
}

/** Zoom so that the point of the picture at a place of the stage stays there. */
function zoomAt(x, y, factor) {
  const scale = Math.min(60, Math.max(0.01, stage.scale * factor));
  stage.x = x - ((x - stage.x) * scale) / stage.scale;
  stage.y = y - ((y - stage.y) * scale) / stage.scale;
  stage.scale = scale;
  stage.touched = true;
  place();
}

function zoomBy(factor) {
  zoomAt(stage.svg.clientWidth / 2, stage.svg.clientHeight / 2, factor);
}

/** Centre the boxes of a field, and zoom to where its text can be read with what stands around it; never away. */
function zoomToField(index) {
  const extent = extentOfField(stage.row?.fields?.[index]);
  if (!extent) return;
  const part = turned(...extent);
  showPart(part, Math.max(scaleOf(part, 0.4, 3), wholeScale()));
  stage.touched = true;
}

/** Return left, top, right and bottom of a field's boxes; null where it has none. */
function extentOfField(field) {
  const points = (field?.b || []).flat();
  if (points.length < 4) return null;
  const xs = points.filter((_, place) => place % 2 === 0);
  const ys = points.filter((_, place) => place % 2 === 1);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function toggleBoxes() {
  const off = stage.svg.classList.toggle("boxless");
  byId("boxes-button").setAttribute("aria-pressed", String(!off));
}

function placeIn(event) {
  const frame = stage.svg.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
}

function onWheel(event) {
  event.preventDefault();
  // A wheel that counts lines moves by fewer, larger steps than one that counts pixels.
  const step = event.deltaY * (event.deltaMode ? 20 : 1);
  zoomAt(...placeIn(event), Math.exp(-step * 0.0016));
}

/** One finger or the mouse drags, two fingers zoom; a press that does not move chooses the box below it. */
function onPointerDown(event) {
  if (event.button > 0) return;
  stage.fingers.set(event.pointerId, placeIn(event));
  stage.pressed = event.target.closest?.("[data-field]")?.dataset.field ?? null;
  stage.moved = 0;
  stage.svg.setPointerCapture(event.pointerId);
}

function onPointerMove(event) {
  const before = stage.fingers.get(event.pointerId);
  if (!before) return;
  const now = placeIn(event);
  const others = [...stage.fingers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
  stage.fingers.set(event.pointerId, now);
  stage.moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
  if (stage.moved < 4) return;
  if (others.length) {
    const apart = (where) => Math.hypot(where[0] - others[0][0], where[1] - others[0][1]);
    zoomAt((now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2, apart(now) / (apart(before) || 1));
    return;
  }
  stage.x += now[0] - before[0];
  stage.y += now[1] - before[1];
  stage.touched = true;
  place();
}

function onPointerUp(event) {
  stage.fingers.delete(event.pointerId);
  if (event.type === "pointerup" && stage.moved < 4 && stage.pressed !== null) go({ field: Number(stage.pressed) });
  stage.pressed = null;
}
