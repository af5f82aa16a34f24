const DATA = JSON.parse(document.getElementById("data").textContent);
document.getElementById("charts")?.append(...DATA.charts.map((chart) => makeChart(chart)));
const inGallery = new Set(DATA.gallery?.photos.map((photo) => photo.id));
for (const link of document.querySelectorAll("a.to-photo")) {  // a photo that the gallery has no room for opens nothing
  if (!inGallery.has(Number(link.hash.slice("#photo-".length)))) link.replaceWith(link.textContent);
}
if (DATA.gallery) makeGallery(DATA.gallery);
document.querySelectorAll("table.ranking").forEach(makeHeatMap);
await enhanceTables();
document.documentElement.dataset.ready = "true";
