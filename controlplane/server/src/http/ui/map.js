// Which node is the home of which shard.

import { all, api } from "./api.js";
import { h } from "./dom.js";
import { byPolicy, fleet, grid, home, tag } from "./shards.js";

export const page = {
  title: "Shard map",
  short: "Shards",
  topics: ["nodes", "placement"],
  same: ({ params }) => {
    const topic = params.get("topic");
    return topic
      ? { ctl: `sluicectl topics where '${topic}'`, path: `/api/v1/topics/where?topic=${encodeURIComponent(topic)}` }
      : { ctl: "sluicectl placement show", path: "/api/v1/placement" };
  },
  read: async ({ params }) => {
    const topic = params.get("topic");
    const [nodes, placement, where] = await Promise.all([
      all((more) => api("GET", `/api/v1/nodes?limit=1000${more}`)),
      all((more) => api("GET", `/api/v1/placement?limit=1000${more}`)),
      topic ? api("GET", `/api/v1/topics/where?topic=${encodeURIComponent(topic)}`).catch((error) => ({ error: error.message })) : null,
    ]);
    return { nodes: nodes.items, placement, where };
  },
  view: ({ nodes, placement, where }, context) => {
    const known = fleet(nodes);
    const rows = placement.items;
    const node = context.params.get("node");
    const selected = context.params.get("shard") ?? where?.shard ?? null;
    return [finder(where, known, context), legend(known, rows, node, context), selected ? details(rows.find((row) => row.shard === selected), known) : null, maps(rows, known, { node, selected }, context)];
  },
};

/** Where a topic lives. */
function finder(where, known, context) {
  const submit = (event) => {
    event.preventDefault();
    context.set({ topic: new FormData(event.target).get("topic"), shard: null });
  };
  const names = (ids) => ids.map((id) => known.get(id)?.label ?? id.slice(0, 6)).join(", ") || "nobody";
  const answer = !where
    ? null
    : where.error
      ? h("p", { class: "banner warn" }, where.error)
      : h("p", {}, "policy ", h("strong", {}, where.policy ?? "none"), ", shard ", h("strong", {}, where.shard), ", home ", tag(known.get(where.home), where.home), `, subscribers at ${names(where.subscribers)}`);
  return h(
    "form",
    { class: "card finder", onsubmit: submit },
    h("label", {}, "Where does a topic live?", h("input", { name: "topic", value: context.params.get("topic"), placeholder: "sensors/eu/42/temp", autocomplete: "off", spellcheck: "false" })),
    h("button", {}, "Find"),
    answer,
  );
}

function legend(known, rows, node, context) {
  const held = new Map();
  for (const row of rows) held.set(home(row.replicas), (held.get(home(row.replicas)) ?? 0) + 1);
  const moving = rows.filter((row) => row.replicas.moving).length;
  const item = (of) =>
    h("button", { class: `plain ${node === of.id ? "selected" : ""}`, "aria-pressed": node === of.id ? "true" : "false", onclick: () => context.set({ node: node === of.id ? null : of.id }) }, tag(of), h("span", { class: "quiet" }, ` ${held.get(of.id) ?? 0}`));
  return h("p", { class: "legend" }, h("span", { class: "quiet" }, "Home: "), [...known.values()].map(item), held.get(null) ? h("span", { class: "pill bad" }, `${held.get(null)} nowhere`) : null, moving ? h("span", { class: "pill warn" }, `${moving} on their way`) : null);
}

function maps(rows, known, { node, selected }, context) {
  if (!rows.length) return h("p", { class: "quiet" }, "Nothing is placed: there are no nodes that could take shards.");
  const section = ([name, of]) =>
    h(
      "section",
      { "data-key": name },
      h("h2", {}, name, h("span", { class: "quiet" }, ` ${of.length} shards`)),
      grid({ rows: of, nodes: known, selected, lit: (row) => !node || row.replicas.voters.includes(node) || row.replicas.learners.includes(node), onSelect: (shard) => context.set({ shard }), label: `shards of ${name}` }),
    );
  return [...byPolicy(rows)].map(section);
}

function details(row, known) {
  if (!row) return h("p", { class: "quiet" }, "There is no such shard.");
  const { voters, learners, leaving, epoch, moving } = row.replicas;
  const list = (ids) => (ids.length ? ids.map((id) => tag(known.get(id), id)) : "none");
  const rows = [["policy", row.policy ?? "none"], ["voters", list(voters)], ["learners", list(learners)], ["leaving", list(leaving)], ["epoch", `${epoch}${moving ? ", moving" : ""}`]];
  return h("section", { class: "card", "aria-live": "polite" }, h("h2", {}, `Shard ${row.shard}`), h("dl", { class: "rows" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}
