// Pages work without this. With it they follow the hub: rows of events come as they happen, and what they change is shown again.
"use strict";

const main = document.querySelector("main");
const list = document.getElementById("events");
const link = document.getElementById("link");
const pause = document.getElementById("pause");
const ROWS_MOST = 200;
const EVERY_MS = 1500;
const UNTOLD_MS = 10_000; // readings change without an event

// --- parts of the page that may have changed are taken from the page as it is now

let asked = false;
let busy = false;

async function refresh() {
  if (busy) return void (asked = true);
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html", "x-refresh": "1" } });
    if (answer.redirected) return location.reload();
    if (answer.ok) renew(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The stream says that the hub is away.
  }
  setTimeout(() => {
    busy = false;
    if (asked || main.querySelector("[data-poll]")) { asked = false; refresh(); }
  }, EVERY_MS);
}

function renew(page) {
  for (const old of main.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || fresh.outerHTML === old.outerHTML) continue;
    // Nobody loses what is being written or opened, nor the place on the page.
    if (old.querySelector("details[open]")) continue;
    const focus = document.activeElement;
    const index = old.contains(focus) ? [...old.querySelectorAll("a, button, input, select, summary")].indexOf(focus) : -1;
    if (index >= 0 && focus.matches("input, select")) continue;
    old.replaceWith(fresh);
    if (index >= 0) fresh.querySelectorAll("a, button, input, select, summary")[index]?.focus();
  }
}

// --- the stream

let source = null;

function follow() {
  source = new EventSource(main.dataset.stream);
  source.onopen = () => say("live", "Live");
  source.onerror = () => {
    say("lost", "Not connected; trying again");
    // Refused for good: the session is over.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
  source.onmessage = (event) => {
    if (list && "grows" in list.dataset) grow(event.data);
    refresh();
  };
}

function grow(row) {
  list.insertAdjacentHTML("afterbegin", row);
  list.firstElementChild?.classList.add("fresh");
  while (list.children.length > ROWS_MOST) list.lastElementChild.remove();
  document.getElementById("no-events")?.remove();
}

function say(how, words) {
  link.className = "link " + how;
  if (link.textContent !== words) link.textContent = words;
}

if (main?.dataset.stream) {
  follow();
  setInterval(() => document.hidden || refresh(), UNTOLD_MS);
  addEventListener("pagehide", () => source.close());
  // From the back-forward cache: what happened meanwhile is missing.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
if (main?.querySelector("[data-poll]")) refresh();

if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (source.readyState === EventSource.CLOSED) return location.reload();
    source.close();
    say("paused", "Paused");
    pause.textContent = "Go on";
  });
}

// --- choosing sends

for (const button of document.querySelectorAll("button[data-plain]")) button.hidden = true;
for (const select of document.querySelectorAll("select[data-sends]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
