// What a concept means, shown beside the list in which it is chosen: its place, other names, what it holds, examples.

export class ConceptCard {
  constructor(root, get, place) {
    this.root = root;
    this.get = get;
    this.place = place; // the id of what is being labelled: votes on it are no example
    this.known = new Map();
    this.wanted = null;
  }

  async show(id) {
    this.wanted = id;
    if (!id) {
      this.root.hidden = true;
      return;
    }
    const key = `${id} ${this.place()}`;
    try {
      if (!this.known.has(key)) this.known.set(key, await this.get(`/api/concept?${new URLSearchParams({ id, item: this.place() ?? "" })}`));
    } catch {
      return; // the card helps; choosing goes on without it
    }
    if (this.wanted === id) this.draw(this.known.get(key));
  }

  draw(concept) {
    const line = (text, tag = "p") => Object.assign(document.createElement(tag), { textContent: text });
    const parts = [line(concept.label, "h2")];
    if (concept.path) parts.push(line(`a kind of ${concept.path.split(" / ").at(-1)}`));
    if (concept.note) parts.push(line(concept.note));
    if (concept.alt.length) parts.push(line(`also: ${concept.alt.join(", ")}`));
    if (concept.narrower.length) parts.push(line(`holds: ${concept.narrower.join(", ")}`));
    const pictures = Object.assign(document.createElement("div"), { className: "examples" });
    pictures.append(...concept.pictures.map((id, i) => Object.assign(document.createElement("img"), { src: `/image/${id}?size=thumb`, alt: `example ${i + 1}` })));
    parts.push(concept.pictures.length ? pictures : line("No other cluster was given it yet."));
    this.root.replaceChildren(...parts);
    this.root.hidden = false;
  }
}
