// Policies, and what a change of them would do before it is done.

import { all, api } from "./api.js";
import { h, s } from "./dom.js";
import { count, day } from "./format.js";
import { byPolicy, fleet, grid, home, tag } from "./shards.js";

export const page = {
  title: "Placement",
  topics: ["nodes", "placement"],
  same: ({ params }) => {
    const plan = params.get("plan");
    return plan
      ? { ctl: `sluicectl placement apply ${plan}`, method: "POST", path: `/api/v1/placement/plans/${plan}/apply` }
      : { ctl: "sluicectl placement plan -f policy.yaml", method: "POST", body: "changes.json", path: "/api/v1/placement/plans" };
  },
  read: async ({ params }) => {
    const id = params.get("plan");
    const [nodes, policies, placement, history, suggested, plan] = await Promise.all([
      all((more) => api("GET", `/api/v1/nodes?limit=1000${more}`)),
      all((more) => api("GET", `/api/v1/placements?limit=1000${more}`)),
      all((more) => api("GET", `/api/v1/placement?limit=1000${more}`)),
      api("GET", "/api/v1/placement/revisions?limit=10"),
      // Only the leader hears of traffic.
      api("GET", "/api/v1/placement/suggestions").catch(() => ({ items: [] })),
      id && id !== applying ? api("GET", `/api/v1/placement/plans/${id}`).catch((error) => ({ error: error.status === 404 ? "There is no such plan: it was applied, or is forgotten." : error.message })) : null,
    ]);
    return { nodes: nodes.items, policies: policies.items, placement, history: history.items, suggested: suggested.items, plan };
  },
  view: (data, context) => {
    const known = fleet(data.nodes);
    if (data.plan) return preview(data, known, context);
    return [context.draft.form ? editor(context, known) : policies(data, context), suggestions(data, context), losses(data, known, context), revisions(data, context)];
  },
};

/** The plan that is being applied, or was: there is none of its id any more. */
let applying = null;

async function applyPlan(id) {
  applying = id;
  try {
    return await api("POST", `/api/v1/placement/plans/${id}/apply`);
  } catch (error) {
    applying = null;
    throw error;
  }
}

// ---- What is there.

function homeText({ region, nodes, selector }, known) {
  if (region) return `region ${region}`;
  if (nodes) return `nodes ${nodes.map((id) => known?.get(id)?.label ?? id.slice(0, 6)).join(", ")}`;
  if (selector) return Object.entries(selector).map(([key, value]) => `${key}=${value}`).join(", ");
  return "anywhere";
}

function policies({ policies, nodes, placement }, context) {
  const known = fleet(nodes);
  const may = context.may("operator");
  const edit = (policy) => {
    context.draft.form = formOf(policy);
    context.draw();
  };
  const row = (policy) => {
    const { spec, metadata } = policy;
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, metadata.name),
      h("td", { "data-label": "topics" }, spec.topics.length ? spec.topics.map((topic) => h("code", {}, topic)) : metadata.name === "sessions" ? "all sessions" : "all other topics"),
      h("td", { "data-label": "home" }, homeText(spec.home, known)),
      h("td", { "data-label": "replicas" }, spec.replicas),
      h("td", { "data-label": "shards" }, spec.shards),
      h("td", { "data-label": "elsewhere" }, spec.remoteSubscribers === "deny" ? "denied" : "forwarded"),
      h("td", {}, may ? h("button", { onclick: () => edit(policy), "aria-label": `change ${metadata.name}` }, "Change") : null),
    );
  };
  const pause = () => context.act(() => (placement.paused ? api("POST", "/api/v1/placement/resume") : api("POST", "/api/v1/placement/pause")), placement.paused ? "Shards move again." : "Nothing new moves.");
  return h(
    "section",
    {},
    h("h2", {}, "Policies"),
    h("table", {}, h("thead", {}, h("tr", {}, ["name", "topics", "home", "replicas", "shards", "subscribers elsewhere", ""].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, policies.map(row))),
    may ? h("p", { class: "actions" }, h("button", { class: "main", onclick: () => edit(null) }, "New policy"), h("button", { onclick: pause }, placement.paused ? "Let shards move" : "Pause moves")) : h("p", { class: "quiet" }, "An operator may change them."),
  );
}

// ---- A change.

function formOf(policy) {
  const spec = policy?.spec ?? { topics: [], home: {}, replicas: 1, spread: "zone", fallback: [], remoteSubscribers: "forward" };
  const { region, nodes, selector } = spec.home;
  return {
    spec,
    isNew: !policy,
    isOwn: !policy || spec.topics.length > 0,
    name: policy?.metadata.name ?? "",
    topics: spec.topics.join("\n"),
    kind: region ? "region" : nodes ? "nodes" : selector ? "selector" : "anywhere",
    region: region ?? "",
    nodes: nodes ?? [],
    selector: selector ? Object.entries(selector).map(([key, value]) => `${key}=${value}`).join(", ") : "",
    replicas: String(spec.replicas),
    shards: spec.shards ? String(spec.shards) : "",
    fallback: spec.fallback.join(", "),
    remote: spec.remoteSubscribers,
  };
}

function resource(form) {
  const list = (text, by) => text.split(by).map((item) => item.trim()).filter(Boolean);
  const homes = {
    anywhere: () => ({}),
    region: () => ({ region: form.region.trim() }),
    nodes: () => ({ nodes: form.nodes }),
    selector: () => ({ selector: Object.fromEntries(list(form.selector, ",").map((pair) => pair.split("=").map((part) => part.trim()))) }),
  };
  const spec = { ...form.spec, topics: list(form.topics, "\n"), home: homes[form.kind](), replicas: Number(form.replicas), fallback: list(form.fallback, ","), remoteSubscribers: form.remote };
  if (form.shards) spec.shards = Number(form.shards);
  else delete spec.shards;
  return { apiVersion: "sluice/v1", kind: "Placement", metadata: { name: form.name.trim() }, spec };
}

function editor(context, known) {
  const { form } = context.draft;
  const edited = (key) => (event) => {
    form[key] = event.target.value;
    if (key === "kind") context.draw();
  };
  const plan = (changes) => context.act(() => api("POST", "/api/v1/placement/plans", changes), (plan) => `Plan ${plan.id} is made; nothing has changed yet.`, ({ id }) => context.set({ plan: id }));
  const input = (label, key, more = {}) => h("label", {}, label, h("input", { value: form[key], oninput: edited(key), autocomplete: "off", spellcheck: "false", ...more }));
  const choice = (label, key, options) => h("label", {}, label, h("select", { value: form[key], onchange: edited(key) }, options.map(([value, text]) => h("option", { value, selected: form[key] === value }, text))));
  const regions = [...new Set([...known.values()].map((node) => node.region).filter(Boolean))];
  const check = (node) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: form.nodes.includes(node.id), onchange: (event) => (form.nodes = event.target.checked ? [...form.nodes, node.id] : form.nodes.filter((id) => id !== node.id)) }), tag(node));
  const where = {
    anywhere: null,
    region: h("label", {}, "Region", h("input", { value: form.region, oninput: edited("region"), list: "regions", required: true, autocomplete: "off" }), h("datalist", { id: "regions" }, regions.map((value) => h("option", { value })))),
    nodes: h("fieldset", {}, h("legend", {}, "Nodes"), [...known.values()].map(check)),
    selector: input("Labels", "selector", { placeholder: "disk=nvme, zone=a", required: true }),
  };
  return h(
    "form",
    {
      class: "card editor",
      "data-key": form.isNew ? "new" : form.name,
      onsubmit: (event) => {
        event.preventDefault();
        plan({ put: [resource(form)] });
      },
    },
    h("h2", {}, form.isNew ? "New policy" : `Change ${form.name}`),
    form.isNew ? input("Name", "name", { required: true, pattern: "[A-Za-z0-9._\\/\\-]{1,63}", placeholder: "factory-eu" }) : null,
    form.isOwn ? h("label", {}, "Topics, a filter in each line", h("textarea", { rows: 3, oninput: edited("topics"), value: form.topics, required: true, spellcheck: "false", placeholder: "factory/eu/#" })) : null,
    choice("Home", "kind", [["anywhere", "anywhere"], ["region", "a region"], ["nodes", "these nodes"], ["selector", "nodes with labels"]]),
    where[form.kind],
    h("div", { class: "pairs" }, input("Replicas", "replicas", { type: "number", min: 1, max: 7 }), form.isNew ? input("Shards", "shards", { type: "number", min: 1, placeholder: "64" }) : null, input("Fallback regions", "fallback", { placeholder: "none: wait" })),
    choice("Subscribers in other regions", "remote", [["forward", "get its messages"], ["deny", "get nothing"]]),
    h(
      "p",
      { class: "actions" },
      h("button", { class: "main" }, "Preview"),
      h("button", { type: "button", onclick: () => ((context.draft.form = null), context.draw()) }, "Cancel"),
      form.isOwn && !form.isNew ? h("button", { type: "button", class: "danger", onclick: () => plan({ delete: [form.name] }) }, "Preview its deletion") : null,
    ),
  );
}

// ---- What it would do.

function preview({ plan, placement, nodes }, known, context) {
  const back = () => context.set({ plan: null });
  if (plan.error) return h("p", { class: "banner warn" }, plan.error, " ", h("button", { onclick: back }, "Back"));
  const changed = new Map(plan.changes.shards.map((change) => [change.shard, change]));
  const before = placement.items;
  const after = [...before.map((row) => (changed.has(row.shard) ? { ...row, replicas: changed.get(row.shard).after } : row)).filter((row) => row.replicas), ...plan.changes.shards.filter((change) => !change.before).map(({ shard, policy, after }) => ({ shard, policy, replicas: after }))];
  // A shard that only ends a move under way has no other home.
  const isNews = ({ before, after }) => home(before) !== home(after) || before?.voters.length !== after?.voters.length;
  const leave = () => {
    context.draft.form = null;
    context.set({ plan: null });
  };
  const apply = () => context.act(() => applyPlan(plan.id), (value) => `Plan ${plan.id} is applied as revision ${value.intent}.`, leave);
  const maps = (title, rows) =>
    h(
      "section",
      { class: "card" },
      h("h3", {}, title),
      rows.length ? [...byPolicy(rows)].map(([name, of]) => [h("h4", {}, name), grid({ rows: of, nodes: known, lit: (row) => changed.has(row.shard), marked: (row) => changed.has(row.shard) && isNews(changed.get(row.shard)), label: `${title}: shards of ${name}` })]) : h("p", { class: "quiet" }, "nothing"),
    );
  return [
    h("section", { class: "card planhead" }, h("h2", {}, `Plan ${plan.id}`), h("p", { class: "quiet" }, `by ${plan.by}, ${day(plan.at)}, from revision ${plan.parent.intent}: ${plan.applicable ? "nothing has changed yet" : "the cluster has changed since"}`), wants(plan, known), summary(plan, before, after), warnings(plan, after, known), actions(plan, apply, back, context)),
    h("div", { class: "beside" }, maps("Before", before), maps("After", after)),
    bars(plan, before, after, known),
    moves(plan.changes.shards.filter(isNews), known),
    h("details", { class: "card" }, h("summary", {}, "What the first step does"), h("pre", {}, plan.first_step || "nothing")),
  ];
}

function wants(plan, known) {
  const line = (change) =>
    change.delete ? h("li", {}, "− policy ", h("strong", {}, change.delete)) : h("li", {}, "+ policy ", h("strong", {}, change.put.metadata.name), " ", change.put.spec.topics.map((topic) => h("code", {}, topic)), ` → ${homeText(change.put.spec.home, known)}, replicas ${change.put.spec.replicas}`);
  return h("ul", { class: "wants" }, plan.policies.map(line));
}

function summary(plan, before, after) {
  return h("p", {}, `Changes ${plan.moves} of ${Math.max(before.length, after.length)} shards with ${plan.copies} copies, in ${plan.steps} steps.`);
}

/** What an operator should know before. */
function warnings(plan, after, known) {
  const found = [];
  const nowhere = plan.changes.shards.filter(({ after }) => after && !after.voters.length).length;
  if (nowhere) found.push(`${nowhere} placed shards lose every node.`);
  if (!plan.settled) found.push("It does not come to rest within the steps that were looked at.");
  if (!plan.applicable) found.push("It cannot be applied any more: make it again.");
  const silent = new Set(plan.changes.shards.flatMap(({ after }) => after?.voters ?? []).filter((id) => known.get(id)?.live === false));
  if (silent.size) found.push(`Shards would be at nodes that are silent: ${[...silent].map((id) => known.get(id).label).join(", ")}.`);
  for (const { put } of plan.policies.filter((change) => change.put)) {
    const { name, region } = { name: put.metadata.name, region: put.spec.home.region };
    const missing = put.spec.shards - after.filter((row) => row.policy === name).length;
    if (missing > 0) found.push(`${missing} shards of ${name} have no node that they may be at, and wait.`);
    if (region && ![...known.values()].some((node) => node.region === region)) found.push(`No node is in region ${region}, the home of ${name}.`);
    if (put.spec.remoteSubscribers === "deny") found.push(`Subscribers outside of its region get nothing of ${name}.`);
  }
  const copies = plan.changes.shards.filter(({ before, after }) => before?.voters.length && after && home(before) !== home(after)).length;
  if (copies) found.push(`${copies} shards that have data change their home.`);
  return found.length ? h("ul", { class: "warnings" }, found.map((text) => h("li", { class: "banner warn" }, text))) : null;
}

function actions(plan, apply, back, context) {
  const may = context.may("operator");
  return h("p", { class: "actions" }, h("button", { class: "main", disabled: !may || !plan.applicable, onclick: apply }, `Apply ${plan.id}`), h("button", { onclick: back }, "Back"), may ? null : h("span", { class: "quiet" }, "An operator may apply it."));
}

/** Shards of each node before and after. */
function bars(plan, before, after, known) {
  const held = (rows, id) => rows.filter(({ replicas }) => replicas.voters.includes(id)).length;
  const rows = [...known.values()].map((node) => ({ node, then: held(before, node.id), later: held(after, node.id) }));
  const most = Math.max(1, ...rows.flatMap(({ then, later }) => [then, later]));
  const bar = (value, kind) => s("svg", { class: `bar ${kind}`, viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { width: (100 * value) / most, height: 8, rx: 1 }));
  const difference = ({ then, later }) => (later === then ? "same" : `${later > then ? "+" : "−"}${Math.abs(later - then)}`);
  const row = (of) => h("tr", {}, h("th", { scope: "row" }, tag(of.node)), h("td", { "data-label": "before → after" }, `${count(of.then)} → ${count(of.later)}`), h("td", { "data-label": "change" }, difference(of)), h("td", { class: "bars" }, bar(of.then, "then"), bar(of.later, "later")));
  return h("section", {}, h("h2", {}, "Shards of each node"), h("table", { class: "load" }, h("thead", {}, h("tr", {}, ["node", "before → after", "change", ""].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows.map(row))));
}

function moves(changes, known) {
  const place = (replicas) => (replicas?.voters.length ? replicas.voters.map((id) => tag(known.get(id), id)) : "nowhere");
  const row = ({ shard, before, after }) => h("li", {}, h("span", { class: "shardname" }, shard), before ? place(before) : "new", " → ", after ? place(after) : "gone");
  return h("details", { class: "card" }, h("summary", {}, `Moves (${changes.length})`), h("ul", { class: "moves" }, changes.slice(0, MOVES_MAX).map(row)), changes.length > MOVES_MAX ? h("p", { class: "quiet" }, `and ${changes.length - MOVES_MAX} more`) : null);
}

// ---- What if, and what was.

function suggestions({ suggested }, context) {
  if (!suggested.length) return null;
  const plan = (policy) => context.act(() => api("POST", "/api/v1/placement/plans", { put: [policy] }), ({ id }) => `Plan ${id} is made; nothing has changed yet.`, ({ id }) => context.set({ plan: id }));
  const row = ({ summary, prefix, deliveries, policy }) => {
    const button = policy && context.may("operator") ? h("button", { onclick: () => plan(policy), "aria-label": `plan a home for ${prefix}` }, "Plan it") : null;
    return h("li", {}, summary, " ", h("span", { class: "quiet" }, `(${count(deliveries)} deliveries lately) `), button);
  };
  return h("section", { class: "card" }, h("h2", {}, "By where subscribers are"), h("ul", { class: "moves" }, suggested.slice(0, SUGGESTIONS_MAX).map(row)));
}

function losses({ nodes }, known, context) {
  const regions = [...new Set([...known.values()].map((node) => node.region).filter(Boolean))];
  const { draft } = context;
  const options = [...regions.map((region) => [`region ${region}`, { region }]), ...[...known.values()].map((node) => [`node ${node.label}`, { node: node.id }])];
  const ask = async (event) => {
    const chosen = options[Number(event.target.value)];
    draft.loss = null;
    draft.chosen = event.target.value;
    if (chosen) {
      try {
        draft.loss = await api("POST", "/api/v1/placement/simulations", chosen[1]);
      } catch (error) {
        draft.loss = { summary: error.message };
      }
    }
    context.draw();
  };
  return h(
    "section",
    { class: "card" },
    h("h2", {}, "What if we lost …"),
    h("label", {}, "A node or a region", h("select", { onchange: ask, value: draft.chosen ?? "" }, h("option", { value: "" }, "nothing"), options.map(([text], at) => h("option", { value: String(at), selected: draft.chosen === String(at) }, text)))),
    draft.loss ? h("pre", { "aria-live": "polite" }, draft.loss.summary) : null,
  );
}

function revisions({ history }, context) {
  if (!history.length) return null;
  const restore = (entry) => confirm(`Bring back the policies of revision ${entry.revision - 1}?`) && context.act(() => api("POST", `/api/v1/placement/revisions/${entry.revision - 1}/restore`), `The policies of revision ${entry.revision - 1} are back.`);
  const row = (entry, at) => h("tr", {}, h("th", { scope: "row" }, entry.revision), h("td", { "data-label": "when" }, day(entry.at)), h("td", { "data-label": "by" }, entry.by), h("td", { "data-label": "what" }, entry.what), h("td", {}, context.may("operator") ? h("button", { onclick: () => restore(entry) }, "Back to before") : null));
  return h("section", {}, h("h2", {}, "What was changed"), h("table", {}, h("thead", {}, h("tr", {}, ["revision", "when", "by", "what", ""].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, history.map(row))));
}

const MOVES_MAX = 500;
const SUGGESTIONS_MAX = 10;
