// The frame around the pages: who looks, which page, how fresh what it shows is.

import { Problem, Unreachable, api, listen } from "./api.js";
import { h, show } from "./dom.js";
import { clock } from "./format.js";
import { page as overview } from "./overview.js";
import { page as topology } from "./topology.js";
import { page as map } from "./map.js";
import { page as placement } from "./placement.js";
import { page as nodes } from "./nodes.js";

const PAGES = { overview, topology, map, placement, nodes };
const [head, banners, main, foot] = ["head", "banners", "main", "foot"].map((id) => document.getElementById(id));

/** Everything that is known, in one place; `draw` shows it. */
const state = {
  who: null,
  overview: null,
  /** What the page has read. */
  data: null,
  /** Figures since the window was opened, for the curves. */
  history: [],
  /** What is being edited on a page, by page. */
  drafts: {},
  isHeard: true,
  /** When control answered last. */
  readAt: null,
  trouble: null,
  note: null,
};

let [stopListening, isReading, wanted, timer] = [null, false, false, null];

/** The page and its parameters, as they stand in the address. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const name = Object.hasOwn(PAGES, path) ? path : "overview";
  return { name, page: PAGES[name], params: new URLSearchParams(query ?? "") };
}

/** The address of a page with parameters; those that are null are left out. */
function link(name, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return `#/${name}${query.size ? `?${query}` : ""}`;
}

/** What pages are given. */
function context() {
  const { name, params } = place();
  return {
    name,
    params,
    link,
    state,
    width: main.clientWidth - 2 * parseFloat(getComputedStyle(main).paddingLeft),
    draft: (state.drafts[name] ??= {}),
    may: (role) => ROLES.indexOf(state.who?.role) >= ROLES.indexOf(role),
    /** Changes parameters of this page in the address. */
    set: (changes) => {
      const all = { ...Object.fromEntries(params), ...changes };
      history.replaceState(null, "", link(name, all));
      refresh();
    },
    go: (to, given) => (location.hash = link(to, given)),
    draw,
    refresh,
    /** Does something that changes something, says what came of it, and goes on from there. */
    act: async (what, done, then) => {
      state.note = null;
      try {
        const value = await what();
        state.note = { kind: "good", text: typeof done === "function" ? done(value) : done };
        then?.(value);
        refresh();
      } catch (error) {
        fail(error);
        draw();
      }
    },
  };
}

/** Reads what the page shows, once more if something changes meanwhile. */
async function refresh() {
  wanted = true;
  if (isReading || !state.who) return;
  isReading = true;
  while (wanted && state.who) {
    wanted = false;
    const { name, page } = place();
    try {
      const [seen, data] = await Promise.all([api("GET", "/api/v1/overview"), page.read?.(context())]);
      if (place().name === name) {
        [state.overview, state.data, state.readAt, state.trouble] = [seen, { name, value: data }, Date.now(), null];
        remember(seen);
      } else wanted = true;
    } catch (error) {
      fail(error);
    }
    draw();
  }
  isReading = false;
}

function remember({ load, as_of }) {
  if (!load || load.messages_in_per_s === null || state.history.at(-1)?.at === as_of) return;
  state.history.push({ at: as_of, time: Date.parse(as_of), load });
  if (state.history.length > HISTORY_MAX) state.history.shift();
}

function fail(error) {
  if (error instanceof Problem && error.status === 401) return logIn("The session is over.");
  if (error instanceof Unreachable) state.trouble = "Control does not answer.";
  else if (error instanceof Problem && error.status === 503) state.trouble = `${error.title}: ${error.message}`;
  else {
    state.note = { kind: "bad", text: error instanceof Problem ? `${error.title}: ${error.message}` : String(error) };
    if (!(error instanceof Problem)) console.error(error);
  }
}

function draw() {
  if (!state.who) return;
  const { name, page } = place();
  document.title = `${page.title} · Sluice`;
  drawHead(name);
  show(banners, banner());
  const ready = state.data?.name === name && state.overview;
  const body = ready ? page.view(state.data.value, context()) : h("p", { class: "quiet" }, "reading …");
  const note = state.note && h("p", { class: `banner ${state.note.kind}`, role: "alert" }, state.note.text, h("button", { class: "plain", onclick: () => ((state.note = null), draw()) }, "close"));
  show(main, h("h1", { "data-key": name }, page.title), note, h("div", { class: `page ${name}`, "data-key": name }, body), same(page));
  drawFoot();
}

function drawHead(current) {
  const item = ([name, page]) => h("a", { href: link(name), "aria-current": name === current ? "page" : null }, page.short ?? page.title);
  show(
    head,
    h("a", { class: "brand", href: link("overview") }, h("img", { src: "/ui/icon.svg", alt: "", width: 22, height: 22 }), "Sluice"),
    h("nav", { "aria-label": "pages" }, Object.entries(PAGES).map(item)),
    h("span", { class: "who" }, `${state.who.name} · ${state.who.role}`),
    h("button", { class: "plain", onclick: turnTheme, title: "dark or light" }, "◐", h("span", { class: "hidden" }, " dark or light")),
    h("button", { class: "plain", onclick: logOut }, "log out"),
  );
}

function banner() {
  const found = [];
  if (state.trouble || !state.isHeard) {
    const since = state.readAt ? ` What is shown is of ${clock(state.readAt)}.` : "";
    found.push(h("p", { class: "banner bad" }, `${state.trouble ?? "Control is not heard of."}${since} Trying again …`));
  }
  const control = state.overview?.control;
  if (control && control.office !== "leading") {
    found.push(h("p", { class: "banner warn" }, `This replica, ${control.replica}, does not lead: live figures are with ${control.leader ?? "none yet"}.`));
  } else if (control?.waits_for.length) {
    found.push(h("p", { class: "banner warn" }, `Control leads since a moment ago and waits for ${control.waits_for.length} nodes before it takes any route away.`));
  }
  return found;
}

/** How fresh and how whole it is. */
function drawFoot() {
  const seen = state.overview;
  if (!seen) return;
  const sum = (key) => seen.regions.reduce((sum, region) => sum + region[key], 0);
  const [present, nodes] = [sum("connected"), sum("nodes")];
  const isPartial = present < nodes || Boolean(state.trouble) || !state.isHeard;
  show(
    foot,
    h("span", { class: isPartial ? "pill warn" : "pill" }, `as of ${clock(seen.as_of)}, ${present}/${nodes} nodes`),
    seen.alarms.length ? h("a", { class: "pill bad", href: link("overview") }, seen.alarms.length === 1 ? "1 alarm" : `${seen.alarms.length} alarms`) : null,
    seen.placement.paused ? h("a", { class: "pill warn", href: link("placement") }, "moves are paused") : null,
  );
}

/** The same for a terminal. */
function same(page) {
  const { ctl, path, method = "GET", body } = page.same(context());
  const curl = ["curl -H \"Authorization: Bearer $SLUICE_TOKEN\"", method === "GET" ? "" : ` -X ${method}`, body ? ` -d @${body}` : "", ` '${location.origin}${path}'`].join("");
  const row = (title, text) => h("p", {}, h("span", { class: "quiet" }, title), h("code", {}, text));
  return h("details", { class: "same" }, h("summary", {}, "The same in a terminal"), row("sluicectl", ctl), row("curl", curl));
}

// ---- Who looks.

function logIn(why) {
  stopListening?.();
  [stopListening, state.who] = [null, null];
  localStorage.removeItem(HAS_SESSION);
  show(head, h("span", { class: "brand" }, h("img", { src: "/ui/icon.svg", alt: "", width: 22, height: 22 }), "Sluice"));
  show(banners);
  show(foot);
  const submit = async (event) => {
    event.preventDefault();
    await enter(new FormData(event.target).get("token"));
  };
  document.title = "Sluice";
  show(
    main,
    h(
      "form",
      { class: "card login", onsubmit: submit, "data-key": "login" },
      h("h1", {}, "Log in"),
      why ? h("p", { class: "banner warn", role: "alert" }, why) : null,
      h("label", {}, "Token", h("input", { name: "token", type: "password", autocomplete: "current-password", placeholder: "slc_…", required: true })),
      h("p", { class: "quiet" }, "The first one is in the file bootstrap-token of control. It is exchanged for a cookie and not kept."),
      h("button", { class: "main" }, "Log in"),
    ),
  );
  main.querySelector("input").focus();
}

async function enter(token) {
  try {
    await api("POST", "/api/v1/session", { token });
    localStorage.setItem(HAS_SESSION, "yes");
    await start();
  } catch (error) {
    logIn(error instanceof Problem ? `${error.title}: ${error.message}.` : "Control does not answer.");
  }
}

async function logOut() {
  await api("DELETE", "/api/v1/session").catch(() => null);
  [state.overview, state.data, state.history, state.drafts] = [null, null, [], {}];
  logIn(null);
}

async function start() {
  state.who = await api("GET", "/api/v1/whoami");
  stopListening?.();
  stopListening = listen({
    onChange: (topics) => {
      if (topics.some((topic) => topic === "alarms" || place().page.topics.includes(topic))) refresh();
    },
    onState: (isHeard) => {
      if (state.isHeard === isHeard) return;
      state.isHeard = isHeard;
      isHeard ? refresh() : draw();
    },
    onRefused: async () => {
      try {
        await api("GET", "/api/v1/whoami");
        return true;
      } catch (error) {
        const isOver = error instanceof Problem && error.status === 401;
        if (isOver) logIn("The session is over.");
        return !isOver;
      }
    },
  });
  draw();
  await refresh();
}

function turnTheme() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const shown = document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
  document.documentElement.dataset.theme = shown === "dark" ? "light" : "dark";
  localStorage.setItem("sluice.theme", document.documentElement.dataset.theme);
}

async function begin() {
  const theme = localStorage.getItem("sluice.theme");
  if (theme) document.documentElement.dataset.theme = theme;
  window.addEventListener("hashchange", () => {
    state.note = null;
    draw();
    refresh();
    scrollTo(0, 0);
  });
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(draw, 100);
  });
  document.addEventListener("visibilitychange", () => !document.hidden && refresh());
  // Should no event come, what is shown is still not old.
  setInterval(() => !document.hidden && refresh(), SAFETY_MS);
  const query = new URLSearchParams(location.search);
  const token = query.get("token");
  if (token !== null) {
    history.replaceState(null, "", `${location.pathname}${location.hash}`);
    return enter(token);
  }
  if (!localStorage.getItem(HAS_SESSION)) return logIn(null);
  // A control that starts at this moment answers in another one.
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return logIn(null);
      show(banners, h("p", { class: "banner bad" }, "Control does not answer. Trying again …"));
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

/** Whether there is a cookie to try, which scripts cannot see. */
const HAS_SESSION = "sluice.session";
const ROLES = ["viewer", "operator", "admin"];
const SAFETY_MS = 15_000;
/** Ten minutes of reports. */
const HISTORY_MAX = 300;

begin();
