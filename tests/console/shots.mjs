// Pictures of the console for docs/console/: `CONSOLE_URL=… ADMIN_KEY=… node shots.mjs FOLDER` on a demo.
import { browser, signIn, visit } from "./browser.mjs";

const folder = process.argv[2] ?? "../../docs/console";

async function shoot(name, options, path, prepare = async () => {}) {
  const page = await visit(options);
  if (path === null) {
    await page.goto("/");
  } else {
    await signIn(page);
    await page.goto(path);
  }
  await prepare(page);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.context().close();
}

const desk = { viewport: { width: 1180, height: 820 } };
const night = { ...desk, colorScheme: "dark" };
const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
const door = async (page) => {
  await page.getByRole("link", { name: "Devices", exact: true }).click();
  await page.getByRole("link", { name: /^Front door Lock/ }).first().click();
  await page.locator("#state").waitFor();
};




await shoot("device-dark", night, "/", door);
await shoot("device-phone", phone, "/", door);
await shoot("devices-light", desk, "/console/devices");
await shoot("delivery-light", desk, "/console/delivery");
await shoot("sign-in-phone", phone, null);
await browser.close();
