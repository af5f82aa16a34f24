// Contrast of every visible piece of text with what lies behind it (WCAG 2.2, 1.4.3); those below the limit.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {  // the browser's own reading of any CSS colour
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => top.slice(0, 3).map((part, k) => (part * top[3] + below[k] * (255 - top[3])) / 255);
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => { const c = part / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = { checked: 0, low: [], kinds: [] };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const kinds = new Set();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest("script, style, [aria-disabled=true]")) continue;
    const style = getComputedStyle(element);
    const below = background(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(over(rgba(colour), below)), luminance(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    const wanted = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    found.checked += 1;
    kinds.add(element.closest(".badge")?.className ?? (element.closest("a") ? "a" : element.localName));
    if (ratio < wanted) found.low.push(`${ratio.toFixed(2)} ${element.localName}.${element.className}: ${node.data.trim().slice(0, 40)}`);
  }
  found.kinds = [...kinds];
  return found;
}
