// What the first view costs a browser that has nothing of it yet: `CONSOLE_URL=… ADMIN_KEY=… node first.mjs` prints {bytes, ms: […]}.
import { browser, signIn, visit } from "./browser.mjs";

const LOADS = 20;

const known = await visit();
await signIn(known);
const cookies = await known.context().cookies();
const loads = [];
for (let n = 0; n < LOADS; n++) {
  const page = await visit();
  await page.context().addCookies(cookies);
  await page.goto("/", { waitUntil: "load" });
  loads.push(await page.evaluate(() => {
    const [view] = performance.getEntriesByType("navigation");
    const parts = [view, ...performance.getEntriesByType("resource")];
    return { ms: view.loadEventEnd, bytes: parts.reduce((sum, part) => sum + part.transferSize, 0) };
  }));
  await page.context().close();
}
// The browser's own beginnings are in the first.
const ms = loads.slice(1).map((load) => Math.round(load.ms)).toSorted((a, b) => a - b);
console.log(JSON.stringify({ ms, bytes: Math.max(...loads.map((load) => load.bytes)) }));
await browser.close();
