// Line charts in SVG. The slider below a chart is its cursor, so that keyboard and touch read the values, too.
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const three = (value) => (value == null ? "–" : value.toFixed(3));

function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toFixed(10)));
  return found;
}

// The value of a line at its point nearest to x.
function nearest(series, x) {
  let best = 0;
  series.x.forEach((each, k) => { if (Math.abs(each - x) < Math.abs(series.x[best] - x)) best = k; });
  return series.y[best];
}

function drawChart(chart, width, hidden, cursor) {
  const height = Math.round(Math.min(320, Math.max(200, width * 0.56)));
  const edge = { left: 46, right: 10, top: 10, bottom: 40 };
  const xs = chart.series.flatMap((series) => series.x), ys = chart.series.flatMap((series) => series.y);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const inOne = Math.min(...ys) >= 0 && Math.max(...ys) <= 1;
  const [y0, y1] = [Math.min(0, ...ys), inOne ? Math.min(1, Math.ceil(Math.max(...ys) * 5) / 5) : Math.max(...ys) * 1.05];
  const px = (x) => edge.left + ((x - x0) / (x1 - x0 || 1)) * (width - edge.left - edge.right);
  const py = (y) => height - edge.bottom - ((y - y0) / (y1 - y0 || 1)) * (height - edge.top - edge.bottom);
  const svg = element("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.title}: ${chart.y} over ${chart.x}` });
  for (const tick of ticks(y0, y1, 5)) {
    svg.append(element("svg:line", { class: "rule", x1: edge.left, x2: width - edge.right, y1: py(tick), y2: py(tick) }),
      element("svg:text", { x: edge.left - 7, y: py(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  for (const tick of ticks(x0, x1, width < 420 ? 4 : 8)) {
    svg.append(element("svg:text", { x: px(tick), y: height - edge.bottom + 17, "text-anchor": "middle" }, String(tick)));
  }
  svg.append(element("svg:text", { class: "axis", x: (edge.left + width - edge.right) / 2, y: height - 4, "text-anchor": "middle" }, chart.x));
  const middle = (height - edge.bottom + edge.top) / 2;
  svg.append(element("svg:text", { class: "axis", x: 11, y: middle, transform: `rotate(-90 11 ${middle})`, "text-anchor": "middle" }, chart.y));
  for (const series of [...chart.series].reverse()) {  // the first line lies on top
    if (hidden.has(series.label)) continue;
    const path = series.x.map((x, k) => `${k ? "L" : "M"}${px(x).toFixed(1)} ${py(series.y[k]).toFixed(1)}`).join("");
    svg.append(element("svg:path", { class: `line s-${series.look}`, d: path }));
    svg.append(element("svg:circle", { class: `point s-${series.look}`, r: 3.2, cx: px(cursor), cy: py(nearest(series, cursor)) }));
  }
  svg.append(element("svg:line", { class: "cursor", x1: px(cursor), x2: px(cursor), y1: edge.top, y2: height - edge.bottom }));
  svg.at = (pixel) => x0 + ((pixel - edge.left) / (width - edge.left - edge.right)) * (x1 - x0);
  return svg;
}

// A chart with its heading, cursor and legend; `level` is the heading's level.
function makeChart(chart, level = 3) {
  const grid = [...new Set(chart.series.flatMap((series) => series.x))].sort((a, b) => a - b);
  const hidden = new Set();
  const plot = element("div", { class: "plot" });
  const place = element("output", { class: "place" });
  const slider = element("input", { type: "range", min: 0, max: grid.length - 1, value: Math.round((grid.length - 1) / 2), "aria-label": `${chart.title}: ${chart.x}` });
  const legend = element("ul", { class: "legend" });
  const values = chart.series.map((series) => {
    const value = element("span", { class: "value" });
    const sample = element("svg:svg", { class: "sample", viewBox: "0 0 26 10", "aria-hidden": "true" },
      element("svg:path", { class: `line s-${series.look}`, d: "M0 5H26" }));
    legend.append(element("li", {}, element("button", { type: "button", "aria-pressed": "true", onclick: (event) => {
      if (!hidden.delete(series.label)) hidden.add(series.label);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(series.label)));
      draw();
    } }, sample, `${series.label} `, value)));
    return value;
  });
  let svg;
  function draw() {
    const cursor = grid[Number(slider.value)];
    const width = Math.max(240, Math.round(plot.clientWidth));
    svg = drawChart(chart, width, hidden, cursor);
    plot.replaceChildren(svg);
    chart.series.forEach((series, k) => { values[k].textContent = three(nearest(series, cursor)); });
    place.textContent = `${chart.x} ${cursor}`;
    slider.setAttribute("aria-valuetext", `${chart.x} ${cursor}: ` +
      chart.series.filter((series) => !hidden.has(series.label)).map((series) => `${series.label} ${three(nearest(series, cursor))}`).join(", "));
  }
  const point = (event) => {
    const x = svg.at(event.clientX - plot.getBoundingClientRect().left);
    const best = grid.reduce((near, each, k) => (Math.abs(each - x) < Math.abs(grid[near] - x) ? k : near), 0);
    if (best !== Number(slider.value)) { slider.value = best; draw(); }
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  slider.addEventListener("input", draw);
  let last = 0;
  new ResizeObserver(() => { if (plot.clientWidth !== last) { last = plot.clientWidth; draw(); } }).observe(plot);
  return element("article", { class: "chart" }, element(`h${level}`, {}, chart.title), plot,
    element("div", { class: "reader" }, slider, place), legend);
}
