// Tables: sorting, searching and paging by DataTables, imported from the block of data beside this script.
async function importDataTables() {
  const text = JSON.parse(document.getElementById("datatables").textContent);
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try { return (await import(address)).default; } finally { URL.revokeObjectURL(address); }
}

function enhanceTable(DataTable, table) {
  const box = table.parentElement;
  const long = table.tBodies[0].rows.length > 20;
  box.replaceWith(table);  // the search field and the pages stay outside what scrolls
  const made = new DataTable(table, {
    order: [], autoWidth: false, paging: long, pageLength: 20, lengthMenu: [20, 50, 100, { label: "all", value: -1 }],
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
    addEventListener("afterprint", () => made.page.len(20).draw(false));
  }
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
