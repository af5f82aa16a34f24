// The gallery: images under maps that are coloured here, so that one grey picture per map is enough.
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

// The edges between object and background, as one path over the pixels of the mask.
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
  const byId = new Map(data.images.map((image) => [image.id, image]));
  const label = new Map(data.methods.map((method) => [method.row, method.label]));
  const mapped = data.methods.filter((method) => method.maps);
  const IOU = data.scores.indexOf("iou_mean_std");
  const iou = (image, row) => image.scores[row]?.[IOU] ?? null;
  const name = (image) => `Image ${image.id}, ${data.classes[image.label]}`;
  let shown = [];

  // Image, map and outline over each other; `row` null shows the image alone.
  async function fill(stack, image, row) {
    const picture = element("img", { src: `data:image/jpeg;base64,${image.image}`, alt: "" });
    const layers = [picture];
    if (row && image.maps[row]) layers.push(await mapCanvas(image.maps[row], colours));
    layers.push(await outline(image.mask));
    stack.replaceChildren(...layers);
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      fill(entry.target, byId.get(Number(entry.target.dataset.image)), $("by-method").value);
    }
  }, { rootMargin: "400px" });

  function card(image) {
    const row = $("by-method").value;
    const stack = element("span", { class: "stack", "data-image": image.id });
    seen.observe(stack);
    const kind = image.kind ? `, ${image.kind}` : "";
    return element("li", {}, element("button", {
      type: "button", class: "card", "data-image": image.id, onclick: () => open(image.id),
      "aria-label": `${name(image)}, IoU of ${label.get(row)} ${three(iou(image, row))}${kind}`,
    }, stack, element("span", { class: "under-image" }, element("span", {}, String(image.id)), element("span", {}, `IoU ${three(iou(image, row))}`)),
    image.kind ? element("span", { class: "kind" }, image.kind) : null));
  }

  function update() {
    const [wantedClass, row, kind, order] = ["by-class", "by-method", "by-kind", "by-order"].map((id) => $(id).value);
    shown = data.images.filter((image) => image.maps[row] && (wantedClass === "" || image.label === Number(wantedClass)) &&
      (kind === "" || image.kind === kind));
    if (order !== "id") {
      const sign = order === "worst" ? 1 : -1;
      shown.sort((a, b) => sign * (iou(a, row) - iou(b, row)) || a.id - b.id);
    }
    seen.disconnect();
    $("grid").replaceChildren(...shown.map(card));
    $("count").textContent = `${shown.length} of ${data.images.length} images, map of ${label.get(row)}`;
  }

  function opacity() {
    const value = $("opacity").value;
    document.documentElement.style.setProperty("--map-opacity", value / 100);
    $("opacity-value").textContent = `${value} %`;
    $("opacity").setAttribute("aria-valuetext", `${value} per cent`);
  }

  // Scores of one image, a line per method; a button chooses the map above.
  function scoreTable(image) {
    const columns = { iou_mean_std: "IoU", iou_fixed: "fixed 0.5", iou_otsu: "Otsu", iou_val: "best on validation",
      insertion: "Insertion", deletion: "Deletion", id: "ID", target: "predicted class" };
    const head = element("tr", {}, element("th", { scope: "col" }, "method"),
      ...Object.entries(columns).map(([key, text]) => element("th", { scope: "col", class: key === "target" ? "" : "n" }, text)));
    const lines = data.methods.filter((method) => image.scores[method.row]).map((method) => {
      const values = Object.fromEntries(data.scores.map((key, k) => [key, image.scores[method.row][k]]));
      return element("tr", {}, element("th", { scope: "row", title: method.scores }, method.label), ...Object.keys(columns).map((key) => {
        if (key === "target") {
          const right = values.correct === true;
          return element("td", {}, `${right ? "✓" : "✗"} ${data.classes[values.target] ?? "–"}`);
        }
        return element("td", { class: "n", title: values[key] ?? "" }, three(values[key]));
      }));
    });
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores of this image" },
      element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
  }

  function curves(image) {
    const rows = data.methods.filter((method) => image.curves[method.row]);
    if (!rows.length) return [element("p", {}, "Insertion and deletion were not measured on this image: they are on a part of the images of each class.")];
    return ["Insertion", "Deletion"].map((title, k) => makeChart({
      title, x: "share of the pixels", y: "probability of the target class",
      series: rows.map((method) => ({ look: method.look, label: method.label, x: data.share, y: image.curves[method.row][k].map((value) => value / 1000) })),
    }, 4));
  }

  function open(id) {
    const image = byId.get(id);
    if (!image) return;
    const dialog = $("image");
    const list = shown.includes(image) ? shown : data.images;
    const step = (by) => () => {
      const next = list[(list.indexOf(image) + by + list.length) % list.length];
      open(next.id);
      dialog.querySelector(by < 0 ? ".previous" : ".next").focus();
    };
    const large = element("div", { class: "stack large" });
    const thumbs = mapped.filter((method) => image.maps[method.row]).map((method) => {
      const stack = element("span", { class: "stack" });
      fill(stack, image, method.row);
      return element("button", { type: "button", class: "card", "data-row": method.row, onclick: () => choose(method.row) }, stack,
        element("span", { class: "under-image" }, element("span", {}, method.label), element("span", {}, three(iou(image, method.row)))));
    });
    function choose(row) {
      fill(large, image, row);
      for (const thumb of thumbs) thumb.setAttribute("aria-pressed", String(thumb.dataset.row === row));
    }
    const chosen = $("by-method").value;
    choose(image.maps[chosen] ? chosen : thumbs[0]?.dataset.row);
    dialog.replaceChildren(
      element("header", {}, element("h2", { id: "image-title", tabindex: -1 }, name(image)),
        element("span", { class: "buttons" },
          element("button", { type: "button", class: "previous", onclick: step(-1), "aria-label": "Previous image" }, "←"),
          element("button", { type: "button", class: "next", onclick: step(1), "aria-label": "Next image" }, "→"),
          element("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"))),
      image.kind ? element("p", { class: "kind" }, `Kind of error: ${image.kind}`) : "",
      element("div", { class: "beside" }, large, element("div", { class: "thumbs" }, ...thumbs)),
      element("h3", {}, "Scores"), scoreTable(image),
      element("p", { class: "hint" }, `Image_id ${image.id} of the method's scores, seed ${data.seed}; resting on a method names their file.`),
      element("h3", {}, "Its own curves"), element("div", { class: "charts" }, ...curves(image)));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  data.classes.forEach((each, k) => $("by-class").append(element("option", { value: k }, each)));
  for (const method of mapped) $("by-method").append(element("option", { value: method.row }, method.label));
  const kinds = [...new Set(data.images.map((image) => image.kind).filter(Boolean))].sort();
  for (const kind of kinds) $("by-kind").append(element("option", { value: kind }, kind));
  $("kinds").hidden = !kinds.length;
  for (const id of ["by-class", "by-method", "by-kind", "by-order"]) $(id).addEventListener("change", update);
  $("opacity").addEventListener("input", opacity);
  $("outline").addEventListener("change", () => document.documentElement.classList.toggle("no-outline", !$("outline").checked));
  $("image").addEventListener("click", (event) => { if (event.target === $("image")) $("image").close(); });
  document.addEventListener("click", (event) => {  // an image's number in a table opens it
    const link = event.target.closest("a.to-image");
    const id = link && Number(link.hash.slice("#image-".length));
    if (link && byId.has(id)) { event.preventDefault(); open(id); }
  });
  opacity();
  update();
  const wanted = /^#image-(\d+)$/.exec(location.hash);
  if (wanted) open(Number(wanted[1]));
}
