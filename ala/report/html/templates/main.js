const DATA = JSON.parse(document.getElementById("data").textContent);
document.getElementById("charts")?.append(...DATA.charts.map((chart) => makeChart(chart)));
const inGallery = new Set(DATA.gallery?.images.map((image) => image.id));
for (const link of document.querySelectorAll("a.to-image")) {  // an image that the gallery has no room for opens nothing
  if (!inGallery.has(Number(link.hash.slice("#image-".length)))) link.replaceWith(link.textContent);
}
if (DATA.gallery) makeGallery(DATA.gallery);
document.querySelectorAll("table.ranking").forEach(makeHeatMap);
await enhanceTables();
document.documentElement.dataset.ready = "true";
