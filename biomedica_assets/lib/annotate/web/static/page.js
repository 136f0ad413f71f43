// The annotation page: shows one item, reads the form, moves on. Saving is ledger.js, choosing concepts typeahead.js.

import { ConceptCard } from "/static/concept.js";
import { Ledger, Unreachable, newId } from "/static/ledger.js";
import { Typeahead } from "/static/typeahead.js";
import { Zoom } from "/static/zoom.js";

const $ = (id) => document.getElementById(id);
const page = $("page");
const ledger = new Ledger(page.dataset.annotator, page.dataset.csrf);
const combos = {};
let vocabulary;
let mode = new URLSearchParams(location.search).get("mode") || "label";
let item = null;
let began = 0;
let current = -1;
let busy = false;
let cameFrom = null; // mode and id from which an image was picked to be labelled alone
const zoomed = new Zoom($("zoom-stage"), $("zoom-image"), $("zoom-level"));
const card = new ConceptCard($("concept"), (path) => ledger.get(path), () => item?.id);

function status(text, kind = "") {
  $("status").textContent = text;
  $("status").className = `status ${kind}`;
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// ---- the form

function radios(question, keys) {
  const box = $(question).querySelector(".choices");
  box.replaceChildren(...vocabulary.questions[question].map((concept, i) => {
    const label = element("label");
    const input = element("input", "", { type: "radio", name: question, value: concept.id });
    input.addEventListener("change", changed);
    label.append(input, concept.label.replace("several panels: ", ""), element("kbd", keys[i]));
    return label;
  }));
}

function pick(question, id) {
  for (const input of $(question).querySelectorAll("input")) input.checked = input.value === id;
}

function picked(question) {
  return $(question).querySelector("input:checked")?.value || null;
}

function read() {
  const cantTell = $("cant_tell").checked;
  return {
    panel_type: cantTell ? null : picked("panel_type"),
    panel_subtype: cantTell || picked("panel_type") !== "panel-multiple" ? null : picked("panel_subtype"),
    global: cantTell ? null : [...combos.global.chosen],
    local: cantTell ? null : [...combos.local.chosen],
    content: cantTell ? null : [...combos.content.chosen],
    mixed: $("mixed").checked,
    cant_tell: cantTell,
    comment: $("comment").value.trim() || null,
  };
}

function fill(answer) {
  pick("panel_type", answer?.panel_type);
  pick("panel_subtype", answer?.panel_subtype);
  for (const question of ["global", "local", "content"]) combos[question].set(answer?.[question] || []);
  $("mixed").checked = Boolean(answer?.mixed);
  $("cant_tell").checked = Boolean(answer?.cant_tell);
  $("comment").value = answer?.comment || "";
  $("panel_subtype").hidden = picked("panel_type") !== "panel-multiple";
}

function changed() {
  $("panel_subtype").hidden = picked("panel_type") !== "panel-multiple";
  if (item?.id != null) ledger.saveDraft(draftKey(), read());
}

// A local concept brings its global one along, a removed global one takes its local ones with it.
function localChanged(id) {
  const top = id && combos.local.byId.get(id).top;
  if (top && !combos.global.chosen.includes(top)) combos.global.set([...combos.global.chosen, top]);
  changed();
}

function globalChanged() {
  combos.local.set(combos.local.chosen.filter((id) => combos.global.chosen.includes(combos.local.byId.get(id).top)));
  changed();
}

const draftKey = () => `${item.model}:${mode}:${item.id}`;

// ---- showing an item

async function open(wanted = {}) {
  if (mode !== "override") cameFrom = null;
  const query = new URLSearchParams({ mode, ...(cameFrom ? { from: cameFrom.mode } : {}), ...wanted });
  item = await ledger.get(`/api/item?${query}`);
  began = performance.now();
  for (const button of document.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  if ($("disputes")) $("disputes").textContent = item.disputes ? `(${item.disputes})` : "";
  const { done, total } = item.progress;
  $("progress").max = Math.max(total, 1);
  const work = cameFrom?.mode ?? mode;
  $("progress").value = work === "adjudicate" ? (total ? 0 : 1) : done;
  $("back").hidden = !cameFrom;
  for (const id of ["previous", "next"]) $(id).hidden = Boolean(cameFrom);
  $("progress-text").textContent = work === "adjudicate" ? `${total} to settle, ${done} settled by you` : `${done} of ${total} done${item.settled ? `, ${item.settled} settled without you` : ""}`;
  const address = item.id == null ? `/?mode=${mode}` : `/?${new URLSearchParams({ mode, id: item.id })}`;
  history.replaceState(null, "", address);
  show();
}

function title() {
  if (item.id == null) {
    if (mode === "adjudicate") return item.own_disputes ? `Nothing waits for your adjudication; ${item.own_disputes} that you voted on wait for somebody else.` : "Nothing waits for adjudication.";
    return item.progress.total ? "All done. Thank you." : "There is nothing to do in this mode.";
  }
  if (typeof item.id === "string") return mode === "audit" ? "What is this image?" : `Image ${item.id}, on its own`;
  const shown = item.pictures.length;
  return `Cluster ${item.id} · ${shown} of ${item.size.toLocaleString("en")} images`;
}

function show() {
  $("item-title").textContent = title();
  $("form").toggleAttribute("inert", item.id == null);
  $("tiles").classList.toggle("single", typeof item.id === "string");
  $("mixed").parentElement.hidden = typeof item.id === "string"; // one image cannot be mixed
  $("tiles").replaceChildren(...item.pictures.map(tile));
  $("caption").textContent = "";
  link("article", null);
  current = -1;
  const draft = item.id == null ? null : ledger.draft(draftKey());
  fill(draft || item.answer);
  showVotes();
  showSources();
  if (typeof item.id === "string") caption(0);
  $("item-title").focus({ preventScroll: true });
}

function tile(picture, i) {
  const button = element("button", "", { type: "button", class: `tile ${picture.role}`, tabindex: "-1" });
  const alone = typeof item.id === "string";
  const source = `/image/${picture.id}${alone ? "" : "?size=thumb"}`;
  if (picture.there) button.append(element("img", "", { src: source, alt: `image ${i + 1}`, loading: "lazy" }));
  if (!picture.there || !alone) button.append(element("span", picture.there ? picture.role : "file missing"));
  button.addEventListener("pointerenter", () => caption(i));
  button.addEventListener("focus", () => caption(i));
  button.addEventListener("click", () => zoom(i));
  return button;
}

function caption(i) {
  const picture = item.pictures[i];
  $("caption").textContent = picture ? picture.caption || "This figure has no caption." : "";
  link("article", picture);
}

function link(id, picture) {
  $(id).hidden = !picture?.link;
  if (!picture?.link) return;
  $(id).href = picture.link;
  $(id).textContent = picture.article;
}

function walk(step) {
  if (!item.pictures.length) return;
  current = Math.max(0, Math.min(item.pictures.length - 1, current < 0 ? 0 : current + step));
  [...$("tiles").children].forEach((tile_, i) => tile_.setAttribute("aria-current", String(i === current)));
  $("tiles").children[current].scrollIntoView({ block: "nearest" });
  caption(current);
  if ($("zoom").open) zoom(current);
}

function columns() {
  const tiles = [...$("tiles").children];
  const below = tiles.findIndex((tile_) => tile_.offsetTop > tiles[0].offsetTop);
  return below < 0 ? tiles.length : below;
}

function zoom(i) {
  const picture = item.pictures[i];
  if (!picture) return;
  current = i;
  zoomed.show(picture.there ? `/image/${picture.id}` : "", `image ${i + 1}`);
  link("zoom-article", picture);
  $("zoom-role").textContent = typeof item.id === "string" ? "" : `${picture.role}, ${i + 1} of ${item.pictures.length}`;
  $("zoom-caption").textContent = picture.caption || "This figure has no caption.";
  if (!$("zoom").open) $("zoom").showModal();
}

function showSources() {
  const said = item.sources ?? [];
  $("sources").hidden = !said.length;
  $("sources").open = false; // whoever wants to judge for themselves does not see it
  $("sources").querySelector("ul").replaceChildren(...said.map((one) => {
    const line = document.createElement("li");
    line.textContent = `${one.source}: ${one.concept}, ${Math.round(100 * one.share)} % of the images`;
    return line;
  }));
  $("gain").hidden = !item.gain;
  $("gain").textContent = item.gain ?? "";
}

function showVotes() {
  const votes = item.votes || [];
  $("votes").hidden = !votes.length;
  const heading = element("h2", `Open: ${(item.open || []).join(", ").replaceAll("_", " ") || "nothing"}`);
  $("votes").replaceChildren(heading, ...votes.map((vote, i) => {
    const said = vote.answer.cant_tell ? "can't tell" : Object.values(vote.labels).flat().join(", ");
    const text = `${vote.annotator}${vote.source === "human" ? "" : ` (${vote.source})`}: ${said}${vote.answer.mixed ? ", mixed" : ""}`;
    const button = element("button", text, { type: "button" });
    button.append(" ", element("kbd", `Alt ${i + 1}`));
    button.addEventListener("click", () => adopt(i));
    return button;
  }));
}

function adopt(i) {
  const vote = (item.votes || [])[i];
  if (!vote) return;
  fill({ ...vote.answer, comment: null });
  changed();
}

// ---- saving

async function guarded(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (error) {
    const kept = error instanceof Unreachable && ledger.waiting().length;
    status(kept ? `${error.message} Your vote is kept in this browser and will be sent again.` : error.message, "bad");
  } finally {
    busy = false;
  }
}

function save() {
  return guarded(async () => {
    if (item?.id == null) return;
    const vote = { vote_id: newId(), mode, id: item.id, answer: read(), seconds: Math.round((performance.now() - began) / 100) / 10 };
    const key = draftKey();
    status("Saving …");
    const saved = await ledger.send(vote);
    ledger.saveDraft(key, null);
    if (mode === "override") {
      await back();
      status("Saved. This image now keeps its own labels.", "good");
      return;
    }
    await open(mode === "adjudicate" ? {} : { skip: vote.id });
    status(saved.replaced ? "Saved; it replaces your earlier answer." : "Saved.", "good");
  });
}

// From an image that was labelled alone to the item it was picked from, whose unsaved answer was kept.
async function back() {
  if (!cameFrom) return;
  const to = cameFrom;
  mode = to.mode;
  await open({ id: to.id });
}

function undo() {
  return guarded(async () => {
    const undone = await ledger.post("/api/undo", { vote_id: newId() });
    if (!undone.undone) return status("There is nothing to undo.", "bad");
    mode = undone.mode;
    await open({ id: undone.id });
    fill(undone.answer);
    changed();
    return status("Taken back: change it and save again.", "good");
  });
}

function go(id) {
  if (id != null) guarded(() => open({ id }));
}

// ---- keys and buttons

const plain = {
  s: () => { pick("panel_type", "panel-single"); changed(); },
  m: () => { pick("panel_type", "panel-multiple"); changed(); },
  g: () => combos.global.input.focus(),
  l: () => combos.local.input.focus(),
  b: () => combos.content.input.focus(),
  n: () => $("comment").focus(),
  x: () => { if (typeof item?.id !== "string") $("mixed").click(); },
  t: () => { $("cant_tell").click(); },
  u: undo,
  z: () => zoom(Math.max(current, 0)),
  "[": () => go(item?.previous),
  "]": () => (item?.next != null ? go(item.next) : guarded(() => open(item?.id != null ? { skip: item.id } : {}))),
  "?": () => $("help").showModal(),
  Enter: save,
  ArrowRight: () => walk(1),
  ArrowLeft: () => walk(-1),
  ArrowDown: () => walk(columns()),
  ArrowUp: () => walk(-columns()),
};

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if ($("help").open) return;
  if ($("zoom").open) {
    const act = { ArrowRight: () => walk(1), ArrowLeft: () => walk(-1), o: override, z: () => $("zoom").close() }[event.key];
    if (act) { event.preventDefault(); act(); } else if (!event.ctrlKey && !event.metaKey && zoomed.key(event.key)) event.preventDefault();
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    save();
    return;
  }
  if (event.altKey && /^[1-9]$/.test(event.key)) {
    event.preventDefault();
    adopt(Number(event.key) - 1);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = target.matches("textarea, input:not([type=radio]):not([type=checkbox])");
  if (writing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (target.matches("button, a") && (event.key === "Enter" || event.key === " ")) return;
  if (target.matches("input[type=radio]") && event.key.startsWith("Arrow")) return;
  if (/^[1-9]$/.test(event.key) && picked("panel_type") === "panel-multiple") {
    const concept = vocabulary.questions.panel_subtype[Number(event.key) - 1];
    if (concept) { event.preventDefault(); pick("panel_subtype", concept.id); changed(); }
    return;
  }
  if (plain[event.key]) {
    event.preventDefault();
    plain[event.key]();
  }
});

function override() {
  const picture = item.pictures[current];
  $("zoom").close();
  if (mode !== "override") cameFrom = { mode, id: item.id };
  mode = "override";
  guarded(() => open({ id: picture.id }));
}

async function start() {
  vocabulary = await ledger.get("/api/vocabulary");
  radios("panel_type", ["s", "m"]);
  radios("panel_subtype", ["1", "2", "3", "4", "5", "6"]);
  for (const root of document.querySelectorAll(".combo")) {
    const question = root.dataset.question;
    const react = { local: localChanged, global: globalChanged, content: changed }[question];
    combos[question] = new Typeahead(root, vocabulary.questions[question], react);
    combos[question].looked = (id) => card.show(id);
  }
  combos.local.first = () => combos.global.chosen;
  for (const id of ["mixed", "cant_tell", "comment"]) $(id).addEventListener("input", changed);
  $("form").addEventListener("submit", (event) => { event.preventDefault(); save(); });
  $("undo").addEventListener("click", undo);
  $("back").addEventListener("click", () => guarded(back));
  $("previous").addEventListener("click", plain["["]);
  $("next").addEventListener("click", plain["]"]);
  $("override").addEventListener("click", override);
  $("zoom-close").addEventListener("click", () => $("zoom").close());
  $("help-close").addEventListener("click", () => $("help").close());
  $("help-button").addEventListener("click", plain["?"]);
  $("logout").addEventListener("click", () => guarded(async () => { await ledger.post("/api/logout", {}); location.assign("/login"); }));
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.addEventListener("click", () => { mode = button.dataset.mode; guarded(() => open()); });
  }
  window.addEventListener("online", () => guarded(resend));
  setInterval(() => { if (ledger.waiting().length) guarded(resend); }, 5000);
  await guarded(async () => {
    const sent = await ledger.sendWaiting();
    const id = new URLSearchParams(location.search).get("id");
    await open(id == null ? {} : { id });
    if (sent) status(`${sent} vote${sent > 1 ? "s" : ""} that had been waiting ${sent > 1 ? "are" : "is"} now saved.`, "good");
  });
}

async function resend() {
  const sent = await ledger.sendWaiting();
  if (sent) { await open(); status("The waiting votes are now saved.", "good"); }
}

start().catch((error) => status(error.message, "bad"));
