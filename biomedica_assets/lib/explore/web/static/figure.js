// A figure's page: zoom, and lineage once it is asked for.
import { Zoom } from "/static/shared/zoom.js";

const main = document.getElementById("main");
const zoom = new Zoom(document.getElementById("stage"), document.getElementById("picture"), document.getElementById("level"));
zoom.address = document.getElementById("picture").getAttribute("src");
zoom.draw();
document.getElementById("in").addEventListener("click", () => zoom.key("+"));
document.getElementById("out").addEventListener("click", () => zoom.key("-"));
document.getElementById("fit").addEventListener("click", () => zoom.key("0"));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea")) return;
  if (zoom.key(event.key)) event.preventDefault();
});

const lines = (title, links) => [`${title}:`, ...(links.length ? links : [{ what: "nothing", name: "", facts: {} }]).flatMap((link) => [
  `  ${link.what.padEnd(12)} ${link.name}`,
  ...Object.entries(link.facts).map(([name, value]) => `      ${name}: ${value}`),
])];

const lineage = document.getElementById("lineage");
lineage.addEventListener("toggle", async () => {
  if (!lineage.open || lineage.dataset.asked) return;
  lineage.dataset.asked = "yes";
  const box = document.getElementById("lineage-text");
  const answer = await fetch(`/api/lineage/${encodeURIComponent(main.dataset.id)}`);
  const found = await answer.json().catch(() => ({ problem: `The server answered ${answer.status}.` }));
  const text = document.createElement("pre");
  text.textContent = found.problem ?? [found.subject, ...lines("made from", found.made_from), ...lines("contained in", found.contained_in), found.more ? `  and ${found.more} more` : ""].join("\n");
  box.replaceChildren(text);
});
