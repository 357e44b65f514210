// What a person does and sees on the console of a real hub; started by tests/console.rs.
import assert from "node:assert/strict";
import { ADMIN_KEY, CONSOLE_URL, READ_KEY, door, faults, node, overflows, run, signIn, visit } from "./browser.mjs";
import { connecting, deeds, disconnecting } from "./deeds.mjs";

const PAGES = ["/", "/console/devices", "/console/found", "/console/codes", "/console/hub"];

const path = (page) => new URL(page.url()).pathname;

await run({
  ...connecting,

  "a wrong key is told, a good one signs in, and signing out ends it": async () => {
    const page = await visit();
    await page.goto("/console/codes");
    await page.getByLabel("API key").fill("seam_kdeadbeef_0123456789abcdef");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("no key of this hub").waitFor();
    await page.getByLabel("API key").fill(ADMIN_KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    // Where one wanted to go.
    await page.getByRole("heading", { name: "Codes", level: 1 }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/"]);
    assert.ok(!cookie.value.includes("seam"), "the cookie is not the key");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API key").waitFor();
    await page.context().addCookies([cookie]);
    await page.goto("/");
    assert.equal(path(page), "/console/sign-in", "the old cookie opens nothing");
  },

  "events come as they happen, and only those that are wanted": async () => {
    const [all, doors, noise] = [await visit(), await visit(), await visit()];
    for (const page of [all, doors, noise]) await signIn(page);
    await doors.getByLabel("Show").selectOption({ label: "Doors" });
    await doors.waitForURL(/kind=doors/);
    await noise.getByLabel("Show").selectOption({ label: "Noise" });
    await noise.waitForURL(/kind=noise/);
    for (const page of [all, doors, noise]) await page.getByText("Live", { exact: true }).waitFor();
    await node(2, "operate", { name: "keypad_unlock", user: 1 });
    for (const page of [all, doors]) await page.locator("#events li.fresh", { hasText: "was unlocked with a code" }).first().waitFor();
    await node(5, "sensor", { type: 30, value: 91 });
    assert.equal(await noise.locator("#events li", { hasText: "unlocked" }).count(), 0);
    await node(2, "operate", { name: "manual_lock" });
    await all.locator("#events li.fresh", { hasText: "was locked by hand" }).first().waitFor();
    // What it changes is shown, too, without a click.
    await all.locator("#doors").getByText("Locked", { exact: true }).first().waitFor();
    assert.deepEqual([all.broken, doors.broken, noise.broken], [[], [], []]);
  },

  "a door is unlocked, and the lock's own word is waited for": async () => {
    const page = await visit();
    await signIn(page);
    await door(page);
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.locator("#attempt").getByText("The lock says that it is unlocked").waitFor();
    await page.locator("#state").getByText("Unlocked", { exact: true }).waitFor();
    assert.equal((await node(2, "inside")).mode, 0);
    await node(2, "behave", { jams: true });
    await page.getByRole("button", { name: "Lock", exact: true }).click();
    await page.locator("#attempt").getByText("It is jammed").waitFor();
    await node(2, "behave", { jams: false });
    await page.getByRole("button", { name: "Lock", exact: true }).click();
    await page.locator("#attempt").getByText("The lock says that it is locked").waitFor();
    assert.deepEqual(page.broken, []);
  },

  "it works without a script": async () => {
    const page = await visit({ javaScriptEnabled: false });
    await signIn(page);
    await door(page);
    await page.getByLabel("Name", { exact: true }).first().fill("North door");
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("status").getByText("It has its new name.").waitFor();
    assert.equal(await page.locator("h1").innerText(), "North door");
  },

  "who may only look is offered nothing else, and is refused": async () => {
    const page = await visit();
    await signIn(page, READ_KEY);
    for (const place of [...PAGES, null]) {
      await (place ? page.goto(place) : door(page));
      const offered = await page.locator("form[action^='/console/do/']").count();
      assert.equal(offered, 0, `${place} offers something`);
    }
    assert.equal(await page.getByRole("heading", { name: "Webhooks" }).count(), 0);
    const word = await page.locator("input[name=word]").first().inputValue();
    const before = (await node(2, "inside")).operations;
    for (const what of ["unlock", "rename", "code-create", "webhook-create"]) {
      const answer = await page.request.post(`/console/do/${what}`, {
        form: { word, device_id: page.url().split("/").pop(), name: "Mine", url: "https://example.com/" },
        headers: { origin: CONSOLE_URL },
      });
      assert.equal(answer.status(), 403, what);
    }
    assert.equal((await node(2, "inside")).operations ?? 0, before ?? 0);
  },

  "a form that another page sends does nothing": async () => {
    const page = await visit();
    await signIn(page);
    await door(page);
    const device_id = path(page).split("/").pop();
    const unlock = (form, headers) => page.request.post("/console/do/unlock", { form: { device_id, ...form }, headers });
    const before = (await node(2, "inside")).operations;
    const word = await page.locator("input[name=word]").first().inputValue();
    assert.equal((await unlock({}, { origin: CONSOLE_URL })).status(), 403, "without the word of our forms");
    assert.equal((await unlock({ word: word.replace(/^./, "x") }, {})).status(), 403, "with another");
    assert.equal((await unlock({ word }, { origin: "https://evil.example" })).status(), 403, "from elsewhere");
    assert.equal((await node(2, "inside")).operations, before);
    // A real page of another site: the browser keeps the cookie to itself.
    const evil = await page.context().newPage();
    await evil.route("http://evil.localhost/**", (route) => route.fulfill({
      contentType: "text/html",
      body: `<form method=post action="${CONSOLE_URL}/console/do/unlock"><input name=device_id value=${device_id}><button>Win</button></form>`,
    }));
    await evil.goto("http://evil.localhost/");
    const [answer] = await Promise.all([evil.waitForResponse(/console\/do/), evil.getByRole("button").click()]);
    assert.ok([303, 403].includes(answer.status()), `${answer.status()}`);
    assert.equal((await node(2, "inside")).operations, before);
  },

  "what is written into a name stays text, and no script of a page runs": async () => {
    const page = await visit();
    await signIn(page);
    await door(page);
    const place = path(page);
    const bad = `<img src=x onerror="document.title='broken'"> & "co"`;
    await page.getByLabel("Name", { exact: true }).first().fill(bad);
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("heading", { name: bad, level: 1 }).waitFor();
    await page.goto("/");
    await page.locator("#doors").getByText(bad).waitFor();
    assert.equal(await page.locator("main img").count(), 0);
    const policy = (await page.request.get("/")).headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*/);
    // Even one that got in would not run.
    await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.head.append(script);
    });
    assert.equal(await page.evaluate(() => window.ran), undefined);
    await page.goto(place);
    await page.getByLabel("Name", { exact: true }).first().fill("Front door");
    await page.getByRole("button", { name: "Rename" }).click();
    await page.getByRole("heading", { name: "Front door", level: 1 }).waitFor();
  },

  "axe finds no serious fault, by day and by night, and nothing is wider than a phone": async () => {
    for (const [colorScheme, width] of [["light", 1200], ["dark", 360]]) {
      const page = await visit({ colorScheme, viewport: { width, height: 740 } });
      await page.goto("/");
      await page.getByLabel("API key").waitFor();
      assert.deepEqual(await faults(page), [], `sign-in, ${colorScheme}`);
      await signIn(page);
      for (const place of [...PAGES, null]) {
        await (place ? page.goto(place) : door(page));
        await page.getByText("Live", { exact: true }).waitFor();
        for (const details of await page.locator("details").all()) await details.evaluate((d) => (d.open = true));
        assert.deepEqual(await faults(page), [], `${place}, ${colorScheme}`);
        assert.ok(!(await overflows(page)), `${place} is wider than ${width}`);
      }
      assert.deepEqual(page.broken, []);
      await page.context().close();
    }
  },

  "everything is reached with the keyboard alone": async () => {
    const page = await visit();
    const press = (key) => page.keyboard.press(key);
    const focused = () => page.evaluate(() => document.activeElement.innerText?.trim() || document.activeElement.name || "");
    /// On with Tab until there.
    const to = async (wanted) => {
      for (let n = 0; n < 200; n++) {
        if (wanted.test(await focused())) return;
        await press("Tab");
      }
      assert.fail(`no ${wanted} is reached`);
    };
    await page.goto("/");
    await page.getByLabel("API key").waitFor();
    await to(/^key$/);
    await page.keyboard.type(ADMIN_KEY);
    await press("Enter");
    await page.getByRole("heading", { name: "Now", level: 1 }).waitFor();
    await press("Tab");
    assert.equal(await focused(), "Skip to the content");
    await to(/^Devices$/);
    await press("Enter");
    await page.getByRole("heading", { name: "Devices", level: 1 }).waitFor();
    await to(/^Front door/);
    await press("Enter");
    await page.getByRole("heading", { name: "Front door", level: 1 }).waitFor();
    await to(/^Unlock$/);
    await press("Enter");
    await page.locator("#attempt").getByText("The lock says that it is unlocked").waitFor();
  },

  ...deeds,
  ...disconnecting,
});
