// Who reaches whom: a drawing that stays still, and the same as a table.

import { all, api } from "./api.js";
import { h, s } from "./dom.js";
import { bytes, count, rate, trip } from "./format.js";
import { fleet } from "./shards.js";

export const page = {
  title: "Topology",
  topics: ["stats", "nodes"],
  same: () => ({ ctl: "sluicectl links matrix", path: "/api/v1/links" }),
  read: async () => {
    const nodes = all((more) => api("GET", `/api/v1/nodes?limit=1000${more}`));
    // A replica that does not lead knows of no links.
    const links = api("GET", "/api/v1/links").catch((error) => (error.status === 503 ? { items: [] } : Promise.reject(error)));
    const [known, heard] = await Promise.all([nodes, links]);
    return { nodes: known.items, links: heard.items };
  },
  view: ({ nodes, links }, context) => {
    const known = fleet(nodes);
    if (!known.size) return h("p", { class: "quiet" }, "No node has joined.");
    const pairs = pair(links, known);
    const selected = known.has(context.params.get("node")) ? context.params.get("node") : null;
    return [drawing(known, pairs, selected, context), legend(), selected ? details(known.get(selected), context) : null, table(known, pairs, selected)];
  },
};

/** Both directions of a link as one; it is cut when neither end has it. */
function pair(links, known) {
  const pairs = new Map();
  for (const link of links.filter(({ from, to }) => known.has(from) && known.has(to))) {
    const ends = [link.from, link.to].sort();
    const key = ends.join(" ");
    const before = pairs.get(key) ?? { key, ends, isUp: false, trip: null, sent: 0, queue: 0, lost: 0 };
    const trips = [before.trip, link.connected ? link.round_trip_us : null].filter((value) => value !== null);
    pairs.set(key, {
      ...before,
      isUp: before.isUp || link.connected,
      trip: trips.length ? Math.min(...trips) : null,
      sent: before.sent + (link.connected ? link.sent_bytes_per_s : 0),
      queue: before.queue + (link.connected ? link.queue_bytes : 0),
      lost: Math.max(before.lost, link.connected ? link.lost_per_million : 0),
    });
  }
  return [...pairs.values()];
}

function condition(node) {
  if (node.live === false) return "silent";
  if (!node.connected) return "alone";
  return node.phase === "active" ? "fine" : "leaving";
}

const WORDS = { silent: "silent", alone: "without control", fine: "fine", leaving: "takes no new shards" };

/** Regions are boxes, side by side as the width allows; nodes stand in them in rows. */
function layout(known, width) {
  const regions = new Map();
  for (const node of known.values()) {
    const name = node.region ?? "";
    if (!regions.has(name)) regions.set(name, []);
    regions.get(name).push(node);
  }
  const columns = Math.max(1, Math.min(regions.size, Math.floor(width / 330)));
  const gap = columns > 1 ? 90 : 40;
  const wide = (width - gap * (columns - 1)) / columns;
  const [places, boxes] = [new Map(), []];
  let [y, tall, at] = [96, 0, 0];
  for (const [name, nodes] of regions) {
    if (at === columns) [y, tall, at] = [y + tall + 56, 0, 0];
    const x = at * (wide + gap);
    const inRow = Math.max(1, Math.min(Math.ceil(Math.sqrt(nodes.length)), Math.floor(wide / 96)));
    const rows = Math.ceil(nodes.length / inRow);
    const high = 34 + rows * 118;
    nodes.forEach((node, nth) => {
      const [row, column] = [Math.floor(nth / inRow), nth % inRow];
      const there = Math.min(inRow, nodes.length - row * inRow);
      // Rows are shifted a little against each other, so that no link runs through a node between its ends.
      const shift = rows > 1 && there === inRow ? (row % 2 ? 14 : -14) : 0;
      places.set(node.id, { x: x + (wide * (column + 0.5)) / there + shift, y: y + 34 + row * 118 + 46 });
    });
    boxes.push({ name, x, y, wide, high });
    [tall, at] = [Math.max(tall, high), at + 1];
  }
  return { places, boxes, height: y + tall + 8 };
}

/** From one node to another without touching a third, if a bend as wide as the drawing allows it. */
function route(a, b, others) {
  const length = Math.max(1, Math.hypot(b.x - a.x, b.y - a.y));
  // Upwards, where no names stand.
  const up = b.x < a.x || (b.x === a.x && b.y < a.y) ? 1 : -1;
  const across = { x: (-up * (b.y - a.y)) / length, y: (up * (b.x - a.x)) / length };
  const at = (bend, t) => {
    const rise = 2 * bend * t * (1 - t);
    return { x: a.x + (b.x - a.x) * t + across.x * rise, y: a.y + (b.y - a.y) * t + across.y * rise };
  };
  const isFree = (bend) => STEPS.map((t) => at(bend, t)).every(({ x, y }) => others.every((other) => Math.hypot(x - other.x, y - other.y) > CLEARANCE && (Math.abs(x - other.x) > 24 || Math.abs(y - other.y - 46) > 12)));
  const bend = BENDS.find(isFree) ?? 0;
  const control = { x: (a.x + b.x) / 2 + across.x * bend, y: (a.y + b.y) / 2 + across.y * bend };
  return { path: `M${a.x},${a.y} Q${control.x.toFixed(1)},${control.y.toFixed(1)} ${b.x},${b.y}`, middle: at(bend, 0.5) };
}

function drawing(known, pairs, selected, context) {
  const width = Math.max(300, Math.min(context.width, 1180) - 26);
  const { places, boxes, height } = layout(known, width - 4);
  const most = Math.max(1, ...[...known.values()].map((node) => node.connections ?? 0));
  const radius = (node) => 15 + 17 * Math.sqrt((node.connections ?? 0) / most);
  // Among many nodes only what is cut, and what belongs to the selected one, can be told apart.
  const isShown = (link) => known.size <= LINKS_DRAWN_UPTO || !link.isUp || link.ends.includes(selected);
  const controlX = width / 2;
  const control = context.state.overview.control;
  const stream = (box) => {
    const of = [...known.values()].filter((node) => (node.region ?? "") === box.name);
    const isWhole = of.every((node) => node.connected);
    return s("path", { class: `stream ${isWhole ? "" : "partial"}`, d: `M${controlX},52 C${controlX},80 ${box.x + box.wide / 2},66 ${box.x + box.wide / 2},${box.y}` });
  };
  const box = ({ name, x, y, wide, high }) =>
    s("g", {}, s("rect", { class: "box", x, y, width: wide, height: high, rx: 10 }), s("text", { class: "boxname", x: x + 12, y: y + 22 }, name || "no region"));
  const line = (link) => {
    const [a, b] = link.ends.map((id) => places.get(id));
    const isDim = selected && !link.ends.includes(selected);
    const strength = (2 + Math.min(5, Math.log10(1 + link.sent / 1000) * 1.4)).toFixed(1);
    const words = `${link.ends.map((id) => known.get(id).label).join(" – ")}: ${link.isUp ? `${trip(link.trip)}, ${bytes(link.sent)}/s` : "cut"}`;
    const others = [...places].filter(([id]) => !link.ends.includes(id)).map(([, place]) => place);
    const { path, middle } = route(a, b, others);
    return s(
      "g",
      { class: `link ${link.isUp ? band(link.trip) : "cut"} ${isDim ? "dim" : ""}` },
      s("title", {}, words),
      s("path", { class: "way", d: path, "stroke-width": link.isUp ? strength : 2.5 }),
      link.isUp ? null : s("path", { class: "cross", d: `M${middle.x - 7},${middle.y - 7}l14,14m0,-14l-14,14` }),
    );
  };
  const node = (of) => {
    const { x, y } = places.get(of.id);
    const state = condition(of);
    const choose = () => context.set({ node: of.id === selected ? null : of.id });
    return s(
      "g",
      {
        class: `node ${state} ${of.id === selected ? "selected" : ""}`,
        tabindex: "0",
        role: "button",
        "aria-pressed": of.id === selected ? "true" : "false",
        "aria-label": `${of.label}, ${WORDS[state]}, ${count(of.connections)} clients`,
        onclick: choose,
        onkeydown: (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), choose()),
      },
      s("circle", { cx: x, cy: y, r: radius(of) }),
      s("text", { x, y: y + 5, "text-anchor": "middle", class: "inside" }, state === "silent" ? "×" : count(of.connections)),
      s("text", { x, y: y + 50, "text-anchor": "middle", class: "name" }, of.label),
      state === "fine" ? null : s("text", { x, y: y + 65, "text-anchor": "middle", class: "state" }, WORDS[state]),
    );
  };
  return h(
    "div",
    { class: "card drawing" },
    s(
      "svg",
      { width, height, viewBox: `-2 0 ${width} ${height}`, role: "group", "aria-label": "nodes by region, and the links between them" },
      boxes.map(stream),
      s("rect", { class: "control", x: controlX - 120, y: 4, width: 240, height: 48, rx: 10 }),
      s("text", { class: "boxname", x: controlX, y: 24, "text-anchor": "middle" }, control.leader ? `control: ${control.leader}` : "control has no leader"),
      s("text", { class: "small", x: controlX, y: 42, "text-anchor": "middle" }, `store ${context.state.overview.store.kind ?? ""} ${context.state.overview.store.status}`),
      boxes.map(box),
      pairs.filter(isShown).sort((a, b) => a.isUp === b.isUp ? 0 : a.isUp ? -1 : 1).map(line),
      [...known.values()].map(node),
    ),
  );
}

function band(us) {
  return us === null ? "r0" : us < 1000 ? "r0" : us < 10_000 ? "r1" : us < 50_000 ? "r2" : us < 150_000 ? "r3" : "r4";
}

function legend() {
  const bands = [["r0", "below 1 ms"], ["r1", "10 ms"], ["r2", "50 ms"], ["r3", "150 ms"], ["r4", "more"], ["cut", "cut"]];
  const key = ([name, words]) => h("span", { class: "key" }, s("svg", { width: 26, height: 8, class: `link ${name}`, "aria-hidden": "true" }, s("path", { class: "way", d: "M1,4h24", "stroke-width": 3 })), words);
  return h("p", { class: "legend quiet" }, "Round trip: ", bands.map(key), " A node's size and number are its clients; a link's width is what it carries.");
}

function details(node, context) {
  const load = node.load ?? {};
  const rows = [["state", `${node.phase}, ${WORDS[condition(node)]}`], ["clients", count(node.connections)], ["messages /s", `${rate(load.messages_in_per_s)} in, ${rate(load.messages_out_per_s)} out`], ["shards", node.shards], ["version", node.build]];
  return h("section", { class: "card" }, h("h2", {}, node.label, " ", h("a", { href: context.link("nodes", { node: node.id }) }, "all of it")), h("dl", { class: "rows" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function table(known, pairs, selected) {
  const name = (id) => known.get(id).label;
  const order = (link) => `${link.isUp ? 1 : 0} ${link.ends.map((id) => String(known.get(id).number).padStart(6, "0")).join(" ")}`;
  const shown = pairs.filter((link) => !selected || link.ends.includes(selected)).sort((a, b) => order(a).localeCompare(order(b)));
  const row = (link) =>
    h(
      "tr",
      { class: link.isUp ? "" : "bad" },
      h("th", { scope: "row" }, link.ends.map((id) => known.get(id)).sort((a, b) => a.number - b.number).map(({ id }) => name(id)).join(" – ")),
      h("td", { "data-label": "round trip" }, link.isUp ? trip(link.trip) : "cut"),
      h("td", { "data-label": "sent" }, link.isUp ? `${bytes(link.sent)}/s` : "–"),
      h("td", { "data-label": "waiting" }, link.isUp ? bytes(link.queue) : "–"),
      h("td", { "data-label": "lost" }, link.isUp ? `${(link.lost / 10_000).toFixed(2)} %` : "–"),
    );
  return h(
    "section",
    {},
    h("h2", {}, "Links"),
    shown.length
      ? h("table", { class: "compact" }, h("thead", {}, h("tr", {}, ["between", "round trip", "sent, both ways", "waiting", "packets lost"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, shown.slice(0, ROWS_MAX).map(row)))
      : h("p", { class: "quiet" }, "No links are known."),
    shown.length > ROWS_MAX ? h("p", { class: "quiet" }, `and ${shown.length - ROWS_MAX} more: choose a node`) : null,
  );
}

const STEPS = Array.from({ length: 31 }, (_, step) => (step + 1) / 32);
const BENDS = [0, 80, 104, -80, 128, -128, 160, -160, 200, -200];
/** The largest node, and a little. */
const CLEARANCE = 38;
const LINKS_DRAWN_UPTO = 16;
const ROWS_MAX = 200;
