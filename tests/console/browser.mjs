// A browser for the checks: Debian's Chromium, and what each of them wants to know of a page.
import axe from "axe-core";
import { chromium } from "playwright-core";

export const PATIENCE = 60_000; // two cores, shared with everything else

const { CONSOLE_URL, ADMIN_KEY, READ_KEY, RIG_CONTROL } = process.env;
export { ADMIN_KEY, CONSOLE_URL, READ_KEY };

export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

/// A window of somebody who was never here. Anything that a page breaks (its policy, its script) ends the check.
export async function visit(options = {}) {
  const context = await browser.newContext({ baseURL: CONSOLE_URL, viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
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

/// Something happens to a node of the Z-Wave network.
export async function node(number, stimulus, options = {}) {
  const answer = await fetch(`${RIG_CONTROL}/node/${number}/${stimulus}`, { method: "POST", body: JSON.stringify(options) });
  if (!answer.ok) throw new Error(`the rig: ${await answer.text()}`);
  return answer.json();
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

/// Runs the checks one after the other, says how each went, and ends with a failure where one did.
export async function run(checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const began = Date.now();
    try {
      await check();
      console.log(`holds  ${name}  (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}\n${error?.stack ?? error}`);
    }
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
}
