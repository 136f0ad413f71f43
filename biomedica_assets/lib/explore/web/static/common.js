// What the pages share: elements, numbers, and questions to the server.

export const $ = (id) => document.getElementById(id);

export const make = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

export const number = new Intl.NumberFormat("en");

export const figures = (n) => `${number.format(n)} ${n === 1 ? "figure" : "figures"}`;

export const ask = async (path, options = {}) => {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached; is biomedica explore still running?");
  }
  if (answer.status === 401) location.assign("/login");
  const found = await answer.json().catch(() => ({ problem: `The server answered ${answer.status}.` }));
  if (!answer.ok) throw new Error(found.problem ?? `The server answered ${answer.status}.`);
  return found;
};

export const problem = (words) => { $("problem").textContent = words; $("problem").hidden = !words; };
