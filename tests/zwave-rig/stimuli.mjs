// What can happen to the emulated nodes: each stimulus is a function (controller, node, options) and a path of the control API.
import { DoorLockCCOperationReport, DoorLockMode, MultilevelSensorCCReport, NotificationCCReport, UserIDStatus } from "@zwave-js/cc";
import { CommandClasses as CC } from "@zwave-js/core";
import { Bytes } from "@zwave-js/shared";
import { createMockZWaveRequestFrame } from "@zwave-js/testing";
import { MODE, batteryReport, bytesOf, clockOf, datesOf, readings } from "./devices.mjs";

const say = (node, cc) => node.sendToController(createMockZWaveRequestFrame(cc, { ackRequested: false }));
const { Secured, Unsecured } = DoorLockMode;

/// A Notification Report. States are remembered for whoever asks later; operations are not.
export async function notify(controller, node, type, event, parameters, sequenceNumber) {
  if (type !== 6 || event > 9) node.state.set(`notification ${type}`, event);
  const eventParameters = parameters && Bytes.from(parameters);
  await say(node, new NotificationCCReport({
    nodeId: controller.ownNodeId, notificationType: type, notificationEvent: event, eventParameters, sequenceNumber,
  }));
}

/// A Door Lock Operation Report.
export const report = (controller, node, mode) => say(node, new DoorLockCCOperationReport({
  nodeId: controller.ownNodeId, currentMode: mode, targetMode: mode, duration: undefined,
  boltStatus: mode === Secured ? "locked" : "unlocked",
  outsideHandlesCanOpenDoor: [false, false, false, false], insideHandlesCanOpenDoor: [false, false, false, false],
}));

// Operations by name: [Access Control event, where the bolt then is].
const OPERATIONS = {
  manual_lock: [1, Secured], manual_unlock: [2, Unsecured], rf_lock: [3, Secured], rf_unlock: [4, Unsecured],
  keypad_lock: [5, Secured], keypad_unlock: [6, Unsecured], auto_lock: [9, Secured],
  credential_lock: [0x23, Secured], credential_unlock: [0x24, Unsecured],
};

/// The user as real locks tell it: a whole User Code Report, or (`short`) the bare number.
const userParameters = (user, short) => (short ? [user] : [CC["User Code"], 0x03, user, 1]);

/// The codes in a lock by their slots.
function codesOf(node) {
  const codes = {};
  for (const [key, value] of node.state) {
    const slot = /^UserCode_userCode_(\d+)$/.exec(key)?.[1];
    if (slot && value !== undefined) codes[slot] = typeof value === "string" ? value : Buffer.from(value).toString();
    const credential = /^UserCredential_cred_1_(\d+)$/.exec(key)?.[1];
    if (credential) codes[credential] = Buffer.from(value.credentialData).toString();
  }
  return codes;
}

export const stimuli = {
  /// {name, user?, short?, repeat?, order?: "value first" | "no value" | "no notification"}
  async operate(controller, node, { name, user, short, repeat = 1, order, sequence }) {
    const [event, mode] = OPERATIONS[name];
    const parameters = user === undefined ? undefined : userParameters(user, short);
    const notification = () => notify(controller, node, 6, event, parameters, sequence);
    node.state.set(MODE, mode);
    if (order === "value first") await report(controller, node, mode);
    if (order !== "no notification") await notification();
    if (order === undefined || order === "no notification") await report(controller, node, mode);
    for (let n = 1; n < repeat; n++) await notification();
  },
  /// {type, event, parameters?}: any notification.
  notify: (controller, node, { type, event, parameters }) => notify(controller, node, type, event, parameters),
  /// {locked}: moved without a word; only a poll finds it.
  async drift(_controller, node, { locked }) { node.state.set(MODE, locked ? Secured : Unsecured); },
  /// {jams, stands, mute, codes, lose, repeat}: how it behaves from now on; see devices.mjs.
  async behave(_controller, node, how) { for (const [what, value] of Object.entries(how)) node.state.set(what, value); },
  /// {code, ahead?}: somebody types it, when the lock's clock is so many minutes further. The lock opens to it, or refuses and says why.
  async types(controller, node, { code, ahead = 0 }) {
    const slots = Object.entries(codesOf(node)).filter(([, held]) => held === code).map(([slot]) => Number(slot));
    if (!slots.length) return notify(controller, node, 6, 0x14);
    const [slot] = slots;
    const now = clockOf(node) + ahead * 60_000;
    const dates = datesOf(node, slot);
    if (dates && (now < dates[0] || now >= dates[1])) return notify(controller, node, 6, 0x30, userParameters(slot));
    await stimuli.operate(controller, node, { name: "keypad_unlock", user: slot });
  },
  /// What is in the lock: {mode, operations, writes, codes: {slot: digits}, dates: {slot: [from, until]}}, dates as its clock shows them.
  async inside(_controller, node) {
    const codes = codesOf(node);
    const dates = {};
    for (const slot of Array(256).keys()) {
      const kept = datesOf(node, slot)?.map((time) => new Date(time).toISOString().slice(0, 16));
      if (kept) dates[slot] = kept;
    }
    return { mode: node.state.get(MODE), operations: node.state.get("operations") ?? 0, writes: node.state.get("writes") ?? 0, codes, dates };
  },
  /// {type, level}: an Alarm Report of version 1.
  alarm: (controller, node, { type, level }) => say(node, bytesOf(controller, CC.Notification, 0x05, [type, level])),
  /// {level} or {low: true}, with {replace: 0..3} on version 2.
  async battery(controller, node, state) {
    node.state.set("battery", state);
    await say(node, bytesOf(controller, CC.Battery, 0x03, batteryReport(node)));
  },
  /// {type, value, scale?}: a Multilevel Sensor Report.
  async sensor(controller, node, { type, value, scale = 0 }) {
    readings[type] = value;
    await say(node, new MultilevelSensorCCReport({ nodeId: controller.ownNodeId, type, scale, value }));
  },
  /// {slot, code?, silent?}: a code was programmed (or without `code` erased) at the keypad. `silent`: nobody is told.
  async program(controller, node, { slot, code, silent }) {
    node.state.set(`UserCode_userCode_${slot}`, code);
    node.state.set(`UserCode_userIdStatus_${slot}`, code ? UserIDStatus.Enabled : UserIDStatus.Available);
    if (!silent) await notify(controller, node, 6, code ? 0x0e : 0x0d, userParameters(slot));
  },
  /// {event, digits?}: an Entry Control Notification.
  async entry(controller, node, { event, digits = "" }) {
    const data = [...Buffer.from(digits)];
    while (data.length % 16) data.push(0xff);
    const sequence = ((node.state.get("entry sequence") ?? 0) + 1) % 256;
    node.state.set("entry sequence", sequence);
    await say(node, bytesOf(controller, CC["Entry Control"], 0x01, [sequence, data.length ? 2 : 0, event, data.length, ...data]));
  },
  async die(_controller, node) { node.state.set("dead", true); node.autoAckControllerFrames = false; },
  async revive(_controller, node) { node.state.delete("dead"); node.autoAckControllerFrames = true; },
  async wake(controller, node) {
    node.state.delete("asleep");
    node.autoAckControllerFrames = true;
    await say(node, bytesOf(controller, CC["Wake Up"], 0x07, []));
  },
  /// A factory reset at the device: it says goodbye and is gone.
  async reset(controller, node) {
    await say(node, bytesOf(controller, CC["Device Reset Locally"], 0x01, []));
    await stimuli.die(controller, node);
  },
};
