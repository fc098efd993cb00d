// The dashboard as a person uses it, in a real browser without a window.
//
// Use: node dashboard.cjs LINK SCENARIO, where LINK is what `sluice demo` prints. What the browser complains of fails a scenario.
"use strict";

const assert = require("node:assert/strict");
const puppeteer = require("puppeteer-core");

const [link, scenario] = process.argv.slice(2);
const origin = new URL(link).origin;
const PAGES = ["overview", "topology", "map", "placement", "nodes"];
const PATIENCE = { timeout: 60_000 };
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** What went wrong that no assertion has seen. */
const complaints = [];

async function open(browser) {
  const page = await browser.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
  page.on("request", (request) => request.url().startsWith(origin) || complaints.push(`asks elsewhere: ${request.url()}`));
  page.on("response", (response) => response.status() >= 400 && complaints.push(`${response.status()} ${response.url()}`));
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(link);
  await page.waitForSelector(".tiles", PATIENCE);
  return page;
}

async function go(page, name) {
  await page.evaluate((name) => (location.hash = `#/${name}`), name);
  await page.waitForSelector(`.page.${name.split("?")[0]}`, PATIENCE);
}

/** Waits until something in the page is so. */
async function until(page, what, is, ...args) {
  try {
    // By the clock: a browser without a window need not draw.
    await page.waitForFunction(is, { ...PATIENCE, polling: 200 }, ...args);
  } catch (error) {
    const text = await page.evaluate(() => document.body.innerText);
    throw new Error(`${what}: ${error.message}\n${text}`);
  }
}

async function press(page, text) {
  await until(page, `a button ${text}`, (text) => [...document.querySelectorAll("button")].some((it) => it.textContent.startsWith(text)), text);
  await page.evaluate((text) => [...document.querySelectorAll("button")].find((it) => it.textContent.startsWith(text)).click(), text);
}

async function field(page, label) {
  const found = await page.evaluateHandle((label) => [...document.querySelectorAll("label")].find((it) => it.textContent.startsWith(label))?.querySelector("input, select, textarea"), label);
  assert(found.asElement(), `a field ${label}`);
  return found.asElement();
}

const scenarios = {
  /** Every page shows the cluster, in both themes and on a telephone, and the figures move. */
  async pages(page) {
    assert(!page.url().includes("token"), "the token stays in no history");
    const [cookie] = await page.cookies();
    assert(cookie.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
    await until(page, "all nodes", () => document.querySelector("footer").innerText.includes("3/3 nodes"));
    const tile = (name) => [...document.querySelectorAll(".tile")].find((it) => it.innerText.startsWith(name))?.querySelector(".value").innerText;
    await until(page, "messages flow", `(${tile})("messages in") > 1 && (${tile})("clients") > 1`);
    await until(page, "a curve", () => document.querySelectorAll("polyline.curve").length === 4);
    await go(page, "topology");
    await until(page, "the links", () => document.querySelectorAll("g.node.fine").length === 3 && document.querySelectorAll("g.link").length === 3 && !document.querySelector("g.link.cut"));
    await go(page, "nodes");
    await until(page, "nodes in sync", () => [...document.querySelectorAll("tbody tr")].filter((it) => it.innerText.includes("in sync")).length === 3);
    await go(page, "map?topic=a%2Fb");
    await until(page, "the home of a topic", () => document.querySelector(".finder").innerText.includes("policy topics"));
    assert.equal(await page.$$eval(".shard", (all) => all.length), 128);
    for (const width of [1280, 360]) {
      await page.setViewport({ width, height: 800 });
      for (const name of PAGES) {
        await press(page, "◐");
        await go(page, name);
        await pause(200);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert(over <= 0, `${name} is ${over} px wider than ${width}`);
      }
    }
  },

  /** A change is previewed, applied by its plan's id, and stands in the history. */
  async apply(page) {
    await go(page, "placement");
    await press(page, "New policy");
    await (await field(page, "Name")).type("factory");
    await (await field(page, "Topics")).type("factory/#");
    await (await field(page, "Shards")).type("4");
    // What is read meanwhile does not disturb who types.
    await pause(2500);
    await (await field(page, "Home")).select("region");
    await (await field(page, "Region")).type("nowhere");
    await press(page, "Preview");
    await until(page, "the plan", () => /plan=p-/.test(location.hash) && document.querySelectorAll(".beside .card").length === 2);
    const warned = await page.$eval(".warnings", (it) => it.innerText);
    assert(warned.includes("No node is in region nowhere") && warned.includes("4 shards of factory have no node"), warned);
    // The address alone brings the plan back.
    await page.reload();
    await press(page, "Apply p-");
    await until(page, "the policy", () => document.querySelector("main").innerText.includes("is applied as revision 1") && document.querySelector("main").innerText.includes("factory/#"));
  },

  /** A node that was killed is silent and its links are cut. */
  async loss(page) {
    await go(page, "topology");
    await until(page, "the loss", () => document.querySelectorAll("g.node.silent").length === 1 && document.querySelectorAll("g.link.cut").length === 2);
    assert((await page.$eval("footer", (it) => it.innerText)).includes("2/3 nodes"));
  },

  /** Who logs out is out, and a wrong token lets nobody in. */
  async out(page) {
    await press(page, "log out");
    await page.waitForSelector("input[name=token]", PATIENCE);
    assert.equal((await page.cookies()).length, 0);
    await page.type("input[name=token]", "slc_bootstrap_wrong");
    await page.keyboard.press("Enter");
    await until(page, "a refusal", () => document.querySelector("main").innerText.includes("lets nobody in"));
    assert(complaints.splice(0).every((text) => text.includes("401")));
  },
};

(async () => {
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  try {
    const page = await open(browser);
    await scenarios[scenario](page);
    assert.deepEqual(complaints, []);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
