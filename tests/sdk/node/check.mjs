// Drives a hub with Seam's official Node SDK, and holds every answer against the schemas of @seamapi/types.
//
//     node check.mjs seam|seam-lts ENDPOINT API_KEY
//
// `seam` asks with GET, PATCH and DELETE, `seam-lts` with POST and PUT. It wants a demo with `dialect = "current"`. It makes what it
// changes, but for the bolts of the locks. Prints a line for each thing that holds or does not; ends with 1 where one does not.
import assert from 'node:assert/strict'
import { randomInt, randomUUID } from 'node:crypto'
import { schemas } from '@seamapi/types/connect'

const [flavour, endpoint, apiKey] = process.argv.slice(2)
const { Seam } = await import(flavour)
const seam = new Seam({ apiKey, endpoint })
const noWait = new Seam({ apiKey, endpoint, waitForActionAttempt: false })
const NOBODY = randomUUID()
const EPOCH = '1970-01-01T00:00:00.000Z'

// --- every answer is one that Seam's own types know
const managed = (one, both) => (x) => (x.is_managed ? one : both)
const KINDS = {
  device: managed(schemas.device, schemas.unmanaged_device),
  access_code: managed(schemas.access_code, schemas.unmanaged_access_code),
  event: () => schemas.seam_event,
  action_attempt: () => schemas.action_attempt,
  connected_account: () => schemas.connected_account,
  noise_threshold: () => schemas.noise_threshold,
  pagination: () => schemas.pagination,
  webhook: () => schemas.webhook,
  workspace: () => schemas.workspace,
}
const NAMES = { lock: 'device', devices: 'device', locks: 'device', access_codes: 'access_code' }
const strange = new Map()
let validated = 0
const validate = (response) => {
  assert.equal(response.data.ok, true, `${response.config.url}: no ok`)
  assert.ok(response.headers['seam-request-id'], `${response.config.url}: no seam-request-id`)
  for (const [key, value] of Object.entries(response.data)) {
    const kind = KINDS[NAMES[key] ?? key.replace(/s$/, '')] ?? KINDS[key]
    if (kind === undefined || value === null) continue
    for (const thing of Array.isArray(value) ? value : [value]) {
      const read = kind(thing).safeParse(thing)
      validated += 1
      if (read.success) continue
      const issue = read.error.issues[0]
      const inner = issue.unionErrors?.flatMap((e) => e.issues)[0] ?? issue
      strange.set(`${response.config.url} ${thing.event_type ?? key}: ${inner.path.join('.')} ${inner.message}`, thing)
    }
  }
  return response
}
for (const client of [seam, noWait]) client.client.interceptors.response.use(validate)

let failed = 0
const check = async (promise, work) => {
  try {
    await work()
    console.log(`holds  ${promise}`)
  } catch (error) {
    failed += 1
    console.log(`FAILS  ${promise}: ${String(error.stack ?? error).slice(0, 600)}`)
  }
}
const refused = async (work, status, type) => {
  try {
    await work()
  } catch (error) {
    assert.equal(error.statusCode, status, String(error))
    if (type !== undefined) assert.equal(error.code, type)
    return error
  }
  assert.fail(`answered, though ${status} was due`)
}
const until = async (what, work) => {
  const end = Date.now() + 15_000
  for (;;) {
    const found = await work()
    if (found) return found
    assert.ok(Date.now() < end, `${what}: not within 15 s`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
const ids = (things, key) => things.map((thing) => thing[key])
/** Waits for an event that fits, of those since `since`. */
const told = (since, type, fits) =>
  until(type, async () => (await seam.events.list({ since, event_type: type })).find(fits))
const now = () => new Date(Date.now() - 2000).toISOString()

const devices = await seam.devices.list()
const locks = await seam.locks.list()
const lock = locks.find((l) => l.can_remotely_unlock && l.properties.online)

await check('the hub is a workspace', async () => {
  const { workspace_id } = await seam.workspaces.get()
  assert.ok(devices.length > 2 && devices.every((d) => d.workspace_id === workspace_id))
  assert.deepEqual(ids(await seam.workspaces.list(), 'workspace_id'), [workspace_id])
})

await check('a wrong key is unauthorized, an unknown device is not found, a missing parameter is named', async () => {
  const stranger = new Seam({ apiKey: 'seam_wrong1_00000000000000000000', endpoint })
  const unauthorized = await refused(() => stranger.devices.list(), 401)
  assert.ok(unauthorized.requestId)
  await refused(() => seam.devices.get({ device_id: NOBODY }), 404, 'device_not_found')
  const invalid = await refused(() => seam.client.post('/devices/list', { device_ids: 4242 }), 400, 'invalid_input')
  assert.ok(invalid.getValidationErrorMessages('device_ids').length > 0)
})

await check('devices are listed by every filter', async () => {
  const [first, second] = devices
  assert.deepEqual(ids(await seam.devices.list({ device_ids: [second.device_id] }), 'device_id'), [second.device_id])
  assert.deepEqual(await seam.devices.list({ device_ids: [NOBODY] }), [])
  for (const [filter, fits] of [
    [{ connected_account_id: first.connected_account_id }, (d) => d.connected_account_id === first.connected_account_id],
    [{ device_type: first.device_type }, (d) => d.device_type === first.device_type],
    [{ device_types: [lock.device_type] }, (d) => d.device_type === lock.device_type],
    [{ manufacturer: lock.properties.manufacturer }, (d) => d.properties.manufacturer === lock.properties.manufacturer],
    [{ search: lock.properties.name }, (d) => d.properties.name.includes(lock.properties.name)],
    // The time of a demo runs ahead.
    [{ created_before: new Date(Date.now() + 1e9).toISOString() }, () => true],
    [{ created_before: EPOCH }, () => false],
    [{ customer_key: 'nobody' }, () => false],
  ]) {
    const found = ids(await seam.devices.list(filter), 'device_id')
    assert.deepEqual(found, ids(devices.filter(fits), 'device_id'), JSON.stringify(filter))
  }
})

await check('pages show every device once, by cursor and by link', async () => {
  const seen = []
  let cursor
  do {
    const { data } = await seam.client.get('/devices/list', { params: { limit: 2, ...(cursor && { page_cursor: cursor }) } })
    seen.push(...ids(data.devices, 'device_id'))
    cursor = data.pagination.next_page_cursor
    if (cursor !== null) {
      const next = await seam.client.get(data.pagination.next_page_url)
      assert.ok(next.data.devices.length > 0)
    }
  } while (cursor !== null)
  assert.deepEqual(seen, ids(devices, 'device_id'))
  await refused(() => seam.client.get('/devices/list', { params: { page_cursor: 'no cursor' } }), 400, 'invalid_input')
})

await check('notes stay with a device, are found by, and go again', async () => {
  const note = randomUUID()
  const { device_id } = devices[1]
  await seam.devices.update({ device_id, custom_metadata: { unit: note, cleaned: true } })
  assert.deepEqual(ids(await seam.devices.list({ custom_metadata_has: { unit: note, cleaned: true } }), 'device_id'), [device_id])
  assert.deepEqual(await seam.devices.list({ custom_metadata_has: { unit: note, cleaned: false } }), [])
  await seam.devices.update({ device_id, custom_metadata: { unit: null, cleaned: null } })
  assert.deepEqual((await seam.devices.get({ device_id })).custom_metadata, {})
})

await check('a device is released and adopted, renamed and told of', async () => {
  const { device_id } = locks.findLast((l) => l.can_remotely_lock)
  const since = now()
  await seam.devices.update({ device_id, is_managed: false })
  const unmanaged = await seam.devices.unmanaged.get({ device_id })
  assert.equal(unmanaged.is_managed, false)
  await refused(() => seam.devices.get({ device_id }), 404, 'device_not_found')
  await seam.devices.unmanaged.update({ device_id, is_managed: true })
  const name = `Door ${randomInt(1000)}`
  await seam.devices.update({ device_id, name })
  assert.equal((await seam.devices.get({ device_id })).properties.name, name)
  await told(since, 'device.unmanaged.converted_to_managed', (e) => e.device_id === device_id)
  await told(since, 'device.name_changed', (e) => e.device_id === device_id && e.device_name === name)
})

await check('a door is unlocked and locked, each as an attempt that the events name', async () => {
  for (const [operate, locked, type] of [
    [seam.locks.unlockDoor, false, 'lock.unlocked'],
    [seam.locks.lockDoor, true, 'lock.locked'],
  ]) {
    const since = now()
    const attempt = await operate.call(seam.locks, { device_id: lock.device_id })
    assert.equal(attempt.status, 'success')
    const event = await told(since, type, (e) => e.action_attempt_id === attempt.action_attempt_id)
    assert.equal(event.method, 'remote')
    assert.equal((await seam.locks.get({ device_id: lock.device_id })).properties.locked, locked)
    const again = await seam.actionAttempts.list({ action_attempt_ids: [attempt.action_attempt_id] })
    assert.deepEqual(ids(again, 'status'), ['success'])
  }
  const pending = await noWait.locks.lockDoor({ device_id: lock.device_id })
  await until('the attempt ends', async () =>
    (await noWait.actionAttempts.get({ action_attempt_id: pending.action_attempt_id })).status !== 'pending')
  await refused(() => seam.locks.unlockDoor({ device_id: NOBODY }), 404, 'device_not_found')
  for (const device_id of [undefined, null, '']) {
    const invalid = await refused(() => seam.client.post('/locks/unlock_door', { device_id }), 400, 'invalid_input')
    assert.ok(invalid.getValidationErrorMessages('device_id').length > 0)
  }
  await refused(() => seam.actionAttempts.get({ action_attempt_id: NOBODY }), 404, 'action_attempt_not_found')
})

await check('events are listed by every filter and fetched one by one', async () => {
  const all = await seam.events.list({ since: EPOCH })
  assert.ok(all.length > 5)
  const one = all[3]
  assert.deepEqual(await seam.events.get({ event_id: one.event_id }), one)
  const last = all.findLast((e) => e.device_id !== undefined)
  for (const [filter, fits] of [
    [{ event_type: one.event_type }, (e) => e.event_type === one.event_type],
    [{ event_types: [one.event_type, last.event_type] }, (e) => [one.event_type, last.event_type].includes(e.event_type)],
    [{ device_id: last.device_id }, (e) => e.device_id === last.device_id],
    [{ device_ids: [last.device_id, NOBODY] }, (e) => e.device_id === last.device_id],
    [{ connected_account_id: one.connected_account_id }, (e) => e.connected_account_id === one.connected_account_id],
    [{ event_ids: [one.event_id, last.event_id] }, (e) => [one, last].some((x) => x.event_id === e.event_id)],
    [{ customer_key: 'nobody' }, () => false],
    [{ space_id: NOBODY }, () => false],
    [{ acs_system_ids: [NOBODY] }, () => false],
    [{ connect_webview_id: NOBODY }, () => false],
    [{ access_grant_id: NOBODY, event_type: one.event_type }, () => false],
  ]) {
    // The building lives on meanwhile: what came after the first look is no matter.
    const known = new Set(ids(all, 'event_id'))
    const found = ids(await seam.events.list({ since: EPOCH, ...filter }), 'event_id').filter((id) => known.has(id))
    assert.deepEqual(found, ids(all.filter(fits), 'event_id'), JSON.stringify(filter))
  }
  const between = await seam.events.list({ between: [all[1].created_at, all[4].created_at] })
  assert.ok(between.every((e) => e.created_at > all[1].created_at && e.created_at < all[4].created_at))
  assert.deepEqual(ids(await seam.events.list({ since: EPOCH, limit: 2 }), 'event_id'), ids(all.slice(0, 2), 'event_id'))
  await refused(() => seam.events.get({ event_id: NOBODY }), 404, 'event_not_found')
  await refused(() => seam.client.post('/events/list', {}), 400, 'invalid_input')
  const wrong = await refused(() => seam.client.post('/events/list', { event_ids: ['x'] }), 400, 'invalid_input')
  assert.ok(wrong.getValidationErrorMessages('event_ids').length > 0)
  assert.deepEqual(await seam.events.list({ since: EPOCH, limit: 0 }), [])
})

await check('a noise threshold is made, changed and taken out', async () => {
  const { device_id } = (await seam.noiseSensors.list())[0]
  const thresholds = seam.noiseSensors.noiseThresholds
  for (const { starts_daily_at, ends_daily_at } of await thresholds.list({ device_id }))
    for (const time of [starts_daily_at, ends_daily_at]) assert.match(time, /^\d\d:\d\d:\d\d\[[\w/+-]+\]$/)
  const made = await thresholds.create({
    device_id,
    name: 'Party',
    starts_daily_at: '20:00:00[Europe/Vienna]',
    ends_daily_at: '08:00:00[Europe/Vienna]',
    noise_threshold_decibels: 72.5,
  })
  const { noise_threshold_id } = made
  await thresholds.update({ device_id, noise_threshold_id, noise_threshold_decibels: 80 })
  const changed = await thresholds.get({ noise_threshold_id })
  assert.deepEqual({ ...made, noise_threshold_decibels: 80 }, changed)
  await thresholds.delete({ device_id, noise_threshold_id })
  await refused(() => thresholds.get({ noise_threshold_id }), 404, 'noise_threshold_not_found')
  const deaf = { device_id: lock.device_id, starts_daily_at: '20:00:00', ends_daily_at: '08:00:00', noise_threshold_decibels: 60 }
  await refused(() => thresholds.create(deaf), 400, 'invalid_input')
  const bad = { device_id, starts_daily_at: '25:99', ends_daily_at: 'soon', noise_threshold_decibels: 60 }
  await refused(() => thresholds.create(bad), 400, 'invalid_input')
})

await check('a code is made, set, renamed and taken out, and its events are found by it', async () => {
  const codes = seam.accessCodes
  const { device_id } = devices.find((d) => d.can_program_online_access_codes)
  const { code } = await codes.generateCode({ device_id })
  const since = now()
  const { access_code_id } = await codes.create({ device_id, name: 'Guest', code })
  const set = await until('the code is set', async () => {
    const now = await codes.get({ access_code_id })
    return now.status === 'set' && now
  })
  assert.deepEqual([set.code, set.type, set.name], [code, 'ongoing', 'Guest'])
  assert.equal((await codes.get({ device_id, code })).access_code_id, access_code_id)
  assert.ok(ids(await codes.list({ device_id }), 'access_code_id').includes(access_code_id))
  assert.equal((await told(since, 'access_code.set_on_device', (e) => e.access_code_id === access_code_id)).code, code)
  await codes.update({ access_code_id, name: 'Cleaner' })
  assert.equal((await codes.get({ access_code_id })).name, 'Cleaner')
  await codes.delete({ access_code_id })
  await until('the code is gone', () => codes.get({ access_code_id }).then(() => false, (e) => e.statusCode === 404))
  const events = await until('access_code.deleted', async () => {
    const events = await seam.events.list({ since, access_code_id })
    return events.some((e) => e.event_type === 'access_code.deleted') && events
  })
  assert.ok(events.every((e) => e.access_code_id === access_code_id))
  const past = new Date(Date.now() - 1e9).toISOString()
  for (const wrong of [{ code: '12ab' }, { name: '' }, { name: 'x'.repeat(256) }, { ends_at: past }])
    await refused(() => codes.create({ device_id, ...wrong }), 400, 'invalid_input')
  const { device_id: sensor } = (await seam.noiseSensors.list())[0]
  await refused(() => codes.create({ device_id: sensor, code: '7391' }), 400)
  await refused(() => codes.get({ access_code_id: NOBODY }), 404, 'access_code_not_found')
})

await check('one code is made on several locks, and not again when the request is repeated', async () => {
  const device_ids = ids(devices.filter((d) => d.can_program_online_access_codes), 'device_id').slice(0, 2)
  const name = `Family ${randomInt(100000)}`
  const made = await seam.accessCodes.createMultiple({ device_ids, name })
  const again = await seam.accessCodes.createMultiple({ device_ids, name })
  assert.deepEqual(ids(again, 'access_code_id').sort(), ids(made, 'access_code_id').sort())
  assert.equal(new Set(ids(made, 'code')).size, 1)
  assert.equal(new Set(ids(made, 'common_code_key')).size, 1)
  for (const { access_code_id } of made) await seam.accessCodes.delete({ access_code_id })
})

await check('codes with a common key have the same digits', async () => {
  const [first, second] = ids(devices.filter((d) => d.can_program_online_access_codes), 'device_id')
  const common_code_key = `family-${randomInt(1e9)}`
  const codes = seam.accessCodes
  const made = await codes.create({ device_id: first, common_code_key, name: 'Family' })
  const { code } = await codes.create({ device_id: second, common_code_key })
  assert.deepEqual([made.common_code_key, code], [common_code_key, made.code])
  const other = made.code === '7391' ? '7392' : '7391'
  await refused(() => codes.create({ device_id: second, common_code_key, code: other }), 400, 'invalid_input')
  await codes.updateMultiple({ common_code_key, name: 'Friends' })
  const { data } = await seam.client.post('/access_codes/list', { common_code_key })
  assert.deepEqual(ids(data.access_codes, 'name'), ['Friends', 'Friends'])
  for (const { access_code_id } of data.access_codes) await codes.delete({ access_code_id })
})

await check('a code that somebody programs at the lock is found, and taken over', async () => {
  const { device_id } = devices.find((d) => d.can_program_online_access_codes)
  const code = `${randomInt(100000, 999999)}`
  const { data } = await seam.client.post('/access_codes/simulate/create_unmanaged_access_code', { device_id, code, name: 'x' })
  const { access_code_id } = data.access_code
  const { unmanaged } = seam.accessCodes
  assert.ok(ids(await unmanaged.list({ device_id }), 'access_code_id').includes(access_code_id))
  assert.equal((await unmanaged.get({ access_code_id })).is_managed, false)
  await unmanaged.convertToManaged({ access_code_id })
  await until('it is ours', () => seam.accessCodes.get({ access_code_id }).catch(() => false))
  await seam.accessCodes.delete({ access_code_id })
})

await check('what Seam tells and no hub does can be asked for', async () => {
  const { webhooks } = seam
  const asked = ['acs_user.created', 'lock.unlocked', 'thermostat.temperature_changed']
  assert.deepEqual(await seam.events.list({ since: EPOCH, event_type: 'acs_user.created' }), [])
  const both = await seam.events.list({ since: EPOCH, event_types: asked })
  assert.ok(both.length > 0 && both.every((e) => e.event_type === 'lock.unlocked'))
  await refused(() => seam.events.list({ since: EPOCH, event_type: 'lock.opened' }), 400, 'invalid_event_types')
  const { webhook_id, event_types } = await webhooks.create({ url: 'http://127.0.0.1:9/', event_types: asked })
  assert.deepEqual([...event_types].sort(), asked)
  await refused(() => webhooks.update({ webhook_id, event_types: ['lock.opened'] }), 400, 'invalid_event_types')
  await webhooks.update({ webhook_id, event_types: ['*'] })
  assert.equal((await webhooks.get({ webhook_id })).event_types, undefined, 'all')
  await webhooks.delete({ webhook_id })
})

await check('notes that are none are refused by name', async () => {
  const invalid = await refused(() => seam.devices.update({ device_id: lock.device_id, custom_metadata: { floor: 5 } }), 400, 'invalid_input')
  assert.ok(invalid.getValidationErrorMessages('custom_metadata').length > 0)
})

await check('accounts are listed, and every device is of one', async () => {
  const accounts = new Set(ids(await seam.connectedAccounts.list(), 'connected_account_id'))
  assert.ok(devices.every((d) => accounts.has(d.connected_account_id)))
  const [first] = accounts
  assert.equal((await seam.connectedAccounts.get({ connected_account_id: first })).connected_account_id, first)
  await refused(() => seam.connectedAccounts.get({ connected_account_id: NOBODY }), 404, 'connected_account_not_found')
})

await check('a device that falls silent is told, and so is that it is back', async () => {
  const { device_id } = locks.findLast((l) => l.can_remotely_lock)
  const since = now()
  await seam.devices.simulate.disconnect({ device_id })
  const lost = await seam.devices.get({ device_id })
  assert.deepEqual([lost.properties.online, ids(lost.errors, 'error_code')], [false, ['device_disconnected']])
  const event = await told(since, 'device.disconnected', (e) => e.device_id === device_id)
  assert.equal(event.error_code, 'device_disconnected')
  await seam.devices.simulate.connect({ device_id })
  assert.equal((await seam.devices.get({ device_id })).properties.online, true)
  await told(since, 'device.connected', (e) => e.device_id === device_id)
  await refused(() => seam.devices.simulate.connect({ device_id: NOBODY }), 404, 'device_not_found')
})

await check('an account that is lost takes its devices with it, and both come back', async () => {
  const { connected_account_id, device_id } = lock
  const since = now()
  await seam.connectedAccounts.simulate.disconnect({ connected_account_id })
  const { errors } = await told(since, 'connected_account.disconnected', (e) => e.connected_account_id === connected_account_id)
    .then(() => seam.connectedAccounts.get({ connected_account_id }))
  assert.ok(errors.every((e) => e.error_code === 'account_disconnected' && e.is_connected_account_error))
  const event = await told(since, 'device.disconnected', (e) => e.device_id === device_id)
  assert.equal(event.error_code, 'account_disconnected')
  await told(since, 'connected_account.connected', (e) => e.connected_account_id === connected_account_id)
  await told(since, 'device.connected', (e) => e.device_id === device_id)
})

await check('a device that is taken out of its network is removed, and no more', async () => {
  const { device_id } = locks.findLast((l) => l.can_remotely_lock)
  const since = now()
  await seam.devices.simulate.remove({ device_id })
  await refused(() => seam.devices.get({ device_id }), 404, 'device_not_found')
  await told(since, 'device.removed', (e) => e.device_id === device_id)
})

await check('an account is deleted with its devices', async () => {
  const { connected_account_id } = lock
  const since = now()
  const gone = ids(await seam.devices.list({ connected_account_id }), 'device_id')
  assert.ok(gone.length > 0)
  await seam.connectedAccounts.delete({ connected_account_id })
  await refused(() => seam.connectedAccounts.get({ connected_account_id }), 404, 'connected_account_not_found')
  assert.deepEqual(await seam.devices.list({ connected_account_id }), [])
  await told(since, 'connected_account.deleted', (e) => e.connected_account_id === connected_account_id)
  for (const id of gone) await told(since, 'device.deleted', (e) => e.device_id === id)
})

await check('every answer is one that Seam knows', () => {
  assert.ok(validated > 50, `${validated} things seen`)
  for (const [what, thing] of strange) console.log(`strange: ${what}\n${JSON.stringify(thing).slice(0, 900)}`)
  assert.equal(strange.size, 0)
})
console.log(`# ${flavour}: ${validated} things held against Seam's schemas, ${failed} of the promises fail`)
process.exit(failed > 0 ? 1 : 0)
