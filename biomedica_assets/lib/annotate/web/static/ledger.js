// Sends votes so that none is lost: a vote waits in the browser's storage until the server says that it is on the disk.
// It keeps its id, so that sending it again (a lost answer, a restart, a second tab) cannot count it twice.

const WAITING = "biomedica-waiting:";
const DRAFT = "biomedica-draft:";

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "w" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Refused extends Error {}
export class Unreachable extends Error {}

export class Ledger {
  constructor(annotator, csrf) {
    this.annotator = annotator;
    this.csrf = csrf;
  }

  async get(path) {
    return this.answer(await this.reach(path, {}));
  }

  async post(path, body) {
    return this.answer(await this.reach(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": this.csrf },
      body: JSON.stringify(body),
    }));
  }

  async reach(path, options) {
    try {
      return await fetch(path, { credentials: "same-origin", ...options });
    } catch {
      throw new Unreachable("The server does not answer.");
    }
  }

  async answer(response) {
    if (response.status === 401) {
      location.assign("/login");
      throw new Unreachable("Log in again; what you gave is kept."); // kept and sent after the login
    }
    const text = await response.text();
    let content;
    try {
      content = JSON.parse(text);
    } catch {
      content = { problem: text };
    }
    if (response.ok) return content;
    if (response.status >= 500) throw new Unreachable(content.problem || "The server has a problem.");
    throw new Refused(content.problem || `Refused (${response.status}).`);
  }

  keep(vote) {
    localStorage.setItem(`${WAITING}${this.annotator}:${vote.vote_id}`, JSON.stringify(vote));
  }

  forget(vote) {
    localStorage.removeItem(`${WAITING}${this.annotator}:${vote.vote_id}`);
  }

  waiting() {
    const prefix = `${WAITING}${this.annotator}:`;
    return Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map((key) => JSON.parse(localStorage.getItem(key)));
  }

  // Keep, send, forget when the server has it (or has refused it for good).
  async send(vote) {
    this.keep(vote);
    try {
      const saved = await this.post("/api/vote", vote);
      this.forget(vote);
      return saved;
    } catch (error) {
      if (error instanceof Refused) this.forget(vote);
      throw error;
    }
  }

  async sendWaiting() {
    let sent = 0;
    for (const vote of this.waiting()) {
      await this.send(vote);
      sent += 1;
    }
    return sent;
  }

  draft(item) {
    return JSON.parse(localStorage.getItem(`${DRAFT}${this.annotator}:${item}`) || "null");
  }

  saveDraft(item, answer) {
    if (answer) localStorage.setItem(`${DRAFT}${this.annotator}:${item}`, JSON.stringify(answer));
    else localStorage.removeItem(`${DRAFT}${this.annotator}:${item}`);
  }
}
