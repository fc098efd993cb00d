// Elements from data, and a page brought up to date without losing the focus, the scroll position or what is being typed.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Properties that begin with `on` are handlers, `null`, `undefined` and `false` leave an attribute out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of a drawing. */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element[name] = value;
    else if (name === "value") element.value = value ?? "";
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** Makes the children of an element those that are given, keeping what is the same. */
export function show(element, ...wanted) {
  const fresh = fill(element.cloneNode(false), {}, wanted);
  children(element, fresh);
}

function children(old, fresh) {
  const wanted = [...fresh.childNodes];
  wanted.forEach((node, at) => {
    // What is before something that stays has gone. Nothing that stays is moved: it would lose the focus.
    while (!isAlike(old.childNodes[at], node) && isAmong(node, [...old.childNodes].slice(at + 1))) old.childNodes[at].remove();
    const there = old.childNodes[at];
    if (!there) old.append(node);
    else if (!isAlike(there, node)) isAmong(there, wanted.slice(at + 1)) ? there.before(node) : there.replaceWith(node);
    else if (node.nodeType === Node.TEXT_NODE) there.data !== node.data && (there.data = node.data);
    else update(there, node);
  });
  while (old.childNodes.length > wanted.length) old.lastChild.remove();
}

function isAlike(a, b) {
  return a?.nodeName === b.nodeName && key(a) === key(b);
}

/** Whether one of them is it by its key. */
function isAmong(node, others) {
  return key(node) !== null && others.some((other) => isAlike(other, node));
}

function key(node) {
  return node.getAttribute?.("data-key") ?? null;
}

function update(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  children(old, fresh);
  // Options have to be there before one of them can be chosen.
  if ("value" in fresh && FIELDS.includes(old.nodeName) && old !== document.activeElement && old.value !== fresh.value) old.value = fresh.value;
}

const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown", "ontoggle"];
const FIELDS = ["INPUT", "TEXTAREA", "SELECT"];
