// A picture enlarged: wheel and +, - zoom about a point, dragging moves, 0 fits, double click shows every pixel as it is.
// Knows nothing of votes. A picture that was sent smaller than it is comes whole once it is zoomed into.

const STEP = 1.25;
const MOST = 40;

export class Zoom {
  constructor(stage, image, level) {
    this.stage = stage;
    this.image = image;
    this.level = level;
    this.reset();
    image.addEventListener("load", () => this.draw());
    image.addEventListener("dragstart", (event) => event.preventDefault());
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.by(event.deltaY < 0 ? STEP : 1 / STEP, event.clientX, event.clientY);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => (this.scale > 1 ? this.reset() : this.to(this.pixels(), event.clientX, event.clientY)));
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); this.from = [event.clientX, event.clientY]; });
    stage.addEventListener("pointermove", (event) => {
      if (!this.from) return;
      this.x += event.clientX - this.from[0];
      this.y += event.clientY - this.from[1];
      this.from = [event.clientX, event.clientY];
      this.draw();
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { this.from = null; });
  }

  show(address, alt) {
    this.address = address;
    this.image.alt = alt;
    this.image.src = address;
    this.whole = false;
    this.reset();
  }

  reset() {
    [this.scale, this.x, this.y, this.from] = [1, 0, 0, null];
    this.draw();
  }

  // The scale at which one pixel of the picture is one of the screen.
  pixels() {
    const fitted = Math.min(this.stage.clientWidth / this.image.naturalWidth, this.stage.clientHeight / this.image.naturalHeight);
    return Math.max(1, 1 / fitted);
  }

  by(factor, x, y) {
    this.to(this.scale * factor, x, y);
  }

  // What lies under (x, y) stays there; without a point, what lies in the middle.
  to(scale, x, y) {
    const box = this.stage.getBoundingClientRect();
    const [fromX, fromY] = [(x ?? box.left + box.width / 2) - box.left - box.width / 2, (y ?? box.top + box.height / 2) - box.top - box.height / 2];
    const next = Math.min(MOST, Math.max(1, scale));
    this.x = fromX - (fromX - this.x) * (next / this.scale);
    this.y = fromY - (fromY - this.y) * (next / this.scale);
    this.scale = next;
    if (next > 1 && !this.whole && this.address) {
      this.whole = true;
      this.image.src = `${this.address}?size=whole`;
    }
    this.draw();
  }

  draw() {
    if (this.scale === 1) [this.x, this.y] = [0, 0];
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stage.classList.toggle("moved", this.scale > 1);
    const size = this.image.naturalWidth ? `${this.image.naturalWidth} × ${this.image.naturalHeight} pixels` : "";
    this.level.textContent = this.scale > 1 ? `${size}, ${this.scale.toFixed(1)} × enlarged` : size;
  }

  key(key) {
    const act = { "+": () => this.by(STEP), "=": () => this.by(STEP), "-": () => this.by(1 / STEP), 0: () => this.reset() }[key];
    if (act) act();
    return Boolean(act);
  }
}
