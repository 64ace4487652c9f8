// Elements, and how a page becomes another one: what stays is not made anew, so that a selection,
// a scrolled table and a click on its way stay too. Text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined));
  return element;
}

export const h = (tag, attributes, ...children) =>
  made(document.createElement(tag), attributes, children);

export const s = (tag, attributes, ...children) =>
  made(document.createElementNS(SVG, tag), attributes, children);

const key = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

const alike = (old, node) => old && old.nodeName === node.nodeName && key(old) === key(node);

// Make the children of `parent` like `wanted`; those with a data-key are known again by it.
export function become(parent, wanted) {
  const keyed = new Map([...parent.childNodes].map((node) => [key(node), node]));
  let at = parent.firstChild;
  for (const node of wanted) {
    const name = key(node);
    const old = name === null ? at : keyed.get(name);
    if (!alike(old, node)) {
      parent.insertBefore(node, at);
      continue;
    }
    if (old === at) at = at.nextSibling;
    else parent.insertBefore(old, at);
    same(old, node);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function same(old, node) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is for who looks to say.
    if (name !== "open" && !node.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  become(old, [...node.childNodes]);
}
