// Pictures of the console for docs/console/: `CONSOLE_URL=… ADMIN_KEY=… node shots.mjs FOLDER`, on a demo; see scripts/shots.
import { browser, signIn, visit } from "./browser.mjs";

const folder = process.argv[2];
const desk = { viewport: { width: 1180, height: 860 } };
const phone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const night = { colorScheme: "dark" };

/// A page as somebody sees it who came there; `prepare` goes on to what is meant.
async function shoot(name, options, place, prepare = async () => {}) {
  const page = await visit(options);
  await signIn(page);
  await page.goto(place);
  await prepare(page);
  await page.getByText("Live", { exact: true }).waitFor();
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.context().close();
}

const door = async (page) => {
  await page.getByRole("link", { name: /^Front door Lock/ }).click();
  await page.locator("#state").waitFor();
};
const cellar = async (page) => {
  await page.getByRole("link", { name: /^Cellar window/ }).click();
  await page.locator("#presence").getByText("Out of reach 1 time").waitFor();
};

// Once there is something to see: a battery has failed, and somebody brought another.
const page = await visit();
await signIn(page);
await page.goto("/?kind=batteries");
await page.locator("#events").getByText("Cellar window: its battery is full").first().waitFor({ timeout: 300_000 });
await page.context().close();

await shoot("now-light", desk, "/");
await shoot("device-dark", { ...desk, ...night }, "/console/devices", cellar);
await shoot("devices-light", desk, "/console/devices");
await shoot("hub-light", desk, "/console/hub");
await shoot("door-phone-dark", { ...phone, ...night }, "/console/devices", door);
await browser.close();
