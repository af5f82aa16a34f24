// The gallery: photos under maps that are coloured here, so that one grey picture per map is enough.
function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function levels(base64) {  // grey levels of a PNG, row by row
  const picture = await createImageBitmap(new Blob([bytes(base64)], { type: "image/png" }));
  const canvas = element("canvas", { width: picture.width, height: picture.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, picture.width, picture.height);
  return { canvas, context, pixels };
}

async function mapCanvas(base64, colours) {
  const { canvas, context, pixels } = await levels(base64);
  for (let k = 0; k < pixels.data.length; k += 4) {
    const level = pixels.data[k];
    pixels.data.set(colours.subarray(3 * level, 3 * level + 3), k);
  }
  context.putImageData(pixels, 0, 0);
  canvas.className = "map";
  return canvas;
}

// The edges between object and ground, as one path over the pixels of the mask.
async function outline(base64) {
  const { pixels } = await levels(base64);
  const { width, height, data } = pixels;
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[4 * (y * width + x)] > 127;
  let path = "";
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x <= width; x++) {
      if (inside(x, y) !== inside(x - 1, y)) path += `M${x} ${y}v1`;
      if (inside(x, y) !== inside(x, y - 1)) path += `M${x} ${y}h1`;
    }
  }
  return element("svg:svg", { class: "outline", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    element("svg:path", { class: "under", d: path }), element("svg:path", { d: path }));
}

function makeGallery(data) {
  const $ = (id) => document.getElementById(id);
  const colours = bytes(data.colours);
  const byId = new Map(data.photos.map((photo) => [photo.id, photo]));
  const label = new Map(data.methods.map((method) => [method.row, method.label]));
  const mapped = data.methods.filter((method) => method.maps);
  const IOU = data.scores.indexOf("iou_mean_std");
  const iou = (photo, row) => photo.scores[row]?.[IOU] ?? null;
  const name = (photo) => `Photo ${photo.id}, ${data.classes[photo.label]}`;
  let shown = [];

  // Photo, map and outline over each other; `row` null shows the photo alone.
  async function fill(stack, photo, row) {
    const image = element("img", { src: `data:image/jpeg;base64,${photo.photo}`, alt: "" });
    const layers = [image];
    if (row && photo.maps[row]) layers.push(await mapCanvas(photo.maps[row], colours));
    layers.push(await outline(photo.mask));
    stack.replaceChildren(...layers);
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      fill(entry.target, byId.get(Number(entry.target.dataset.photo)), $("by-method").value);
    }
  }, { rootMargin: "400px" });

  function card(photo) {
    const row = $("by-method").value;
    const stack = element("span", { class: "stack", "data-photo": photo.id });
    seen.observe(stack);
    const kind = photo.kind ? `, ${photo.kind}` : "";
    return element("li", {}, element("button", {
      type: "button", class: "card", "data-photo": photo.id, onclick: () => open(photo.id),
      "aria-label": `${name(photo)}, IoU of ${label.get(row)} ${three(iou(photo, row))}${kind}`,
    }, stack, element("span", { class: "under-photo" }, element("span", {}, String(photo.id)), element("span", {}, `IoU ${three(iou(photo, row))}`)),
    photo.kind ? element("span", { class: "kind" }, photo.kind) : null));
  }

  function update() {
    const [wantedClass, row, kind, order] = ["by-class", "by-method", "by-kind", "by-order"].map((id) => $(id).value);
    shown = data.photos.filter((photo) => photo.maps[row] && (wantedClass === "" || photo.label === Number(wantedClass)) &&
      (kind === "" || photo.kind === kind));
    if (order !== "id") {
      const sign = order === "worst" ? 1 : -1;
      shown.sort((a, b) => sign * (iou(a, row) - iou(b, row)) || a.id - b.id);
    }
    seen.disconnect();
    $("grid").replaceChildren(...shown.map(card));
    $("count").textContent = `${shown.length} of ${data.photos.length} photos, map of ${label.get(row)}`;
  }

  function opacity() {
    const value = $("opacity").value;
    document.documentElement.style.setProperty("--map-opacity", value / 100);
    $("opacity-value").textContent = `${value} %`;
    $("opacity").setAttribute("aria-valuetext", `${value} per cent`);
  }

  // Scores of one photo, a line per method; a button chooses the map above.
  function scoreTable(photo) {
    const columns = { iou_mean_std: "IoU", iou_fixed: "fixed 0.5", iou_otsu: "Otsu", iou_val: "best on validation",
      insertion: "Insertion", deletion: "Deletion", id: "ID", target: "predicted class" };
    const head = element("tr", {}, element("th", { scope: "col" }, "method"),
      ...Object.entries(columns).map(([key, text]) => element("th", { scope: "col", class: key === "target" ? "" : "n" }, text)));
    const lines = data.methods.filter((method) => photo.scores[method.row]).map((method) => {
      const values = Object.fromEntries(data.scores.map((key, k) => [key, photo.scores[method.row][k]]));
      return element("tr", {}, element("th", { scope: "row", title: method.scores }, method.label), ...Object.keys(columns).map((key) => {
        if (key === "target") {
          const right = values.correct === true;
          return element("td", {}, `${right ? "✓" : "✗"} ${data.classes[values.target] ?? "–"}`);
        }
        return element("td", { class: "n", title: values[key] ?? "" }, three(values[key]));
      }));
    });
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores of this photo" },
      element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
  }

  function curves(photo) {
    const rows = data.methods.filter((method) => photo.curves[method.row]);
    if (!rows.length) return [element("p", {}, "Insertion and deletion were not measured on this photo: they are on a part of the photos of each class.")];
    return ["Insertion", "Deletion"].map((title, k) => makeChart({
      title, x: "share of the pixels", y: "probability of the target class",
      series: rows.map((method) => ({ look: method.look, label: method.label, x: data.share, y: photo.curves[method.row][k].map((value) => value / 1000) })),
    }, 4));
  }

  function open(id) {
    const photo = byId.get(id);
    if (!photo) return;
    const dialog = $("photo");
    const list = shown.includes(photo) ? shown : data.photos;
    const step = (by) => () => {
      const next = list[(list.indexOf(photo) + by + list.length) % list.length];
      open(next.id);
      dialog.querySelector(by < 0 ? ".previous" : ".next").focus();
    };
    const large = element("div", { class: "stack large" });
    const thumbs = mapped.filter((method) => photo.maps[method.row]).map((method) => {
      const stack = element("span", { class: "stack" });
      fill(stack, photo, method.row);
      return element("button", { type: "button", class: "card", "data-row": method.row, onclick: () => choose(method.row) }, stack,
        element("span", { class: "under-photo" }, element("span", {}, method.label), element("span", {}, three(iou(photo, method.row)))));
    });
    function choose(row) {
      fill(large, photo, row);
      for (const thumb of thumbs) thumb.setAttribute("aria-pressed", String(thumb.dataset.row === row));
    }
    const chosen = $("by-method").value;
    choose(photo.maps[chosen] ? chosen : thumbs[0]?.dataset.row);
    dialog.replaceChildren(
      element("header", {}, element("h2", { id: "photo-title", tabindex: -1 }, name(photo)),
        element("span", { class: "buttons" },
          element("button", { type: "button", class: "previous", onclick: step(-1), "aria-label": "Previous photo" }, "←"),
          element("button", { type: "button", class: "next", onclick: step(1), "aria-label": "Next photo" }, "→"),
          element("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"))),
      photo.kind ? element("p", { class: "kind" }, `Kind of error: ${photo.kind}`) : "",
      element("div", { class: "beside" }, large, element("div", { class: "thumbs" }, ...thumbs)),
      element("h3", {}, "Scores"), scoreTable(photo),
      element("p", { class: "hint" }, `Image_id ${photo.id} of the method's scores, seed ${data.seed}; resting on a method names their file.`),
      element("h3", {}, "Its own curves"), element("div", { class: "charts" }, ...curves(photo)));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  data.classes.forEach((each, k) => $("by-class").append(element("option", { value: k }, each)));
  for (const method of mapped) $("by-method").append(element("option", { value: method.row }, method.label));
  const kinds = [...new Set(data.photos.map((photo) => photo.kind).filter(Boolean))].sort();
  for (const kind of kinds) $("by-kind").append(element("option", { value: kind }, kind));
  $("kinds").hidden = !kinds.length;
  for (const id of ["by-class", "by-method", "by-kind", "by-order"]) $(id).addEventListener("change", update);
  $("opacity").addEventListener("input", opacity);
  $("outline").addEventListener("change", () => document.documentElement.classList.toggle("no-outline", !$("outline").checked));
  $("photo").addEventListener("click", (event) => { if (event.target === $("photo")) $("photo").close(); });
  document.addEventListener("click", (event) => {  // a photo's number in a table opens it
    const link = event.target.closest("a.to-photo");
    const id = link && Number(link.hash.slice("#photo-".length));
    if (link && byId.has(id)) { event.preventDefault(); open(id); }
  });
  opacity();
  update();
  const asked = /^#photo-(\d+)$/.exec(location.hash);
  if (asked) open(Number(asked[1]));
}
