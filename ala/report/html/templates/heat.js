// Heat maps of ranks: one stop of the Tab key each, arrow keys inside; a line below tells what the square shows.
function makeHeatMap(table) {
  const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")]);
  const heads = [...table.tHead.rows[0].querySelectorAll("th")].map((head) => head.textContent);
  const readout = table.closest(".heat").querySelector(".readout");
  const tell = (square) => {
    const text = document.createElement("span");
    const rank = square.classList.contains("square") ? `rank ${square.textContent}; ` : "";
    text.textContent = `${table.caption.textContent}, ${square.parentElement.cells[0].textContent}, ${heads[square.cellIndex - 1]}: ${rank}${square.title} `;
    const link = document.createElement("a");
    link.href = `${table.dataset.file}#row=${square.dataset.line}`;
    link.textContent = `line ${square.dataset.line}`;
    readout.replaceChildren(text, ...(square.dataset.line ? [link] : []));
  };
  const squareAt = (event) => event.target.closest("tbody td");
  let current = rows[0]?.[0];
  if (!current) return;
  table.setAttribute("role", "grid");
  for (const square of rows.flat()) square.tabIndex = square === current ? 0 : -1;
  readout.textContent = "Point at a square, or move to it with Tab and the arrow keys. Enter opens its line of the CSV.";
  readout.hidden = false;
  table.addEventListener("pointerover", (event) => { const square = squareAt(event); if (square) tell(square); });
  table.addEventListener("focusin", (event) => {
    const square = squareAt(event);
    if (!square) return;
    current.tabIndex = -1;
    current = square;
    current.tabIndex = 0;
    tell(square);
  });
  table.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === current) {
      tell(current);  // the pointer may rest on another square
      readout.querySelector("a")?.click();
    }
    const row = rows.findIndex((squares) => squares.includes(current)), column = rows[row].indexOf(current);
    const last = heads.length - 1;
    const next = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, last],
    }[event.key];
    if (!next) return;
    event.preventDefault();
    rows[next[0]]?.[next[1]]?.focus();
  });
}
