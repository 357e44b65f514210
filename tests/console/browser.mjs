// A browser for the checks: Debian's Chromium, and what each of them wants to know of a page.
import axe from "axe-core";
import { chromium } from "playwright-core";

export const PATIENCE = Number(process.env.PATIENCE ?? 60_000); // two cores, shared with everything else

export const { CONSOLE_URL, ADMIN_KEY, READ_KEY, RIG_URL, BIND_KEY, OTHER_BIND_KEY, DIGITS } = process.env;
const { RIG_CONTROL, ONLY } = process.env;

export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

let last;

/// A window of somebody who was never here. Anything that a page breaks (its policy, its script) ends the check.
export async function visit(options = {}) {
  const context = await browser.newContext({ baseURL: CONSOLE_URL, viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  last = page;
  page.broken = [];
  page.on("pageerror", (error) => page.broken.push(String(error)));
  page.on("console", (said) => said.type() === "error" && page.broken.push(said.text()));
  return page;
}

export async function signIn(page, key = ADMIN_KEY) {
  await page.goto("/");
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Now", level: 1 }).waitFor();
}

const rig = async (what, options) => {
  const answer = await fetch(`${RIG_CONTROL}/${what}`, { method: "POST", body: JSON.stringify(options) });
  if (!answer.ok) throw new Error(`the rig: ${await answer.text()}`);
  return answer.json();
};

/// Something happens to a node of the Z-Wave network.
export const node = (number, stimulus, options = {}) => rig(`node/${number}/${stimulus}`, options);

/// Another client of the Z-Wave server looks whether a node is there.
export const ping = (number) => rig("ask", { command: "node.ping", nodeId: number });

const places = {};

/// The page of a node's device, found as a person would: one after the other.
export async function device(page, number) {
  if (!places[number]) {
    await page.goto("/console/devices");
    const links = page.locator("#devices a.row");
    await links.first().waitFor();
    for (const place of await links.evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
      await page.goto(place);
      const key = await page.locator("#facts dd.id", { hasText: "zwave:" }).innerText();
      places[key.split(":").pop()] = place;
    }
  }
  if (!places[number]) throw new Error(`no device of node ${number}`);
  await page.goto(places[number]);
}

/// The page of the lock on node 2.
export const door = (page) => device(page, 2);

/// Comes back when it holds; looks a few times a second.
export async function until(what, holds) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    if (await holds()) return;
    await new Promise((go) => setTimeout(go, 200));
  }
  throw new Error(`${what}: not in time`);
}

/// Serious and critical faults that axe finds on a page as it is.
export async function faults(page) {
  // Past the page's own policy, as a browser's tools are.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: axe.source });
  const found = await client.send("Runtime.evaluate", {
    expression: "axe.run(document).then((r) => JSON.stringify(r.violations))", awaitPromise: true, returnByValue: true,
  });
  await client.detach();
  return JSON.parse(found.result.value)
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).join(", ")}`);
}

/// Whether the page is wider than its window.
export const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

/// Runs the checks one after the other, says how each went, and ends with a failure where one did. `ONLY=…` runs those named so, and the
/// first, without which there is nothing to see.
export async function run(checks) {
  let failed = 0;
  for (const [n, [name, check]] of Object.entries(checks).entries()) {
    if (ONLY && n > 0 && !name.match(ONLY)) continue;
    const began = Date.now();
    try {
      await check();
      console.log(`holds  ${name}  (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      const seen = await last?.locator("body").innerText({ timeout: 1000 }).catch(() => "nothing");
      console.log(`FAILED ${name}\n${error?.stack ?? error}\nseen at ${last?.url()}: ${seen?.slice(0, 2000)}`);
      if (process.env.FAIL_FAST) break;
    }
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
}
