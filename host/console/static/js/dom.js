// Building elements. Text always goes in as text, never as HTML: what devices and servers say cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("p", {class: "x", onclick: f}, "text", child). null and undefined properties and children are left out. */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

/** Replace what an element holds, keeping it quiet when nothing changed: focus, selection and scrolling stay. */
export function fill(element, ...children) {
  const fresh = document.createElement("div");
  fresh.append(...children.flat().filter((child) => child !== null && child !== undefined));
  const same = fresh.childNodes.length === element.childNodes.length
    && [...fresh.childNodes].every((node, index) => node.isEqualNode(element.childNodes[index]));
  if (!same) element.replaceChildren(...fresh.childNodes);
}

/** Set text only when it differs. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
