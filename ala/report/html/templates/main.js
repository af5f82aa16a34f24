const DATA = JSON.parse(document.getElementById("data").textContent);
document.getElementById("charts")?.append(...DATA.charts.map((chart) => makeChart(chart)));
if (DATA.gallery) makeGallery(DATA.gallery);
await enhanceTables();
document.documentElement.dataset.ready = "true";
