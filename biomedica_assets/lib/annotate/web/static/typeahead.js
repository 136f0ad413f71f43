// A list of concepts chosen by typing: ARIA combobox with chips. Knows nothing of votes.

const fold = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();

// Rank of a concept for typed words: 0 the label starts so, 1 one of its words does, 2 another name, 3 within; -1 not at all.
function rank(concept, typed) {
  const label = fold(concept.label);
  const names = concept.alt.map(fold);
  if (label.startsWith(typed)) return 0;
  if (label.split(/[\s-]+/).some((word) => word.startsWith(typed))) return 1;
  if (names.some((name) => name.startsWith(typed))) return 2;
  return [label, ...names, fold(concept.path)].some((name) => name.includes(typed)) ? 3 : -1;
}

export class Typeahead {
  constructor(root, concepts, changed) {
    this.concepts = concepts;
    this.changed = changed;
    this.byId = new Map(concepts.map((concept) => [concept.id, concept]));
    this.chosen = [];
    this.input = root.querySelector("input");
    this.list = root.querySelector(".list");
    this.chips = root.querySelector(".chips");
    this.shown = [];
    this.active = -1;
    this.first = () => [];
    this.looked = () => {}; // told which concept is looked at in the open list, null when none is
    this.input.addEventListener("input", () => this.search());
    this.input.addEventListener("focus", () => this.search());
    this.input.addEventListener("blur", () => this.close());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("pointerover", (event) => this.looked(event.target.closest("li")?.dataset.id ?? null));
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // keeps the focus in the input
      const option = event.target.closest("li");
      if (option) this.add(option.dataset.id);
    });
  }

  set(ids) {
    this.chosen = ids.filter((id) => this.byId.has(id));
    this.draw();
  }

  add(id) {
    if (!this.chosen.includes(id)) this.chosen.push(id);
    this.input.value = "";
    this.draw();
    this.search();
    this.changed(id);
  }

  remove(id) {
    this.chosen = this.chosen.filter((other) => other !== id);
    this.draw();
    this.changed(null);
  }

  draw() {
    this.chips.replaceChildren(...this.chosen.map((id) => {
      const chip = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1;
      button.textContent = "×";
      button.setAttribute("aria-label", `Remove ${this.byId.get(id).label}`);
      button.addEventListener("click", () => this.remove(id));
      chip.append(this.byId.get(id).label, button);
      return chip;
    }));
  }

  search() {
    const typed = fold(this.input.value.trim());
    const preferred = this.first();
    const free = this.concepts.filter((concept) => !this.chosen.includes(concept.id));
    const ranked = free.map((concept, place) => ({ concept, place, rank: typed ? rank(concept, typed) : 0 }))
      .filter((entry) => entry.rank >= 0)
      .sort((a, b) => preferred.includes(b.concept.top) - preferred.includes(a.concept.top) || a.rank - b.rank || a.place - b.place);
    this.shown = ranked.slice(0, 60).map((entry) => entry.concept);
    this.active = typed && this.shown.length ? 0 : -1;
    this.list.replaceChildren(...this.shown.map((concept, i) => {
      const option = document.createElement("li");
      option.id = `${this.list.id}-${i}`;
      option.role = "option";
      option.dataset.id = concept.id;
      option.append(concept.label);
      if (concept.path) {
        const path = document.createElement("small");
        path.textContent = concept.path;
        option.append(path);
      }
      return option;
    }));
    this.list.hidden = !this.shown.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === this.active)));
    const option = this.list.children[this.active];
    if (option) {
      option.scrollIntoView({ block: "nearest" });
      this.input.setAttribute("aria-activedescendant", option.id);
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
    this.looked(option?.dataset.id ?? null);
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.looked(null);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.search();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.active = Math.max(0, Math.min(this.shown.length - 1, this.active + step));
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      event.stopPropagation();
      if (this.active >= 0 && !this.list.hidden) this.add(this.shown[this.active].id);
      else if (!this.input.value) this.input.blur();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      this.input.value = "";
      this.input.blur();
    } else if (event.key === "Backspace" && !this.input.value && this.chosen.length) {
      this.remove(this.chosen[this.chosen.length - 1]);
      this.search();
    }
  }
}
