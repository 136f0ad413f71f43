// The map: points come for the part in view, at most as many as a frame can draw; what is drawn round is counted and
// taken by the server, among all images.
import { $, ask, figures, number, problem } from "/static/common.js";
import { taking } from "/static/take.js";

const MOST_CORNERS = 60;
const NEAR = 9; // pixels
// Okabe and Ito's colours, which people tell apart who see few; grey is everything else.
const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b0467f", "#8a6d00", "#3a9bd6", "#5b3fa0", "#7a1f1f", "#8a94a3"];
const DARK = ["#5fb3f0", "#ff8c42", "#2fd6a3", "#f0a3cf", "#f0e442", "#9fd8ff", "#b9a3ff", "#ff9e9e", "#77818f"];

const main = $("main");
const canvas = $("plane");
const pen = canvas.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
const query = new URLSearchParams(location.search);
const begin = () => ({ x: 0, y: 0, half: 1.03 });
let area = (query.get("area") ?? "").split(" ").filter(Boolean).map((corner) => corner.split(",").map(Number));
const place = main.dataset.x ? { x: Number(main.dataset.x), y: Number(main.dataset.y) } : null;
for (const name of ["at", "area"]) query.delete(name);
let by = query.get("by") ?? "concept";
query.delete("by");
let view = place ? { ...place, half: 0.15 } : begin();
let points = { x: [], y: [], color: [], order: [] };
let path = null; // what is being drawn round, in pixels
let hovered = null;
let asked = null;
let ratio = 1;
let picture = null;

// Between the map and pixels

const scale = () => Math.min(canvas.clientWidth, canvas.clientHeight) / 2 / view.half;
const toX = (x) => canvas.clientWidth / 2 + (x - view.x) * scale();
const toY = (y) => canvas.clientHeight / 2 - (y - view.y) * scale();
const ofX = (left) => view.x + (left - canvas.clientWidth / 2) / scale();
const ofY = (top) => view.y - (top - canvas.clientHeight / 2) / scale();
const edges = () => [ofX(0), ofY(canvas.clientHeight), ofX(canvas.clientWidth), ofY(0)].map((n) => n.toFixed(7));

// Drawing

let pending = false;
const draw = () => {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; paint(); });
};

const ring = (x, y, color) => {
  pen.lineWidth = 2.5;
  pen.strokeStyle = color;
  pen.beginPath();
  pen.arc(toX(x), toY(y), 9, 0, 7);
  pen.stroke();
};

// Pixels are set by hand. Without a graphics card, on two busy cores, 20 000 rectangles of a canvas came 10 to 15 times a
// second, these 40 to 46 times.
const dots = (wide) => {
  const { width, height } = canvas;
  if (picture?.width !== width || picture?.height !== height) picture = pen.createImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  pixels.fill(0);
  const colors = (dark.matches ? DARK : LIGHT).map((color) => {
    const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  });
  const side = Math.max(1, Math.round(wide * ratio));
  const [k, left, top] = [scale() * ratio, toX(0) * ratio - side / 2, toY(0) * ratio - side / 2];
  for (const i of points.order) {
    const x = Math.round(left + points.x[i] * k);
    const y = Math.round(top - points.y[i] * k);
    if (x < 0 || y < 0 || x + side > width || y + side > height) continue;
    const color = colors[points.color[i]];
    for (let row = y; row < y + side; row += 1) {
      for (let at = row * width + x, end = at + side; at < end; at += 1) pixels[at] = color;
    }
  }
  pen.putImageData(picture, 0, 0);
};

const paint = () => {
  const began = performance.now();
  const style = getComputedStyle(canvas);
  const n = points.x.length;
  dots(n > 8000 ? 2.5 : n > 1500 ? 4 : 6);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const strong = style.getPropertyValue("--strong");
  const corners = path ?? area.map(([x, y]) => [toX(x), toY(y)]);
  if (corners.length > 1) {
    pen.beginPath();
    corners.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.lineWidth = 2;
    pen.strokeStyle = strong;
    pen.stroke();
    pen.globalAlpha = 0.12;
    pen.fillStyle = strong;
    pen.fill();
    pen.globalAlpha = 1;
  }
  if (place) ring(place.x, place.y, strong);
  if (hovered) ring(hovered.x, hovered.y, style.getPropertyValue("--ink"));
  canvas.dataset.painted = (performance.now() - began).toFixed(1);
  canvas.dataset.points = n;
};

// What is in view

const load = async () => {
  asked?.abort();
  asked = new AbortController();
  const given = edges();
  try {
    const found = await ask(`/api/map?${query}&by=${by}&view=${given}`, { signal: asked.signal });
    const [left, bottom, right, top] = given.map(Number);
    const steps = 65535;
    const color = found.color.map((one) => (one === found.values.length ? LIGHT.length - 1 : one));
    points = {
      x: Float32Array.from(found.x, (x) => left + (x / steps) * (right - left)),
      y: Float32Array.from(found.y, (y) => bottom + (y / steps) * (top - bottom)),
      color,
      order: Uint32Array.from(color.keys()).sort((a, b) => color[b] - color[a]), // what has no colour of its own lies below
    };
    $("total").textContent = `${figures(found.total)} in view${found.x.length < found.total ? `, ${number.format(found.x.length)} drawn` : ""}`;
    $("total").dataset.total = found.total;
    $("legend").replaceChildren(...[...found.labels, "other"].map((label, i, all) => {
      const item = document.createElement("li");
      const swatch = document.createElement("span");
      swatch.style.background = (dark.matches ? DARK : LIGHT)[i === all.length - 1 ? LIGHT.length - 1 : i];
      item.append(swatch, label);
      return item;
    }));
    problem("");
    draw();
  } catch (error) {
    if (error.name !== "AbortError") { problem(error.message); $("total").textContent = "Nothing found"; }
  }
};

let soon = 0;
const moved = () => {
  hovered = null;
  $("card").hidden = true;
  draw();
  clearTimeout(soon);
  soon = setTimeout(load, 120);
};

const zoom = (factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
  const [wx, wy] = [ofX(x), ofY(y)];
  view.half = Math.min(2, Math.max(0.0005, view.half * factor));
  view.x += wx - ofX(x);
  view.y += wy - ofY(y);
  moved();
};

const shift = (dx, dy) => {
  view.x = Math.min(1, Math.max(-1, view.x - dx / scale()));
  view.y = Math.min(1, Math.max(-1, view.y + dy / scale()));
  moved();
};

// What is chosen

const corners = () => area.map(([x, y]) => `${x.toFixed(5)},${y.toFixed(5)}`).join(" ");
const selection = () => {
  const choice = new URLSearchParams(query);
  if (area.length) choice.set("area", corners());
  return choice;
};
const links = taking(main.dataset.csrf, selection);

const chosen = async (given) => {
  area = given;
  draw();
  const choice = selection();
  history.replaceState(null, "", `/map?${choice}`);
  $("selected").hidden = !area.length;
  $("status").textContent = "";
  if (!area.length) return;
  $("what").textContent = "All in the area";
  $("as-grid").href = `/?${choice}`;
  links();
  $("count").textContent = "Counting …";
  try {
    const found = await ask(`/api/total?${choice}`);
    $("count").textContent = `${figures(found.total)} in the area`;
  } catch (error) {
    problem(error.message);
  }
};

const drawnRound = () => {
  const step = Math.max(1, Math.ceil(path.length / MOST_CORNERS));
  const kept = path.filter((_, i) => i % step === 0).map(([x, y]) => [ofX(x), ofY(y)]);
  path = null;
  if (kept.length > 2) chosen(kept); else draw();
};

const takeView = () => {
  const [left, bottom, right, top] = edges().map(Number);
  chosen([[left, bottom], [right, bottom], [right, top], [left, top]]);
};

// The picture under the pointer

const nearest = (x, y) => {
  let [best, least] = [null, NEAR ** 2];
  const [k, left, top] = [scale(), toX(0), toY(0)];
  for (let i = 0; i < points.x.length; i += 1) {
    const away = (left + points.x[i] * k - x) ** 2 + (top - points.y[i] * k - y) ** 2;
    if (away < least) [best, least] = [i, away];
  }
  return best === null ? null : { x: points.x[best], y: points.y[best] };
};

const told = async (point, within = NEAR / scale()) => {
  const found = await ask(`/api/map/at?${query}&x=${point.x.toFixed(7)}&y=${point.y.toFixed(7)}&within=${within.toFixed(7)}`);
  return found.found;
};

const show = (found, x, y) => {
  $("card-link").href = `/figure/${found.media_id}`;
  $("card-image").src = `/image/${found.media_id}?size=thumb`;
  $("card-words").textContent = found.caption?.replace(/\s+/g, " ").trim() || "No caption";
  $("card-credit").textContent = [found.license_code, found.year, found.journal].filter(Boolean).join(" · ");
  $("card").style.left = `${Math.max(0, Math.min(x + 14, canvas.clientWidth - 236))}px`;
  $("card").style.top = `${Math.max(0, Math.min(y + 14, canvas.clientHeight - 250))}px`;
  $("card").hidden = false;
};

let waiting = 0;
const hover = (x, y) => {
  const point = nearest(x, y);
  canvas.classList.toggle("over", point !== null);
  if (point?.x === hovered?.x && point?.y === hovered?.y) return;
  hovered = point;
  draw();
  clearTimeout(waiting);
  if (!point) { $("card").hidden = true; return; }
  waiting = setTimeout(async () => {
    try {
      const found = await told(point);
      if (found && hovered === point) show(found, x, y);
    } catch (error) {
      problem(error.message);
    }
  }, 120);
};

const open = async (point, within) => {
  try {
    const found = await told(point, within);
    if (found) location.assign(`/figure/${found.media_id}`);
  } catch (error) {
    problem(error.message);
  }
};

// Hands

const hands = new Map();
let dragged = 0;
const spot = (event) => [event.offsetX, event.offsetY];

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  hands.set(event.pointerId, spot(event));
  dragged = 0;
  if (hands.size === 1 && (event.shiftKey || $("lasso").ariaPressed === "true")) path = [spot(event)];
  if (hands.size === 2) path = null;
});
canvas.addEventListener("pointermove", (event) => {
  const before = hands.get(event.pointerId);
  const now = spot(event);
  if (!before) { if (event.pointerType !== "touch") hover(...now); return; }
  const by = Math.hypot(now[0] - before[0], now[1] - before[1]);
  dragged += by;
  if (hands.size === 2) {
    const [other] = [...hands].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
    zoom(apart(before) / Math.max(1, apart(now)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else if (path) {
    if (by < 3) return;
    path.push(now);
    draw();
  } else if (dragged > 3) {
    shift(now[0] - before[0], now[1] - before[1]);
  }
  hands.set(event.pointerId, now);
});
const up = async (event) => {
  if (!hands.delete(event.pointerId)) return;
  if (path) { drawnRound(); return; }
  if (event.type === "pointercancel" || dragged > 3 || hands.size) return;
  const [x, y] = spot(event);
  const point = nearest(x, y);
  if (!point) { $("card").hidden = true; return; }
  if (event.pointerType !== "touch") { open(point); return; }
  hovered = point; // a finger covers what it touches: the card is what is opened
  draw();
  const found = await told(point).catch((error) => problem(error.message));
  if (found) show(found, x, y);
};
canvas.addEventListener("pointerup", up);
canvas.addEventListener("pointercancel", up);
canvas.addEventListener("pointerleave", (event) => { if (event.pointerType !== "touch" && event.relatedTarget?.closest?.("#card") == null) { hovered = null; $("card").hidden = true; draw(); } });
canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) / 400), ...spot(event)); }, { passive: false });
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  if (arrow) shift(...arrow);
  else if (event.key === "+" || event.key === "=") zoom(0.7);
  else if (event.key === "-") zoom(1 / 0.7);
  else if (event.key === "0") { view = begin(); moved(); }
  else if (event.key === "v") takeView();
  else if (event.key === "Enter") open({ x: view.x, y: view.y }, view.half);
  else return;
  event.preventDefault();
});

$("in").addEventListener("click", () => zoom(0.7));
$("out").addEventListener("click", () => zoom(1 / 0.7));
$("fit").addEventListener("click", () => { view = begin(); moved(); });
$("view").addEventListener("click", takeView);
$("forget").addEventListener("click", () => chosen([]));
$("lasso").addEventListener("click", () => { $("lasso").ariaPressed = $("lasso").ariaPressed === "true" ? "false" : "true"; });
$("by").value = by;
$("by").addEventListener("change", () => { by = $("by").value; load(); });
dark.addEventListener("change", load);

const resize = () => {
  ratio = devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  moved();
};
new ResizeObserver(resize).observe(canvas);
if (area.length) chosen(area);
