// The real driver and the real @zwave-js/server, as a child process on a port and a cache that outlive it. On a machine of its own it may
// have a port that is expected: ZWAVE_RIG_PORT.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import WebSocket from "ws";

const freePort = () => new Promise((done) => {
  const probe = createServer().listen(0, "127.0.0.1", () => { const { port } = probe.address(); probe.close(() => done(port)); });
});

const manifest = createRequire(import.meta.url).resolve("@zwave-js/server/package.json");
const PROGRAM = join(dirname(manifest), "dist-esm/bin/server.js");

export class Bridge {
  static async create(stick, optimistic) {
    const cache = mkdtempSync(join(tmpdir(), "zwave-rig-"));
    const config = join(cache, "config.json");
    writeFileSync(config, JSON.stringify({
      storage: { cacheDir: cache },
      logConfig: { enabled: true, level: "info", logToFile: false, forceConsole: true },
      securityKeys: { S0_Legacy: "0102030405060708090a0b0c0d0e0f10" },
      disableOptimisticValueUpdate: !optimistic,
    }));
    return Object.assign(new Bridge(), { stick, cache, config, port: Number(process.env.ZWAVE_RIG_PORT) || (await freePort()), child: undefined });
  }

  get url() { return `ws://127.0.0.1:${this.port}`; }

  /// Starts the server; done when it listens.
  async start() {
    const arguments_ = [PROGRAM, this.stick, "--config", this.config, "--host", "127.0.0.1", "--port", String(this.port), "--disable-dns-sd", "--reconnect"];
    // Locks are told the time of this place.
    const env = { ...process.env, TZ: "Europe/Vienna" };
    const child = spawn(process.execPath, arguments_, { stdio: ["ignore", "pipe", "pipe"], env });
    this.child = child;
    this.ended = new Promise((done) => child.on("exit", done));
    let said = "";
    await new Promise((listening, failed) => {
      const hear = (data) => { said = (said + data).slice(-20000); if (said.includes("listening on")) listening(); };
      child.stdout.on("data", hear);
      child.stderr.on("data", hear);
      child.on("exit", () => failed(new Error(`the server ended:\n${said}`)));
    });
  }

  async kill(signal = "SIGKILL") {
    this.child?.kill(signal);
    await this.ended;
  }

  remove() { rmSync(this.cache, { recursive: true, force: true }); }

  /// Sends commands, one after the other, and hands back their answers. `until(event)` then waits for an event.
  async ask(commands, until) {
    const socket = new WebSocket(this.url, { maxPayload: 1 << 28 });
    const answers = new Map();
    const events = [];
    let wake = () => {};
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.type === "result") answers.set(message.messageId, message);
      if (message.type === "event") events.push(message.event);
      wake();
    });
    const next = () => new Promise((done) => { wake = done; });
    await new Promise((open, failed) => { socket.on("open", open); socket.on("error", failed); });
    const results = [];
    for (const [n, command] of [{ command: "set_api_schema", schemaVersion: 50 }, { command: "start_listening" }, ...commands].entries()) {
      socket.send(JSON.stringify({ messageId: String(n), ...command }));
      while (!answers.has(String(n))) await next();
      results.push(answers.get(String(n)));
    }
    const state = results[1].result.state;
    while (until && !until(state, events)) await next();
    socket.close();
    return results.slice(2);
  }
}
