// The grid: what is chosen stands in the address, so that every view can be linked to and the back button works.
// Pages come by key as they are scrolled to; pages far away give their tiles back and keep their height.

import { $, ask, figures, make, number, problem } from "/static/common.js";
import { taking } from "/static/take.js";

const PAGE = 60;
const TILE = 246;
const FACETS = { license: "Licence", year: "Year", concept: "Concept", mesh: "MeSH heading", panel: "Panels", copies: "Same picture elsewhere", journal: "Journal", recipe: "Recipe and split" };
const NAMED = { journal: "Journals", mesh: "Headings" }; // too many values to list: found by their letters
const csrf = $("page").dataset.csrf;
let chosen = new URLSearchParams(location.search);
let ticked = new Set();
let round = 0; // answers to an earlier choice are thrown away
let pages = [];
let columns = 5;

// What was chosen

const choose = (change, push = true) => {
  change(chosen);
  if (push) history.pushState(null, "", chosen.size ? `/?${chosen}` : "/");
  ticked = new Set();
  show();
};

const toggle = (name, value, on) => choose((choice) => (on ? choice.append(name, value) : choice.delete(name, value)));

const chip = (words, remove) => {
  const button = make("button", { textContent: `${words} ×` });
  button.setAttribute("aria-label", `Take away: ${words}`);
  button.addEventListener("click", () => choose(remove));
  return make("li", {}, button);
};

const showChips = (labels) => {
  const chips = [];
  const one = (name, words) => chosen.has(name) && chips.push(chip(words(chosen.get(name)), (choice) => choice.delete(name)));
  one("q", (value) => `“${value}”`);
  one("looks", (value) => `shows “${value}”`);
  one("like", (value) => `like ${value}`);
  one("picture", () => "like your picture");
  one("cluster", (value) => `cluster ${value}`);
  one("pmcids", (value) => `PMCIDs ${value}`);
  one("area", () => "an area of the map");
  one("from", (value) => `since ${value}`);
  one("to", (value) => `until ${value}`);
  one("confidence", (value) => `confidence at least ${value}`);
  for (const name of Object.keys(FACETS)) {
    if (name === "year") continue;
    for (const value of chosen.getAll(name)) chips.push(chip(labels.get(value) ?? value, (choice) => choice.delete(name, value)));
  }
  if (chips.length > 1) {
    const all = make("button", { textContent: "Take all away" });
    all.addEventListener("click", () => choose((choice) => { for (const name of [...choice.keys()]) choice.delete(name); }));
    chips.push(make("li", {}, all));
  }
  $("chips").replaceChildren(...chips);
};

// Facets

const values = (name, rows) => rows.map((row) => {
  const value = String(row.value);
  const box = make("input", { type: "checkbox", checked: chosen.getAll(name).includes(value) });
  box.dataset.key = `${name}=${value}`;
  box.addEventListener("change", () => toggle(name, value, box.checked));
  return make("label", { className: "value" }, box, make("span", { textContent: row.label ?? value }), make("span", { textContent: number.format(row.n) }));
});

const years = (rows) => {
  const field = (name, words) => {
    const input = make("input", { type: "number", value: chosen.get(name) ?? "", min: 1800, max: 2100, placeholder: words });
    input.dataset.key = name;
    input.setAttribute("aria-label", name === "from" ? "First year" : "Last year");
    input.addEventListener("change", () => choose((choice) => (input.value ? choice.set(name, input.value) : choice.delete(name))));
    return input;
  };
  const known = rows.map((row) => row.value);
  const boxes = rows.map((row) => {
    const only = make("button", { textContent: String(row.value) });
    only.setAttribute("aria-label", `Only ${row.value}`);
    only.dataset.key = `year=${row.value}`;
    only.addEventListener("click", () => choose((choice) => { choice.set("from", row.value); choice.set("to", row.value); }));
    return make("div", { className: "value year pair" }, only, make("span", { textContent: number.format(row.n) }));
  });
  return [make("div", { className: "pair" }, field("from", String(Math.min(...known, 9999) === 9999 ? "" : Math.min(...known))), "to", field("to", String(known.length ? Math.max(...known) : ""))),
    make("div", { className: "values" }, ...boxes)];
};

const confidence = () => {
  const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: chosen.get("confidence") ?? 0 });
  slider.dataset.key = "confidence";
  slider.setAttribute("aria-label", "Least confidence of a concept");
  const said = make("output", { textContent: `≥ ${slider.value}` });
  slider.addEventListener("input", () => { said.textContent = `≥ ${slider.value}`; });
  slider.addEventListener("change", () => choose((choice) => (Number(slider.value) ? choice.set("confidence", slider.value) : choice.delete("confidence"))));
  return make("div", { className: "pair" }, slider, said);
};

const letters = (name, list) => {
  const input = make("input", { type: "search", placeholder: `${NAMED[name]} with …`, maxLength: 80 });
  input.dataset.key = `part=${name}`;
  input.setAttribute("aria-label", `${NAMED[name]} with these letters`);
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    const mine = round;
    waiting = setTimeout(async () => {
      try {
        const found = await ask(`/api/values?${chosen}&facet=${name}&part=${encodeURIComponent(input.value)}`);
        if (mine === round) list.replaceChildren(...(found.values.length ? values(name, found.values) : [make("span", { className: "quiet", textContent: "nothing" })]));
      } catch (error) {
        problem(error.message);
      }
    }, 200);
  });
  return input;
};

const showFacets = (facets) => {
  const focused = document.activeElement?.dataset?.key;
  const scrolled = new Map([...document.querySelectorAll("#facet-lists .values")].map((list) => [list.parentElement.dataset.facet, list.scrollTop]));
  const lists = Object.entries(FACETS).map(([name, title]) => {
    const rows = facets[name];
    const missing = name === "year" ? [] : chosen.getAll(name).filter((value) => !rows.some((row) => String(row.value) === value)).map((value) => ({ value, n: 0 }));
    const list = make("div", { className: "values" });
    if (name !== "year") list.append(...values(name, [...missing, ...rows]));
    const inside = name === "year" ? years(rows) : [list];
    if (name in NAMED && rows.length > 8) inside.unshift(letters(name, list));
    if (name === "concept") inside.unshift(confidence());
    const set = make("fieldset", {}, make("legend", { textContent: title }), ...inside);
    set.dataset.facet = name;
    if (!rows.length && !missing.length && name !== "year") set.append(make("span", { className: "quiet", textContent: "nothing" }));
    return set;
  });
  $("facet-lists").replaceChildren(...lists);
  for (const list of document.querySelectorAll("#facet-lists .values")) {
    list.scrollTop = scrolled.get(list.parentElement.dataset.facet) ?? 0;
    if (list.scrollHeight > list.clientHeight && !list.querySelector("input, button")) list.tabIndex = 0;
  }
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
};

const count = async (mine) => {
  const found = await ask(`/api/counts?${chosen}`);
  if (mine !== round) return;
  const labels = new Map(Object.values(found.facets).flat().map((row) => [String(row.value), row.label ?? String(row.value)]));
  $("total").textContent = `${figures(found.total)}${found.best && found.total >= found.best ? ` (the best ${number.format(found.best)})` : ""}`;
  $("total").dataset.total = found.total;
  showChips(labels);
  showFacets(found.facets);
  if (found.notes.length) problem(found.notes.join(" "));
};

// The grid

const tile = (item, at) => {
  const image = make("img", { src: `/image/${item.media_id}?size=thumb`, alt: "", loading: "lazy", decoding: "async" });
  const caption = item.caption?.replace(/\s+/g, " ").trim() || "No caption";
  const link = make("a", { href: `/figure/${item.media_id}` }, image,
    make("span", { className: "words", textContent: caption }),
    make("span", { className: "credit", textContent: [item.license_code, item.year, item.journal].filter(Boolean).join(" · ") }));
  link.dataset.at = at;
  link.dataset.id = item.media_id;
  const box = make("input", { type: "checkbox", checked: ticked.has(item.media_id) });
  box.setAttribute("aria-label", `Tick: ${caption.slice(0, 60)}`);
  const made = make("div", { className: "tile" }, link, box);
  made.setAttribute("role", "listitem");
  made.classList.toggle("ticked", box.checked);
  box.addEventListener("change", () => {
    if (box.checked && ticked.size >= 150) { box.checked = false; $("status").textContent = "At most 150 can be ticked; narrow the choice down instead."; return; }
    if (box.checked) ticked.add(item.media_id); else ticked.delete(item.media_id);
    made.classList.toggle("ticked", box.checked);
    showTake();
  });
  return made;
};

const height = (page) => Math.ceil(page.n / columns) * TILE - 10;

const fill = async (page, mine) => {
  if (page.full || page.asked) return;
  page.asked = true;
  try {
    const found = await ask(`/api/page?${chosen}&after=${encodeURIComponent(page.after)}&most=${PAGE}`);
    if (mine !== round) return;
    page.n = found.items.length;
    page.full = true;
    page.element.replaceChildren(...found.items.map((item, i) => tile(item, page.number * PAGE + i)));
    page.element.style.minHeight = "";
    if (found.next !== null && pages.length === page.number + 1) add(found.next, mine);
    if (found.next === null) $("end").textContent = page.number || page.n ? "" : "Nothing meets all of this. Take something away.";
  } catch (error) {
    problem(error.message);
  } finally {
    page.asked = false;
  }
};

const empty = (page) => {
  if (!page.full || page.element.contains(document.activeElement)) return;
  page.element.style.minHeight = `${height(page)}px`;
  page.element.replaceChildren();
  page.full = false;
};

const near = new IntersectionObserver((seen) => {
  for (const entry of seen) {
    const page = pages[Number(entry.target.dataset.page)];
    if (page?.element !== entry.target) continue;
    if (entry.isIntersecting) fill(page, round); else empty(page);
  }
}, { rootMargin: "1800px 0px" });

const add = (after, mine) => {
  const element = make("div", { className: "page" });
  element.setAttribute("role", "presentation");
  element.dataset.page = pages.length;
  element.style.minHeight = "300px";
  const page = { element, after, number: pages.length, n: PAGE, full: false, asked: false };
  pages.push(page);
  $("grid").append(element);
  near.observe(element);
  if (page.number === 0) fill(page, mine);
};

const measure = () => {
  columns = Math.max(1, Math.floor(($("grid").clientWidth + 10) / 178));
  $("grid").style.setProperty("--columns", columns);
};

// What is chosen becomes something

const selection = () => {
  const choice = new URLSearchParams(chosen);
  for (const id of ticked) choice.append("id", id);
  return choice;
};

const links = taking(csrf, selection);

const showTake = () => {
  links();
  $("what").textContent = ticked.size ? `The ${ticked.size} ticked` : "All of these";
  $("untick").hidden = !ticked.size;
};

$("untick").addEventListener("click", () => {
  ticked = new Set();
  for (const box of document.querySelectorAll(".tile input:checked")) { box.checked = false; box.parentElement.classList.remove("ticked"); }
  showTake();
});

const show = () => {
  round += 1;
  problem("");
  $("status").textContent = "";
  $("total").textContent = "Counting …"; // the number of before would pass for the answer
  $("end").textContent = "";
  $("q").value = chosen.get("q") ?? chosen.get("looks") ?? "";
  near.disconnect();
  pages = [];
  $("grid").replaceChildren();
  scrollTo(0, 0);
  $("on-map").href = chosen.size ? `/map?${chosen}` : "/map";
  measure();
  add("", round);
  showTake();
  count(round).catch((error) => { problem(error.message); $("total").textContent = "Nothing found"; });
};

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("q").value.trim();
  if (/^(PMC\d{1,9}(\.\d+)?|pmc\d+-[0-9a-z-]+)$/i.test(words)) { location.assign(`/?q=${encodeURIComponent(words)}`); return; }
  choose((choice) => (words ? choice.set("q", words) : choice.delete("q")));
});
$("by-looks")?.addEventListener("click", () => {
  const words = $("q").value.trim();
  if (words) choose((choice) => { for (const name of ["q", "like", "picture"]) choice.delete(name); choice.set("looks", words); });
});
$("file")?.addEventListener("change", async () => {
  const [file] = $("file").files;
  if (!file) return;
  $("status").textContent = "Looking at the picture …";
  try {
    const found = await ask("/api/picture", { method: "POST", headers: { "x-csrf-token": csrf, "content-type": "application/octet-stream" }, body: file });
    choose((choice) => { choice.delete("like"); choice.delete("looks"); choice.set("picture", found.picture); });
  } catch (error) {
    $("status").textContent = "";
    problem(error.message);
  }
  $("file").value = "";
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=checkbox]), textarea");
  if (event.key === "/" && !typing) { event.preventDefault(); $("q").focus(); return; }
  if (typing) return;
  const here = document.activeElement?.closest?.(".tile")?.querySelector("a");
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
  if (step && (here || document.activeElement === document.body || document.activeElement === $("main"))) {
    const at = here ? Number(here.dataset.at) + step : 0;
    const next = document.querySelector(`.tile a[data-at="${at}"]`);
    if (next) { event.preventDefault(); next.focus(); next.scrollIntoView({ block: "nearest" }); }
  } else if (here && event.key === "x") {
    here.nextElementSibling.click();
  } else if (here && event.key === "s") {
    choose((choice) => { choice.delete("picture"); choice.delete("looks"); choice.set("like", here.dataset.id); });
  }
});
addEventListener("popstate", () => { chosen = new URLSearchParams(location.search); ticked = new Set(); show(); });
addEventListener("resize", measure);
if (matchMedia("(max-width: 900px)").matches) $("facets").open = false;
show();
