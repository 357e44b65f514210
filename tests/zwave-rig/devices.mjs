// The emulated nodes: what each can do, and how it answers the driver where zwave-js' own mocks do not.
//
//   2  door lock on batteries (FLiRS), User Code v2        5  mains-powered loudness sensor
//   3  door lock with User Credential and Battery v2       6  sleeping door sensor, wakes every hour
//   4  keypad (Entry Control)                              7  old door lock: Alarm (Notification v1), User Code v1
//
// With --dated:     8  door lock that keeps dates: Schedule Entry Lock v3, Time Parameters, User Code v2
// With --locks N:  20  and up to 19 + N: door locks with 250 user codes (User Code v2)
import {
  CommandClass, DoorLockCCOperationSet, DoorLockMode, NotificationCCGet, NotificationCCReport, ScheduleEntryLockScheduleKind,
  ScheduleEntryLockSetAction,
} from "@zwave-js/cc";
import { ScheduleEntryLockCCEnableSet, ScheduleEntryLockCCYearDayScheduleSet } from "@zwave-js/cc/ScheduleEntryLockCC";
import { UserCodeCCExtendedUserCodeSet, UserCodeCCGet, UserCodeCCReport, UserCodeCCSet } from "@zwave-js/cc/UserCodeCC";
import { UserCredentialCCCredentialSet } from "@zwave-js/cc/UserCredentialCC";
import { CommandClasses as CC } from "@zwave-js/core";
import { Bytes } from "@zwave-js/shared";
import { ccCaps, createMockZWaveRequestFrame } from "@zwave-js/testing";
import { notify, report } from "./stimuli.mjs";

export const MODE = "DoorLock_currentMode"; // where zwave-js' mock of the Door Lock keeps the bolt

/// Many reports cannot be built by zwave-js (a controller only reads them): a command class by its bytes.
export const bytesOf = (controller, ccId, ccCommand, payload) =>
  new CommandClass({ nodeId: controller.ownNodeId, ccId, ccCommand, payload: Bytes.from(payload) });

const answer = (controller, ccId, command, payload) => ({ action: "sendCC", cc: bytesOf(controller, ccId, command, payload) });

/// A node that is dead or asleep neither acknowledges nor answers. Must be asked first.
export const silence = {
  handleCC: (_controller, node) => (node.state.get("dead") || node.state.get("asleep") ? { action: "stop" } : undefined),
};

export function batteryReport(node) {
  const { level = 90, low = false, replace = 0 } = node.state.get("battery") ?? {};
  const v1 = [low ? 0xff : level];
  return node.implementedCCs.get(CC.Battery).version >= 2 ? [...v1, replace, 0] : v1;
}

const battery = {
  handleCC(controller, node, cc) {
    if (cc.ccId === CC.Battery && cc.ccCommand === 0x02) return answer(controller, CC.Battery, 0x03, batteryReport(node));
  },
};

/// Notification Get: the last state of that type.
const notifications = {
  handleCC(controller, node, cc) {
    if (!(cc instanceof NotificationCCGet)) return;
    const notificationEvent = node.state.get(`notification ${cc.notificationType}`) ?? 0;
    return { action: "sendCC", cc: new NotificationCCReport({ nodeId: controller.ownNodeId, notificationType: cc.notificationType, notificationEvent }) };
  },
};

const wakeUp = {
  handleCC(controller, node, cc) {
    if (cc.ccId !== CC["Wake Up"]) return;
    const hour = [0x00, 0x0e, 0x10];
    switch (cc.ccCommand) {
      case 0x05: return answer(controller, CC["Wake Up"], 0x06, [...hour, controller.ownNodeId]);
      case 0x09: return answer(controller, CC["Wake Up"], 0x0a, [0, 0, 60, 1, 0x51, 0x80, ...hour, 0, 0, 60]);
      case 0x08: // no more information: it sleeps
        setTimeout(() => { node.state.set("asleep", true); node.autoAckControllerFrames = false; }, 50);
    }
    return { action: "stop" };
  },
};

const entryControl = {
  handleCC(controller, _node, cc) {
    if (cc.ccId !== CC["Entry Control"]) return;
    switch (cc.ccCommand) {
      case 0x02: return answer(controller, CC["Entry Control"], 0x03, [2, 0xff, 0x03]); // keys 0 to 9
      case 0x04: return answer(controller, CC["Entry Control"], 0x05, [1, 0x0f, 4, 0xff, 0, 0, 0, 1, 32, 1, 10]);
      case 0x07: return answer(controller, CC["Entry Control"], 0x08, [8, 5]);
      default: return { action: "ok" };
    }
  },
};

/// A lock that was told to move: it takes a while, then reports like a real one. `jams`: the motor gives up instead. `stands`: it does
/// nothing and says nothing. `mute`: it moves and says nothing.
const motor = {
  handleCC(controller, node, cc) {
    if (!(cc instanceof DoorLockCCOperationSet)) return;
    node.state.set("operations", (node.state.get("operations") ?? 0) + 1);
    if (node.state.get("stands")) return { action: "ok" };
    setTimeout(async () => {
      if (node.state.get("mute")) return node.state.set(MODE, cc.mode);
      if (node.state.get("jams")) return notify(controller, node, 6, 0x0b);
      node.state.set(MODE, cc.mode);
      await report(controller, node, cc.mode);
      await notify(controller, node, 6, cc.mode === DoorLockMode.Secured ? 3 : 4);
    }, 150);
    return { action: "ok" };
  },
};

/// Its clock as it is set, and the dates that it keeps. By its state: `clock` "wrong": an hour off, whatever it is told; `dates` "ignored":
/// it takes them and keeps none, "rejected".
const calendar = {
  handleCC(controller, node, cc) {
    if (cc.ccId === CC["Time Parameters"] && cc.ccCommand === 0x01) {
      node.state.set("clock ahead", cc.dateAndTime.getTime() - Date.now());
      return { action: "ok" };
    }
    if (cc.ccId === CC["Time Parameters"] && cc.ccCommand === 0x02) {
      const t = new Date(clockOf(node));
      const year = t.getUTCFullYear();
      return answer(controller, CC["Time Parameters"], 0x03, [
        year >> 8, year & 0xff, t.getUTCMonth() + 1, t.getUTCDate(), t.getUTCHours(), t.getUTCMinutes(), t.getUTCSeconds(),
      ]);
    }
    if (cc instanceof ScheduleEntryLockCCEnableSet) node.state.set(`dates off ${cc.userId}`, !cc.enabled);
    if (cc instanceof ScheduleEntryLockCCYearDayScheduleSet) {
      const how = node.state.get("dates");
      if (how === "ignored") return { action: "ok" };
      if (how === "rejected") return { action: "fail" };
      if (cc.action === ScheduleEntryLockSetAction.Set) node.state.set(`dates off ${cc.userId}`, false);
    }
  },
};

/// What a lock's clock shows now, as if that were UTC.
export const clockOf = (node) => Date.now() + (node.state.get("clock ahead") ?? 0) + (node.state.get("clock") === "wrong" ? 3_600_000 : 0);

/// The dates that a lock keeps for a user: [from, until] as its clock shows them, or undefined.
export function datesOf(node, user) {
  const dates = node.state.get(`ScheduleEntryLock_schedule_${user}_1_${ScheduleEntryLockScheduleKind.YearDay}`);
  if (!dates || node.state.get(`dates off ${user}`)) return undefined;
  const time = (edge) => Date.UTC(2000 + dates[`${edge}Year`], dates[`${edge}Month`] - 1, dates[`${edge}Day`], dates[`${edge}Hour`], dates[`${edge}Minute`]);
  return [time("start"), time("stop")];
}

/// How a lock mistreats the codes that it is sent, by its state `codes`: "ignored" (it says nothing of it), "rejected", "dies" (of the
/// next one, having taken it), "hidden" (it keeps them, and shows only asterisks), "doubled" (it keeps them, and says everything twice).
const keypad = {
  handleCC(controller, node, cc) {
    const written = [UserCodeCCSet, UserCodeCCExtendedUserCodeSet, UserCredentialCCCredentialSet].some((c) => cc instanceof c);
    const how = node.state.get("codes");
    if (written) node.state.set("writes", (node.state.get("writes") ?? 0) + 1);
    if (written && how === "ignored") return { action: "stop" };
    if (written && how === "rejected") return { action: "fail" };
    if (written && how === "dies") {
      setTimeout(() => { node.state.set("dead", true); node.autoAckControllerFrames = false; }, 0);
      return;
    }
    if (written && how === "doubled") {
      const { userId, userIdStatus } = cc.userCodes?.[0] ?? cc;
      setTimeout(async () => {
        for (let n = 0; n < 2; n++) await notify(controller, node, 6, userIdStatus ? 0x0e : 0x0d, [CC["User Code"], 0x03, userId, userIdStatus]);
      }, 20);
    }
    if (cc instanceof UserCodeCCGet && how === "doubled") {
      const userIdStatus = node.state.get(`UserCode_userIdStatus_${cc.userId}`) ?? 0;
      const userCode = node.state.get(`UserCode_userCode_${cc.userId}`) ?? "";
      const report = () => new UserCodeCCReport({ nodeId: controller.ownNodeId, userId: cc.userId, userIdStatus, userCode });
      setTimeout(() => node.sendToController(createMockZWaveRequestFrame(report(), { ackRequested: false })), 20);
      return { action: "sendCC", cc: report() };
    }
    if (cc instanceof UserCodeCCGet && how === "hidden") {
      const userIdStatus = node.state.get(`UserCode_userIdStatus_${cc.userId}`) ?? 0;
      return { action: "sendCC", cc: new UserCodeCCReport({
        nodeId: controller.ownNodeId, userId: cc.userId, userIdStatus, userCode: userIdStatus ? "****" : "",
      }) };
    }
  },
};

const common = [
  { ccId: CC.Version, version: 3 },
  { ccId: CC["Manufacturer Specific"], version: 2 },
  { ccId: CC["Z-Wave Plus Info"], version: 2 },
  { ccId: CC["Device Reset Locally"], version: 1 },
];
const flirs = { isListening: false, isFrequentListening: "1000ms", genericDeviceClass: 0x40 };
const told = (notificationTypesAndEvents) =>
  ccCaps({ ccId: CC.Notification, isSupported: true, version: 8, supportsV1Alarm: false, notificationTypesAndEvents });
const doorLock = ccCaps({
  ccId: CC["Door Lock"], isSupported: true, version: 4, supportedOperationTypes: [1], supportedDoorLockModes: [0, 255],
  boltSupported: true, latchSupported: false, doorSupported: false,
});
const lockEvents = {
  6: [...Array(21).keys()].map((n) => n + 1).concat([0x23, 0x24, 0x2f, 0x30, 0x31, 0x32]),
  7: [3, 6, 9], 8: [1, 10, 11], 9: [1],
};

const userCode = (numUsers) => ccCaps({
  ccId: CC["User Code"], isSupported: true, version: 2, numUsers, supportedASCIIChars: "0123456789",
  supportsUserCodeChecksum: true, supportsAdminCode: true, supportedKeypadModes: [0, 1, 2, 3],
});

function lock(id, batteryVersion, codes, notification = told(lockEvents)) {
  const commandClasses = [...common, doorLock, notification, { ccId: CC.Battery, version: batteryVersion }, ...codes];
  return { id, capabilities: { ...flirs, specificDeviceClass: 0x03, commandClasses }, behaviors: [motor, keypad, calendar] };
}

export const readings = { 1: 21.5, 30: 35 }; // by sensor type: air temperature, loudness

const dated = [
  userCode(20), { ccId: CC["Time Parameters"], version: 1 },
  ccCaps({ ccId: CC["Schedule Entry Lock"], isSupported: true, version: 3, numWeekDaySlots: 1, numYearDaySlots: 1, numDailyRepeatingSlots: 0 }),
];

/// {dated, locks}: see above.
export const devices = (more) => [
  lock(2, 1, [userCode(20)]),
  lock(3, 2, [ccCaps({
    ccId: CC["User Credential"], isSupported: true, version: 1, numberOfSupportedUsers: 10, supportedCredentialTypes: new Map([[1, {
      numberOfCredentialSlots: 10, minCredentialLength: 4, maxCredentialLength: 8, maxCredentialHashLength: 0, supportsCredentialLearn: false,
    }]]),
  })]),
  {
    id: 4,
    capabilities: { ...flirs, specificDeviceClass: 0x0b, commandClasses: [
      ...common, { ccId: CC["Entry Control"], version: 1 }, { ccId: CC.Battery, version: 1 }, told({ 6: [16, 20], 7: [3], 8: [1] }),
    ] },
    behaviors: [entryControl],
  },
  {
    id: 5,
    capabilities: { genericDeviceClass: 0x21, specificDeviceClass: 0x01, commandClasses: [...common, ccCaps({
      ccId: CC["Multilevel Sensor"], isSupported: true, version: 11,
      sensors: { 1: { supportedScales: [0] }, 30: { supportedScales: [0, 1] } }, getValue: (type) => readings[type],
    })] },
    behaviors: [],
  },
  {
    id: 6,
    capabilities: { isListening: false, isFrequentListening: false, genericDeviceClass: 0x07, specificDeviceClass: 0x01, commandClasses: [
      ...common, { ccId: CC["Wake Up"], version: 2 }, { ccId: CC.Battery, version: 1 }, told({ 6: [22, 23], 7: [3] }),
    ] },
    behaviors: [wakeUp],
  },
  lock(7, 1, [ccCaps({ ccId: CC["User Code"], isSupported: true, version: 1, numUsers: 5 })], { ccId: CC.Notification, isSupported: true, version: 1 }),
  ...(more.dated ? [lock(8, 1, dated)] : []),
  ...[...Array(more.locks).keys()].map((n) => lock(20 + n, 1, [userCode(250)])),
].map((device) => ({ ...device, behaviors: [silence, battery, notifications, ...device.behaviors] }));
