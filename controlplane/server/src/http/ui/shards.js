// Shards as a grid, coloured by the node that is their home; used by the shard map and by the preview of a plan.

import { h } from "./dom.js";

/** The nodes in the order in which people look for them, each with its colour and number. */
export function fleet(nodes) {
  const order = (node) => `${node.region ?? ""} ${node.name ?? node.id}`;
  const sorted = nodes.filter((node) => node.phase !== "gone").sort((a, b) => order(a).localeCompare(order(b), "en", { numeric: true }));
  return new Map(sorted.map((node, at) => [node.id, { ...node, label: node.name ?? node.id.slice(0, 6), number: at + 1, colour: `n${at % COLOURS}` }]));
}

/** The node that a shard's writes go to; while it moves, the one that has it at this moment. */
export function home(replicas) {
  return replicas?.voters[0] ?? null;
}

/** Shards by policy, in the order of their numbers. */
export function byPolicy(rows) {
  const groups = new Map();
  for (const row of rows) {
    const name = row.policy ?? row.shard.split("/")[0];
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(row);
  }
  return groups;
}

/**
 * A grid of shards that arrow keys walk through. `selected` is the name of a shard, `lit` says which are not dimmed,
 * `marked` which have a ring.
 */
export function grid({ rows, nodes, selected, lit = () => true, marked = () => false, onSelect, label }) {
  const current = rows.some((row) => row.shard === selected) ? selected : rows[0]?.shard;
  const cell = (row) => {
    const node = nodes.get(home(row.replicas));
    const classes = ["shard", node?.colour ?? "none", lit(row) ? "" : "dim", marked(row) ? "marked" : "", row.shard === selected ? "selected" : "", row.replicas?.moving ? "moving" : ""];
    const where = node ? `${row.shard} at ${node.label}` : `${row.shard} nowhere`;
    return h(
      "button",
      {
        class: classes.filter(Boolean).join(" "),
        tabindex: row.shard === current ? "0" : "-1",
        title: row.replicas?.moving ? `${where}, moving` : where,
        "aria-label": where,
        "aria-pressed": row.shard === selected ? "true" : "false",
        onclick: onSelect && (() => onSelect(row.shard === selected ? null : row.shard)),
      },
      node ? String(node.number) : "·",
    );
  };
  return h("div", { class: "grid", role: "group", "aria-label": label, onkeydown: walk }, rows.map(cell));
}

function walk(event) {
  const cells = [...event.currentTarget.children];
  const at = cells.indexOf(document.activeElement);
  if (at < 0) return;
  const top = cells[0].offsetTop;
  const columns = cells.findIndex((cell) => cell.offsetTop > top);
  const row = columns < 0 ? cells.length : columns;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row, Home: -at, End: cells.length - 1 - at }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const next = cells[Math.min(Math.max(at + step, 0), cells.length - 1)];
  cells[at].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

/** A node with its colour and number. */
export function tag(node, id) {
  if (!node) return h("span", { class: "tag" }, id ? id.slice(0, 6) : "nowhere");
  return h("span", { class: "tag" }, h("span", { class: `swatch ${node.colour}` }, String(node.number)), node.label);
}

const COLOURS = 12;
