// Nodes: what each is, carries and holds, and what can be done with it.

import { all, api } from "./api.js";
import { h } from "./dom.js";
import { bytes, count, day, rate, span } from "./format.js";
import { fleet } from "./shards.js";

export const page = {
  title: "Nodes",
  topics: ["stats", "nodes"],
  same: ({ params }) => {
    const node = params.get("node");
    return node ? { ctl: `sluicectl nodes describe ${node}`, path: `/api/v1/nodes/${node}` } : { ctl: "sluicectl nodes sync", path: "/api/v1/nodes" };
  },
  read: async () => (await all((more) => api("GET", `/api/v1/nodes?limit=1000${more}`))).items,
  view: (nodes, context) => {
    const known = [...fleet(nodes).values()];
    const gone = nodes.filter((node) => node.phase === "gone").length;
    if (!known.length) return h("p", { class: "quiet" }, "No node has joined. A token for one: sluicectl nodes token create");
    return [table(known, context), gone ? h("p", { class: "quiet" }, `${gone} removed nodes are not shown.`) : null];
  },
};

const STATES = { SYNCED: "good", PENDING: "warn", REJECTED: "bad", NOT_SENT: "" };

function table(known, context) {
  const heads = ["node", "region", "state", "version", "clients", "in /s", "out /s", "shards", "configuration"];
  const selected = context.params.get("node");
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, known.map((node) => [row(node, selected, context), node.id === selected ? details(node, context) : null])),
  );
}

function row(node, selected, context) {
  const isOpen = node.id === selected;
  const load = node.load ?? {};
  return h(
    "tr",
    { "data-key": node.id, class: isOpen ? "open" : "" },
    h("th", { scope: "row" }, h("button", { class: "plain", "aria-expanded": isOpen ? "true" : "false", onclick: () => context.set({ node: isOpen ? null : node.id }) }, isOpen ? "▾ " : "▸ ", node.label)),
    h("td", { "data-label": "region" }, [node.region ?? "–", node.zone].filter(Boolean).join(" / ")),
    h("td", { "data-label": "state" }, state(node)),
    h("td", { "data-label": "version" }, node.build),
    h("td", { "data-label": "clients" }, count(node.connections)),
    h("td", { "data-label": "in /s" }, rate(load.messages_in_per_s)),
    h("td", { "data-label": "out /s" }, rate(load.messages_out_per_s)),
    h("td", { "data-label": "shards" }, count(node.shards)),
    h("td", { "data-label": "configuration" }, sync(node.sync)),
  );
}

function state(node) {
  const [kind, text] = node.live === false ? ["bad", "silent"] : node.connected === false ? ["warn", "without control"] : node.phase !== "active" ? ["warn", node.phase] : node.connected ? ["good", "active"] : ["", node.phase];
  return h("span", { class: `pill ${kind}` }, text);
}

/** In sync, or what is not. */
function sync(types) {
  if (!types) return h("span", { class: "quiet" }, "not connected");
  const behind = types.filter((type) => type.state !== "SYNCED");
  if (!behind.length) return h("span", { class: "pill good" }, "in sync");
  return behind.map((type) => h("span", { class: `pill ${STATES[type.state]}` }, `${type.type} ${type.state.toLowerCase()}${type.lag ? `, ${type.lag} behind` : ""}`));
}

function details(node, context) {
  const load = node.load ?? {};
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`).join(", ");
  const facts = [
    ["id", node.id],
    ["phase", `${node.phase} since ${day(node.phase_since)}`],
    ["connected", node.connected ? `for ${span(node.connected_for_ms)} from ${node.remote}` : "no"],
    ["labels", labels || "none"],
    ["weight", node.weight],
    ["workers", node.workers],
    ["for peers", node.peer_addresses.join(", ")],
    ["for clients", node.client_addresses.join(", ") || "not said"],
    ["sessions", `${count(load.sessions)}, ${count(load.subscriptions)} subscriptions`],
    ["retained", count(load.retained_messages)],
    ["memory", `${bytes(load.memory_bytes)} accounted`],
    ["traffic", `${bytes(load.bytes_in_per_s)}/s in, ${bytes(load.bytes_out_per_s)}/s out, ${rate(load.drops_per_s)} drops a second`],
  ];
  const type = (of) =>
    h("tr", {}, h("th", { scope: "row" }, of.type), h("td", { "data-label": "state" }, h("span", { class: `pill ${STATES[of.state]}` }, of.state)), h("td", { "data-label": "held" }, of.held), h("td", { "data-label": "published" }, of.published ?? "–"), h("td", { "data-label": "lag" }, of.lag ?? "–"), h("td", { "data-label": "refused" }, of.refused ?? ""));
  return h(
    "tr",
    { "data-key": `${node.id} details`, class: "details" },
    h(
      "td",
      { colspan: "9" },
      h("dl", { class: "rows" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      node.sync ? h("table", { class: "inner" }, h("thead", {}, h("tr", {}, ["type", "state", "held", "published", "lag", "why refused"].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, node.sync.map(type))) : null,
      context.may("operator") ? actions(node, context) : null,
    ),
  );
}

function actions(node, context) {
  const isCordoned = node.phase === "cordoned" || node.phase === "draining";
  const cordon = () => context.act(() => api("PATCH", `/api/v1/nodes/${node.id}`, { cordoned: !isCordoned }), isCordoned ? `${node.label} takes shards again.` : `${node.label} takes no new shards.`);
  const drain = () => confirm(`Bring all ${node.shards} shards of ${node.label} elsewhere?`) && context.act(() => api("POST", `/api/v1/nodes/${node.id}/drain`), `${node.label} is drained: its shards go elsewhere.`);
  return h("p", { class: "actions" }, h("button", { onclick: cordon }, isCordoned ? "Uncordon" : "Cordon"), node.phase === "draining" ? null : h("button", { onclick: drain }, "Drain"));
}
