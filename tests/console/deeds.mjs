// What a person sets up on the console: networks, codes, thresholds, webhooks and devices, each until the world outside has it.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { BIND_KEY, DIGITS, OTHER_BIND_KEY, RIG_URL, device, door, node, ping, signIn, until, visit } from "./browser.mjs";

async function signedIn() {
  const page = await visit();
  await signIn(page);
  return page;
}

const told = (page, words) => page.getByRole("status").getByText(words).waitFor();

/// A button that asks again.
async function surely(within, name) {
  await within.locator("summary", { hasText: name }).click();
  await within.getByRole("button", { name, exact: true }).click();
}

/// Somewhere on this machine that webhooks may be posted to; what comes is in `posts`.
async function receiver() {
  const posts = [];
  const server = createServer(async (request, answer) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    posts.push({ headers: request.headers, body });
    answer.end();
  });
  await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
  return { posts, url: `http://127.0.0.1:${server.address().port}/events`, close: () => server.close() };
}

/// As Svix's receivers verify it.
function isSigned({ headers, body }, secret) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const signed = createHmac("sha256", key).update(`${headers["svix-id"]}.${headers["svix-timestamp"]}.${body}`).digest("base64");
  return headers["svix-signature"] === `v1,${signed}`;
}

export const connecting = {
  "a Z-Wave network is connected by its address; where nothing answers, that is told": async () => {
    const page = await signedIn();
    await page.goto("/console/hub");
    const connect = async (url) => {
      await page.getByText("Connect a Z-Wave network").click();
      await page.getByLabel("Address of its Z-Wave JS server").fill(url);
      await page.locator("#account-name").fill("main");
      await page.getByRole("button", { name: "Connect", exact: true }).click();
    };
    await connect("ws://127.0.0.1:1");
    await page.getByRole("alert").getByText("is zwave-js-server running").waitFor();
    assert.equal(await page.locator("#account-list").getByText("main").count(), 0);
    await connect(RIG_URL);
    await told(page, "The network is connected");
    await page.locator("#account-list li", { hasText: "main" }).waitFor();
    await page.goto("/console/devices");
    // Those of the network come by themselves.
    await page.locator("#devices a.row", { hasNotText: "Out of reach" }).nth(4).waitFor();
    assert.deepEqual(page.broken, []);
  },
};

export const deeds = {
  "a code is set on the lock, opens it, and its digits are seen nowhere": async () => {
    const page = await signedIn();
    await door(page);
    const place = page.url();
    await page.getByText("New code").click();
    await page.getByLabel("Name", { exact: true }).last().fill("Cleaner");
    const digits = page.getByLabel(/^Digits/);
    assert.equal(await digits.getAttribute("type"), "password");
    await digits.fill(DIGITS);
    await page.getByRole("button", { name: "Set the code" }).click();
    await told(page, "on its way to the lock");
    const row = page.locator("#codes li", { hasText: "Cleaner" });
    await row.getByText("on the lock", { exact: true }).waitFor();
    assert.match(await row.locator(".digits").innerText(), /^••••/);
    const held = async () => Object.values((await node(2, "inside")).codes).includes(DIGITS);
    assert.ok(await held(), "the lock has it");
    await node(2, "types", { code: DIGITS });
    await page.locator("#events li", { hasText: "was unlocked with a code, Cleaner" }).first().waitFor();
    for (const shown of [place, "/console/codes", "/", "/?kind=codes"]) {
      await page.goto(shown);
      await page.getByText("Cleaner").first().waitFor();
      assert.ok(!(await page.content()).includes(DIGITS), `${shown} shows digits`);
    }
    await page.goto("/console/codes");
    await surely(row, "Delete");
    await told(page, "on its way off the lock");
    await row.waitFor({ state: "detached" });
    assert.ok(!(await held()), "the lock has it still");
    assert.deepEqual(page.broken, []);
  },

  "a noise threshold is set, crossed, changed and deleted": async () => {
    const page = await signedIn();
    await device(page, 5);
    const fill = async (form, name, decibels) => {
      await form.getByLabel("Name").fill(name);
      await form.getByLabel("Decibels").fill(String(decibels));
      await form.getByLabel("For so many seconds").fill("0");
      for (const edge of ["From", "Until"]) await form.getByLabel(edge).fill("00:00");
    };
    const row = page.locator(".thresholds li", { hasText: "Party" });
    await page.getByText("New threshold").click();
    await fill(page.locator("details.new"), "Party", 97.5);
    await page.getByRole("button", { name: "Set", exact: true }).click();
    await told(page, "The threshold is set");
    assert.match(await row.innerText(), /97\.5 dB/);
    assert.match(await row.innerText(), /all day/);
    await node(5, "sensor", { type: 30, value: 99 });
    await row.getByText("too loud now").waitFor();
    await page.locator("#events li", { hasText: "Party" }).first().waitFor();
    await node(5, "sensor", { type: 30, value: 40 });
    // Quiet is no event, so it is not shown at once.
    await until("it is quiet", async () => {
      await page.reload();
      return (await row.getByText("too loud now").count()) === 0;
    });
    await row.getByText("Change", { exact: true }).first().click();
    await fill(row, "Party", 120);
    await row.getByRole("button", { name: "Change" }).click();
    await told(page, "The threshold is changed");
    assert.match(await row.innerText(), /120 dB/);
    await surely(row, "Delete");
    await told(page, "The threshold is gone");
    assert.equal(await row.count(), 0);
    assert.deepEqual(page.broken, []);
  },

  "a webhook is made, its secret is shown once, and it signs what is posted": async () => {
    const page = await signedIn();
    const there = await receiver();
    await page.goto("/console/hub");
    await page.getByText("New webhook").click();
    await page.getByLabel("Address", { exact: true }).fill(there.url);
    await page.getByLabel("Doors").check();
    await page.getByRole("button", { name: "Create" }).click();
    await told(page, "Events go there from now on");
    const secret = await page.locator(".told code").innerText();
    assert.match(secret, /^whsec_.{32,}/);
    const row = page.locator("#webhooks li", { hasText: there.url });
    await row.getByText("well", { exact: true }).waitFor();
    await page.reload();
    assert.ok(!(await page.content()).includes(secret), "it is shown again");
    await node(5, "sensor", { type: 30, value: 41 });
    await node(2, "operate", { name: "manual_unlock" });
    await until("a post", () => there.posts.length > 0);
    for (const post of there.posts) {
      assert.match(JSON.parse(post.body).event_type ?? JSON.parse(post.body).type, /^(lock|action_attempt)\./);
      assert.ok(isSigned(post, secret), "it is signed with what was shown");
    }
    await surely(row, "Delete");
    await told(page, "Nothing goes there any more");
    assert.equal(await row.count(), 0);
    there.close();
    assert.deepEqual(page.broken, []);
  },

  "an operation is shown under way until the lock has its word": async () => {
    const page = await signedIn();
    await door(page);
    await node(2, "behave", { stands: true });
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.locator("#attempt li.now").getByText("The lock is at it").waitFor();
    await page.locator("#attempt").getByText("The lock’s own word is awaited").waitFor();
    assert.equal(await page.locator("#attempt").getByText("The lock says").count(), 0);
    await node(2, "behave", { stands: false });
    await node(2, "operate", { name: "rf_unlock" });
    await page.locator("#attempt").getByText("The lock says that it is unlocked").waitFor();
    assert.deepEqual(page.broken, []);
  },

  "how a battery went is drawn, and is said to who cannot see it": async () => {
    const page = await signedIn();
    await door(page);
    const chart = page.getByRole("img", { name: /^The battery over/ });
    await node(2, "battery", { level: 50 });
    await page.getByRole("img", { name: /Now 50 %/ }).waitFor();
    await node(2, "battery", { level: 15 });
    await page.getByRole("img", { name: /Now 15 %/ }).waitFor();
    await page.locator("#events li", { hasText: "its battery is low (15 %)" }).first().waitFor();
    await page.locator("#facts").getByText("15 %").waitFor();
    for (const band of ["good", "low"]) assert.ok((await chart.locator(`.band.${band}`).count()) > 0, `no ${band}`);
    const places = await chart.locator(".band").evaluateAll((all) => all.map((r) => [r.x.baseVal.value, r.y.baseVal.value]));
    assert.deepEqual(places, places.toSorted(([a], [b]) => a - b), "in the order of time");
    await page.goto("/");
    await page.locator("#attention").getByText(/battery 15 %/).waitFor();
    await node(2, "battery", { level: 90 });
    await page.locator("#attention").getByText(/battery 15 %/).waitFor({ state: "detached" });
    assert.deepEqual(page.broken, []);
  },

  "when a device was lost is drawn, and why it is judged so is said": async () => {
    const page = await signedIn();
    await device(page, 5);
    await page.locator("#presence").getByText("In reach since it is known").waitFor();
    await page.locator("#presence").getByText("Its bridge says whether it is reached").waitFor();
    await node(5, "die");
    await ping(5);
    await page.locator("#state").getByText("Out of reach", { exact: true }).waitFor();
    await page.locator("#presence").getByText("Out of reach 1 time in").waitFor();
    assert.equal(await page.locator("#presence .reach .not").count(), 1);
    await node(5, "revive");
    await ping(5);
    await page.locator("#state").getByText("Out of reach", { exact: true }).waitFor({ state: "detached" });
    const parts = await page.locator("#presence .reach rect:not(.ground)").evaluateAll((all) => all.map((r) => r.className.baseVal));
    assert.deepEqual(parts, ["is", "not", "is"]);
    await page.getByRole("link", { name: "24 h" }).click();
    await page.locator("#presence").getByText("Out of reach 1 time in").waitFor();
    assert.deepEqual(page.broken, []);
  },

  "an encrypted device is adopted: a wrong bind key is told at once, the right one opens it": async () => {
    const page = await signedIn();
    await page.goto("/console/found");
    await page.getByRole("link", { name: /Garden lock/ }).click();
    await page.getByText("What it sends is encrypted.").waitFor();
    const adopt = async (key) => {
      await page.getByLabel("Name", { exact: true }).fill("Garden");
      await page.getByLabel(/^Bind key/).fill(key);
      await page.getByRole("button", { name: "Adopt" }).click();
    };
    await adopt(OTHER_BIND_KEY);
    await page.getByRole("alert").getByText("does not open what the device sends").waitFor();
    await page.getByRole("heading", { name: "Not adopted" }).waitFor();
    await adopt(BIND_KEY.toUpperCase());
    await told(page, "It is yours now. The bind key opens what it sends.");
    await page.getByRole("heading", { name: "Garden", level: 1 }).waitFor();
    await page.locator("#state").getByText("Locked", { exact: true }).waitFor();
    assert.equal(await page.getByText("encrypted").count(), 0);
    assert.ok(!(await page.content()).toLowerCase().includes(BIND_KEY), "the page has the key");
    // Its silence is judged here, so there is something to explain.
    await page.locator("#presence").getByText(/It is here; it was last heard \d/).waitFor();
    await surely(page.locator(".sures"), "Release");
    await told(page, "It is released");
    await page.getByRole("button", { name: "Adopt" }).waitFor();
    assert.deepEqual(page.broken, []);
  },
};

export const disconnecting = {
  "a network is disconnected, with its devices": async () => {
    const page = await signedIn();
    await page.goto("/console/hub");
    await surely(page.locator("#account-list li", { hasText: "main" }), "Disconnect");
    await told(page, "The network is taken out");
    assert.equal(await page.locator("#account-list li", { hasText: "main" }).count(), 0);
    await page.goto("/console/devices");
    await page.getByRole("heading", { name: "Devices", level: 1 }).waitFor();
    assert.equal(await page.locator("#devices a.row", { hasNotText: "Garden" }).count(), 0);
    assert.deepEqual(page.broken, []);
  },
};
