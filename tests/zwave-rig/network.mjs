// The emulated stick with its nodes: what the real driver finds behind tcp://127.0.0.1:PORT.
import { createServer } from "node:net";
import { Faucet, FunctionType, Message, MessageType, ZWaveSerialFrameType } from "@zwave-js/serial";
import { createAndOpenMockedZWaveSerialPort } from "@zwave-js/serial/mock";
import { UserCredentialCCCredentialReport } from "@zwave-js/cc/UserCredentialCC";
import { Bytes } from "@zwave-js/shared";
import { MockController, MockNode } from "@zwave-js/testing";
import { createDefaultMockControllerBehaviors, createDefaultMockNodeBehaviors } from "zwave-js/Testing";
import { MODE, devices } from "./devices.mjs";

export const HOME_ID = 0x7e570001;

/// IsFailedNode and RemoveFailedNode, which zwave-js' mock lacks; `hung`: the stick answers nothing at all.
function stick(state) {
  const respond = (controller, functionType, type, payload) =>
    controller.sendMessageToHost(new Message({ type, functionType, payload: Bytes.from(payload) }));
  return {
    onHostData: () => state.hung,
    async onHostMessage(controller, message) {
      const { functionType } = message;
      if (functionType === FunctionType.IsFailedNode) {
        const node = controller.nodes.get(message.failedNodeId ?? message.payload?.[0]);
        await respond(controller, functionType, MessageType.Response, [!node || node.state.get("dead") ? 1 : 0]);
        return true;
      }
      if (functionType === FunctionType.RemoveFailedNode) {
        const node = controller.nodes.get(message.failedNodeId);
        await respond(controller, functionType, MessageType.Response, [0]);
        if (node) controller.removeNode(node);
        await respond(controller, functionType, MessageType.Request, [message.callbackId, 1]);
        return true;
      }
      return false;
    },
  };
}

/// What becomes of a lock's reports of credentials on their way, by its state: `lose` so many, or `repeat`: each comes once more, just
/// before the next one.
function mishear(node) {
  const send = node.sendToController.bind(node);
  let last;
  node.sendToController = async (frame) => {
    const isReport = frame.payload instanceof UserCredentialCCCredentialReport;
    const left = node.state.get("lose") ?? 0;
    if (isReport && left > 0) return void node.state.set("lose", left - 1);
    if (isReport && node.state.get("repeat")) {
      if (last) await send(last);
      last = frame;
    }
    return send(frame);
  };
}

/// One frame, or one byte of acknowledgement, at the start of `bytes`; undefined while it is not whole.
function firstFrame(bytes) {
  const START_OF_FRAME = 0x01;
  if (bytes[0] !== START_OF_FRAME) return bytes.subarray(0, 1);
  const length = bytes[1] + 2;
  return bytes.length >= length ? bytes.subarray(0, length) : undefined;
}

export async function startNetwork(more) {
  const state = { hung: false };
  const { serial, port: mockPort } = await createAndOpenMockedZWaveSerialPort();
  const controller = await MockController.create({ homeId: HOME_ID, ownNodeId: 1, mockPort, serial });
  controller.capabilities.supportedFunctionTypes.push(FunctionType.IsFailedNode, FunctionType.RemoveFailedNode);
  controller.defineBehavior(...createDefaultMockControllerBehaviors());
  controller.defineBehavior(stick(state));
  for (const device of devices(more)) {
    const node = await MockNode.create({ ...device, controller });
    controller.addNode(node);
    node.defineBehavior(...createDefaultMockNodeBehaviors());
    node.defineBehavior(...device.behaviors);
    node.state.set(MODE, 255);
    mishear(node);
  }

  const faucet = new Faucet(serial.readable);
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    faucet.connect(new WritableStream({ write({ type, data }) {
      if (type !== ZWaveSerialFrameType.SerialAPI || socket.destroyed) return;
      socket.write(typeof data === "number" ? Uint8Array.from([data]) : data);
    } }));
    socket.on("error", () => {});
    socket.on("close", () => { faucet.disconnect(); sockets.delete(socket); });
    // TCP joins what was sent apart; the mock wants one frame at a time.
    let rest = Buffer.alloc(0);
    socket.on("data", (data) => {
      rest = Buffer.concat([rest, data]);
      for (let frame; rest.length && (frame = firstFrame(rest)); rest = rest.subarray(frame.length)) {
        serial.writeAsync(Uint8Array.from(frame)).catch((error) => console.error("serial:", error.message));
      }
    });
  });
  const listen = (port) => new Promise((done) => server.listen(port, "127.0.0.1", done));
  await listen(0);
  const { port } = server.address();

  return {
    controller,
    url: `tcp://127.0.0.1:${port}`,
    hang: async ({ hung }) => { state.hung = hung; },
    unplug: async () => { server.close(); sockets.forEach((socket) => socket.destroy()); },
    plug: () => listen(port),
  };
}
