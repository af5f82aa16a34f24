// Tables: sorting, searching and paging by DataTables, imported from the block of data beside this script.
async function importDataTables() {
  const text = JSON.parse(document.getElementById("datatables").textContent);
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try { return (await import(address)).default; } finally { URL.revokeObjectURL(address); }
}

const PAGE = 10;  // rows of a page; a table that is hardly longer is shown whole
const NARROW = 600;  // pixels; in less room the column "source" gives way to values

const widthsOf = (table) => [...table.tHead.rows[0].cells].map((head) => head.getBoundingClientRect().width);

// A button for all columns; without it as many are shown, by their turn, as the window has room for.
function fitColumns(made, table, box, widest) {
  const name = table.getAttribute("aria-label");
  const turns = made.columns().header().toArray().map((head) => Number(head.dataset.turn ?? NaN));
  const button = document.createElement("button");
  let all = false, printing = false, width = 0;
  const fit = () => {
    made.columns().visible(true, false);
    widthsOf(table).forEach((own, k) => { widest[k] = Math.max(widest[k], own); });
    width = box.clientWidth;
    const turn = (k) => (Number.isNaN(turns[k]) ? (width < NARROW ? turns.length : 0.5) : turns[k]);  // NaN: the source
    let room = width;
    const hidden = turns.map((_, k) => k).sort((a, b) => turn(a) - turn(b)).filter((k, place) => {
      const fits = place === 0 || widest[k] <= room;
      if (fits) room -= widest[k];
      return !fits;
    });
    if (!all && !printing) made.columns(hidden).visible(false, false);
    button.hidden = !hidden.length;
    button.textContent = all ? "Fewer columns" : `All ${turns.length} columns`;
    button.setAttribute("aria-label", `${button.textContent}, ${name}`);
  };
  button.type = "button";
  button.className = "columns";
  button.addEventListener("click", () => { all = !all; fit(); });
  new ResizeObserver(() => { if (box.clientWidth !== width) fit(); }).observe(box);
  addEventListener("beforeprint", () => { printing = true; fit(); });
  addEventListener("afterprint", () => { printing = false; fit(); });
  fit();
  return button;
}

function enhanceTable(DataTable, table) {
  const box = table.parentElement;
  const long = table.tBodies[0].rows.length > PAGE + 2;
  const widest = widthsOf(table);  // over all rows, of which a page shows but some
  box.replaceWith(table);  // the search field and the pages stay outside what scrolls
  const made = new DataTable(table, {
    order: [], autoWidth: false, paging: long, pageLength: PAGE, lengthMenu: [PAGE, 50, 100, { label: "all", value: -1 }],
    layout: {
      topStart: "search", topEnd: long ? "pageLength" : null, bottomStart: "info", bottomEnd: long ? "paging" : null,
    },
    language: { search: "Search", lengthMenu: "_MENU_ rows per page", info: "_START_ to _END_ of _TOTAL_ rows",
      infoFiltered: "(of _MAX_)", infoEmpty: "0 rows", zeroRecords: "No row matches." },
  });
  const cell = table.parentElement;
  cell.classList.add("scroll");
  cell.tabIndex = 0;
  cell.setAttribute("role", "region");
  cell.setAttribute("aria-label", `Table: ${table.getAttribute("aria-label")}`);
  if (long) {
    addEventListener("beforeprint", () => made.page.len(-1).draw(false));
    addEventListener("afterprint", () => made.page.len(PAGE).draw(false));
  }
  cell.closest(".dt-container").querySelector(".dt-layout-row").append(fitColumns(made, table, cell, widest));
}

async function enhanceTables() {
  const DataTable = await importDataTables();
  for (const table of document.querySelectorAll("table.data")) enhanceTable(DataTable, table);
}

// One listener for all rows: DataTables takes rows of other pages out of the document.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {  // no clipboard for this page: select the text, so that the reader can copy it
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// What a row's source shows may lie beyond the edge of its table.
document.addEventListener("toggle", (event) => {
  if (event.target.matches("details.trace[open]")) event.target.scrollIntoView({ block: "nearest", inline: "end" });
}, true);
