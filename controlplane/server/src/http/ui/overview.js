// The cluster on one page.

import { h, s } from "./dom.js";
import { bytes, count, rate } from "./format.js";

export const page = {
  title: "Overview",
  topics: ["stats", "nodes", "placement"],
  same: () => ({ ctl: "sluicectl status", path: "/api/v1/overview" }),
  view: (_, context) => {
    const { overview: seen, history } = context.state;
    return [alarms(seen.alarms), tiles(seen, context), curves(history, context.width), regions(seen, context), control(seen, context)];
  },
};

function alarms(found) {
  if (!found.length) return h("p", { class: "banner good" }, "No alarms.");
  return h("ul", { class: "alarms" }, found.map((alarm) => h("li", { class: `banner ${alarm.severity === "critical" ? "bad" : "warn"}` }, h("strong", {}, alarm.code), " ", alarm.message)));
}

function tiles(seen, context) {
  const load = seen.load ?? {};
  const drops = load.drops_per_s && load.messages_out_per_s ? ` (${((100 * load.drops_per_s) / (load.messages_out_per_s + load.drops_per_s)).toFixed(2)} %)` : "";
  const behind = seen.sync?.pending ?? 0;
  const all = [
    ["clients", count(load.clients), null],
    ["messages in", rate(load.messages_in_per_s), "a second"],
    ["messages out", rate(load.messages_out_per_s), "a second"],
    ["drops", rate(load.drops_per_s), `a second${drops}`, load.drops_per_s > 0 ? "warn" : ""],
    ["sessions", count(load.sessions), null],
    ["subscriptions", count(load.subscriptions), null],
    ["retained", count(load.retained_messages), "messages"],
    ["waiting", count(load.queued_messages), "messages in sessions"],
    ["configuration", seen.sync ? (behind ? `${behind} behind` : "in sync") : "–", seen.sync ? `${seen.sync.nodes} nodes connected` : null, behind ? "warn" : "", context.link("nodes")],
    ["shards", count(seen.placement.shards), seen.placement.moving ? `${seen.placement.moving} on their way` : "all at rest", "", context.link("map")],
  ];
  const tile = ([name, value, unit, kind, href]) =>
    h(href ? "a" : "div", { class: `tile ${kind ?? ""}`, href }, h("span", { class: "name" }, name), h("span", { class: "value" }, value), h("span", { class: "unit" }, unit ?? " "));
  return h("section", { class: "tiles", "aria-label": "figures" }, all.map(tile));
}

function curves(history, width) {
  const wide = width > 900 ? (width - 16) / 2 : width;
  return h(
    "section",
    { class: "curves" },
    chart("Messages a second", history, wide, [["in", (load) => load.messages_in_per_s], ["out", (load) => load.messages_out_per_s], ["drops", (load) => load.drops_per_s]]),
    chart("Clients", history, wide, [["clients", (load) => load.clients]]),
  );
}

/** Curves over what this window has seen. */
function chart(title, history, wide, series) {
  const [width, height, left, bottom] = [Math.max(Math.round(wide) - 26, 250), 150, 46, 18];
  const times = history.map((point) => point.time);
  const [begin, end] = [Math.min(...times), Math.max(...times)];
  const top = ceiling(Math.max(1, ...history.flatMap(({ load }) => series.map(([, of]) => of(load) ?? 0))));
  const x = (time) => left + ((width - left - 6) * (time - begin)) / Math.max(end - begin, 1000);
  const y = (value) => 8 + (height - bottom - 8) * (1 - value / top);
  const line = ([name, of], at) => s("polyline", { class: `curve c${at}`, points: history.map(({ time, load }) => `${x(time).toFixed(1)},${y(of(load) ?? 0).toFixed(1)}`).join(" ") }, s("title", {}, name));
  const rule = (value) => [s("line", { class: "rule", x1: left, x2: width - 6, y1: y(value), y2: y(value) }), s("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, count(value))];
  const last = history.at(-1)?.load;
  const key = ([name, of], at) => h("span", { class: "key" }, h("span", { class: `dot c${at}` }), `${name} ${last ? rate(of(last)) : "–"}`);
  const ago = history.length > 1 ? `${Math.max(1, Math.round((end - begin) / 1000))} s ago` : "";
  return h(
    "figure",
    { class: "card" },
    h("figcaption", {}, h("strong", {}, title), " ", series.map(key)),
    history.length < 2
      ? h("p", { class: "quiet empty" }, "collecting: a curve needs some seconds")
      : s("svg", { class: "chart", role: "img", "aria-label": `${title} over the last ${ago}`, width, height, viewBox: `0 0 ${width} ${height}` }, [0, top / 2, top].map(rule), series.map(line), s("text", { x: left, y: height - 3 }, ago), s("text", { x: width - 6, y: height - 3, "text-anchor": "end" }, "now")),
  );
}

function ceiling(value) {
  const scale = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * scale).find((step) => step >= value);
}

function regions(seen, context) {
  const tile = ({ region, nodes, connected, load }) =>
    h(
      "a",
      { class: `card region ${connected < nodes ? "warn" : ""}`, href: context.link("topology") },
      h("h3", {}, region || "no region"),
      h("p", {}, `${connected}/${nodes} nodes`),
      h("dl", { class: "figures" }, figure("clients", count(load.clients)), figure("in /s", rate(load.messages_in_per_s)), figure("out /s", rate(load.messages_out_per_s)), figure("sessions", count(load.sessions))),
    );
  return h("section", {}, h("h2", {}, "Regions"), h("div", { class: "cards" }, seen.regions.length ? seen.regions.map(tile) : h("p", { class: "quiet" }, "No node has joined.")));
}

function control(seen) {
  const { control: of, store, placement } = seen;
  const quota = store.quota_bytes ? ` of ${bytes(store.quota_bytes)}` : "";
  const rows = [
    ["leader", `${of.leader ?? "none"} (epoch ${of.epoch ?? "–"}); this is ${of.replica}`],
    ["store", `${store.kind ?? ""} ${store.status}, ${bytes(store.size_bytes)}${quota}${store.members?.length > 1 ? `, ${store.members.length} members` : ""}`],
    ["placement", `version ${placement.version}, revision ${placement.intent}${placement.paused ? ", paused" : ""}`],
    ["routes", seen.routes.length ? `${count(seen.routes.reduce((sum, table) => sum + table.filters, 0))} filters in ${seen.routes.length} tables, ${bytes(seen.routes.reduce((sum, table) => sum + table.bytes, 0))}` : "none yet"],
  ];
  return h("section", {}, h("h2", {}, "Control"), h("dl", { class: "card rows" }, rows.map(([name, value]) => figure(name, value))));
}

function figure(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
