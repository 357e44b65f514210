// An emulated Z-Wave network under the real driver and the real server, steered over HTTP. Loopback only, free ports only.
//
//   node main.mjs [--optimistic] [--dated] [--locks N]   → {"ready":true,"ws":…,"control":…} on one line, once every node is known to the driver
//   POST control/node/2/operate      a stimulus of stimuli.mjs, its options as JSON
//   POST control/stick/{hang,unplug,plug}      POST control/bridge/{kill,start}
//   POST control/ask {"command":…}   a command of another client of the server, answered with its result
//
// It ends, with all that it started, when its standard input closes: a test that dies leaves nothing behind.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Bridge } from "./bridge.mjs";
import { startNetwork } from "./network.mjs";
import { stimuli } from "./stimuli.mjs";

// The mock throws where a frame is not acknowledged: that is what a dead node is.
process.on("unhandledRejection", (error) => console.error("not acknowledged:", error?.message ?? error));

const { values: options } = parseArgs({ options: {
  optimistic: { type: "boolean", default: false }, dated: { type: "boolean", default: false }, locks: { type: "string", default: "0" },
} });
const network = await startNetwork({ dated: options.dated, locks: Number(options.locks) });
const bridge = await Bridge.create(network.url, options.optimistic);

const end = async () => {
  await bridge.kill();
  bridge.remove();
  process.exit(0);
};
process.stdin.resume().on("end", end).on("close", end);
process.on("SIGTERM", end).on("SIGINT", end);

await bridge.start();
const SLEEPER = 6;
const known = (state, events, ids) => ids.every((id) =>
  state.nodes.find((node) => node.nodeId === id)?.ready || events.some((e) => e.event === "ready" && e.nodeId === id));
const others = [...network.controller.nodes.keys()].filter((id) => id !== SLEEPER);
await bridge.ask([], (state, events) => known(state, events, others));
await stimuli.wake(network.controller, network.controller.nodes.get(SLEEPER));
await bridge.ask([], (state, events) => known(state, events, [SLEEPER]));
// The driver keeps a node awake that it has just interviewed.
await bridge.ask([{ command: "node.set_keep_awake", nodeId: SLEEPER, keepAwake: false }]);

async function handle([what, id, name], options) {
  const stick = { hang: network.hang, unplug: network.unplug, plug: network.plug };
  if (what === "node") {
    const node = network.controller.nodes.get(Number(id));
    if (!node || !stimuli[name]) throw new Error(`no ${name} of node ${id}; there are ${Object.keys(stimuli)}`);
    return stimuli[name](network.controller, node, options);
  }
  if (what === "stick" && stick[id]) return stick[id](options);
  if (what === "bridge" && id === "kill") return bridge.kill();
  if (what === "bridge" && id === "start") return bridge.start();
  if (what === "ask") return (await bridge.ask([options]))[0];
  throw new Error("node, stick, bridge or ask");
}

const control = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  let status = 200, answer;
  try {
    answer = (await handle(request.url.split("/").slice(1), body ? JSON.parse(body) : {})) ?? {};
  } catch (error) {
    [status, answer] = [500, { error: error.message }];
  }
  response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(JSON.stringify(answer));
});
control.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ ready: true, ws: bridge.url, control: `http://127.0.0.1:${control.address().port}` }));
});
