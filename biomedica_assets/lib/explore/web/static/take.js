// What is chosen becomes something: a table, a list to vote on, a recipe file.
import { $, ask, problem } from "/static/common.js";

// selection() gives the parameters of what is chosen; the result shows them in the links.
export const taking = (csrf, selection) => {
  $("recipe").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = JSON.stringify({ name: $("recipe-name").value, choice: String(selection()) });
      const found = await ask("/api/recipe", { method: "POST", headers: { "content-type": "application/json", "x-csrf-token": csrf }, body });
      $("status").textContent = `Written: ${found.path}. "biomedica run --select recipe" builds it.`;
      problem("");
    } catch (error) {
      problem(error.message);
    }
  });
  return () => {
    const choice = selection();
    $("as-csv").href = `/export.csv?${choice}`;
    $("as-parquet").href = `/export.parquet?${choice}`;
    $("as-votes").href = `/export.txt?${choice}`;
  };
};
