import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits as contractLimits } from '../../../src/contract/index.ts'
import { kdfFor } from '../../../src/secrets/secrets.ts'
import { type App, type Device, isOpen } from '../state.ts'
import type { Answer, Ask, Caller, Story } from '../story.ts'
import { as, deviceName, tagName } from './names.ts'

const strong = ['strong-secret-0123456789-a', 'strong-secret-0123456789-b']

export const deviceBody = {
  secret: fc.constantFrom(undefined, undefined, undefined, strong[0], strong[1]),
  disabled: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    false,
    false,
    false,
    true,
  ),
  tags: fc.constantFrom(undefined, undefined, [], ['t1'], ['t1', 't2'], ['valueOf', 't1']),
  attributes: fc.constantFrom(
    undefined,
    undefined,
    { doors: 24, class: 'battery' },
    { constructor: 1 },
  ),
  channels: fc.constantFrom(
    undefined,
    { media: { maxCommands: 2, overflow: 'drop-oldest' as const } },
    { media: { maxCommands: 3 }, main: { overflow: 'drop-oldest' as const } },
    { media: { maxCommands: 2, overflow: 'reject' as const } },
    {},
  ),
  flaw: fc.oneof(
    { weight: 14, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'short',
        'field',
        'bound',
        'twice',
        'fat',
        'channel',
        'null',
        'json',
      ),
    },
  ),
}

const flaws: Record<string, Record<string, unknown>> = {
  short: { secret: 'short' },
  field: { tag: 'berlin' },
  bound: { channels: { media: { maxCommands: contractLimits.mailboxMaxCommands + 1 } } },
  twice: { tags: ['t1', 't1'] },
  fat: { attributes: { text: 'x'.repeat(16_384 - 5) } },
  channel: { channels: { 'two words': {} } },
  null: { disabled: null },
}

export const deviceAsks = {
  put: fc.record({
    do: fc.constant('put' as const),
    as,
    device: fc.oneof(
      { weight: 9, arbitrary: deviceName },
      { weight: 1, arbitrary: fc.constantFrom('-no', 'x'.repeat(129), 'x'.repeat(520)) },
    ),
    ...deviceBody,
  }),
  get: fc.record({ do: fc.constant('get' as const), as, device: deviceName }),
  list: fc.record({
    do: fc.constant('list' as const),
    as,
    tag: fc.constantFrom(undefined, 't1', 't2', 'nobody'),
    limit: fc.constantFrom(undefined, 1, 2),
  }),
  remove: fc.record({ do: fc.constant('remove' as const), as, device: deviceName }),
  rotate: fc.record({
    do: fc.constant('rotate' as const),
    as,
    device: deviceName,
    drop: fc.boolean(),
  }),
  tag: fc.record({
    do: fc.constant('tag' as const),
    as,
    device: deviceName,
    tag: tagName,
    take: fc.boolean(),
  }),
  tagged: fc.record({
    do: fc.constant('tagged' as const),
    as,
    tag: tagName,
    limit: fc.constantFrom(undefined, 1, 2),
  }),
}

type Of<K extends keyof typeof deviceAsks> =
  (typeof deviceAsks)[K] extends fc.Arbitrary<infer T> ? T : never

export interface DeviceBody {
  readonly secret?: string | undefined
  readonly disabled?: boolean | undefined
  readonly tags?: readonly string[] | undefined
  readonly attributes?: unknown
  readonly channels?: unknown
}

/** The device after a PUT. */
export function changed(story: Story, app: App, name: string, body: DeviceBody): Device {
  const before = app.devices.get(name)
  const secrets = body.secret ?? (before === undefined ? `made ${++story.names}` : undefined)
  return {
    app: app.name,
    name,
    disabled: body.disabled ?? before?.disabled ?? false,
    tags: body.tags ?? before?.tags ?? [],
    attributes: body.attributes ?? before?.attributes ?? {},
    channels: (body.channels as Device['channels'] | undefined) ?? before?.channels ?? {},
    secrets: secrets === undefined ? before!.secrets : withSecret(before?.secrets ?? [], secrets),
    createdAtMs: before?.createdAtMs ?? story.nowMs,
    changedAtMs: story.nowMs,
  }
}

const withSecret = (before: readonly string[], next: string): readonly string[] =>
  [next, ...before.filter((other) => other !== next)].slice(0, 2)

/** What a device's view says is what the model knows of it. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
export function judgeDevice(story: Story, device: Device, view: any): void {
  const { app, name } = device
  const iso = (ms: number) => new Date(ms).toISOString()
  assert.deepEqual(
    [view.device, view.disabled, view.credentials, view.createdAt, view.changedAt],
    [
      name,
      device.disabled,
      device.secrets.length,
      iso(device.createdAtMs),
      iso(device.changedAtMs),
    ],
    `${app}/${name}`,
  )
  assert.deepEqual([...view.tags].sort(), [...device.tags].sort(), `${app}/${name}: tags`)
  assert.deepEqual(view.attributes, device.attributes, `${app}/${name}: attributes`)
  assert.deepEqual(view.channels, device.channels, `${app}/${name}: channels`)
  if (story.broken) return
  const lockers = [...story.lockers.values()].filter(
    (one) => one.app === app && one.device === name,
  )
  const isThere = lockers.some(({ line }) => line !== undefined && !line.isClosed)
  assert.equal(
    // Who was there when the process died is suspect for a while.
    view.presence.state !== 'offline' && view.presence.reason !== 'restarted',
    isThere,
    `${app}/${name}: is ${view.presence.state}`,
  )
  const all = [...story.apps.get(app)!.commands.values()]
  const open = all.filter((one) => isOpen(one) && one.device === name && one.place !== undefined)
  const bytes = open.reduce(
    (sum, one) => sum + (one.acks.length > 0 ? 0 : one.spec.payload.length),
    0,
  )
  const { oldestAt, ...mailbox } = view.mailbox as { oldestAt?: string }
  assert.deepEqual(mailbox, { commands: open.length, bytes }, `${app}/${name}: mailbox`)
  // found: the first of a channel counts as its oldest, though one that was scheduled and stands
  // behind it was accepted before it.
  const possible: (string | undefined)[] =
    open.length === 0 ? [undefined] : open.map(({ acceptedAtMs }) => iso(acceptedAtMs))
  assert.ok(possible.includes(oldestAt), `${app}/${name}: its oldest is of ${oldestAt}`)
}

/** A write whose answer was lost: one of the two is there, and only a look can tell. */
export function doubtful(story: Story, app: App, name: string, after: Device | undefined): void {
  const before = app.devices.get(name)
  story.doubts.push(async () => {
    const kept = await story.system.life.engine.names.device(app.name, name)
    const fits = (one: Device | undefined) =>
      one === undefined
        ? kept === undefined
        : kept !== undefined &&
          kept.disabled === one.disabled &&
          kept.credentials.length === one.secrets.length &&
          kept.changedAtMs === one.changedAtMs &&
          kept.tags.join() === one.tags.join()
    if (fits(before)) return
    assert.ok(fits(after), `${app.name}/${name} is neither as before nor as asked for`)
    if (after === undefined) app.devices.delete(name)
    else app.devices.set(name, after)
  })
}

const badName = (name: string) => (name.length > 512 ? '414 path-too-long' : '400 invalid-request')
const isBad = (name: string) => !/^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/.test(name)

export const devices = {
  async put(story: Story, { as, device, flaw, do: _, ...body }: Of<'put'>) {
    const caller = story.caller(as, 'devices')
    const ask: Ask = {
      method: 'PUT',
      route: '/v1/devices/{device}',
      url: `/v1/devices/${device}`,
      ...(flaw === 'json'
        ? { raw: '{"tags": [' }
        : { body: { ...body, ...(flaw && flaws[flaw]) } }),
    }
    const isNew = !caller.app.devices.has(device)
    const wrong = flaw === 'json' ? '400 malformed-json' : flaw && '400 invalid-request'
    const may = isBad(device) ? badName(device) : (wrong ?? (isNew ? '201' : '200'))
    const answer = await story.call(ask, [may, ...(isBad(device) && wrong ? [wrong] : [])], caller)
    put(story, caller, device, body, ask, answer)
    if (answer.status > 201) return
    assert.equal(answer.body.secret !== undefined, isNew && body.secret === undefined, 'shown once')
    if (isNew) assert.equal(answer.headers.location, `/v1/devices/${device}`)
    await story.system.quiet()
    judgeDevice(story, caller.app.devices.get(device)!, answer.body)
  },

  async get(story: Story, { as, device }: Of<'get'>) {
    const caller = story.caller(as, 'devices')
    const known = caller.app.devices.get(device)
    const ask: Ask = { method: 'GET', route: '/v1/devices/{device}', url: `/v1/devices/${device}` }
    const answer = await story.call(
      ask,
      [known === undefined ? '404 unknown-device' : '200'],
      caller,
    )
    if (answer.status === 200) judgeDevice(story, known!, answer.body)
  },

  async list(story: Story, { as, tag, limit }: Of<'list'>) {
    const caller = story.caller(as, 'devices')
    const query = `${tag === undefined ? '' : `&tag=${tag}`}`
    const all = await pages(story, caller, '/v1/devices', '/v1/devices', query, limit)
    if (all === undefined) return
    const wanted = [...caller.app.devices.values()]
      .filter(({ tags }) => tag === undefined || tags.includes(tag))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    assert.deepEqual(
      all.map((view) => view.device),
      wanted.map(({ name }) => name),
      'in order of name',
    )
    for (const [index, view] of all.entries()) judgeDevice(story, wanted[index]!, view)
  },

  async remove(story: Story, { as, device }: Of<'remove'>) {
    const caller = story.caller(as, 'devices')
    const { app } = caller
    const known = app.devices.get(device)
    const ask: Ask = {
      method: 'DELETE',
      route: '/v1/devices/{device}',
      url: `/v1/devices/${device}`,
    }
    // Its commands may end whatever becomes of the call.
    if (caller.refusal === undefined) story.removed(app.name, device)
    const may = known === undefined ? '404 unknown-device' : '204'
    const answer = await story.call(ask, [may], caller)
    if (story.excuses(ask, answer)) doubtful(story, app, device, undefined)
    if (answer.status !== 204) return
    app.devices.delete(device)
    await story.system.quiet()
    const all = [...app.commands.values()]
    story.mustEnd.push(...all.filter((one) => isOpen(one) && one.device === device))
  },

  async rotate(story: Story, { as, device, drop }: Of<'rotate'>) {
    const caller = story.caller(as, 'devices')
    const known = caller.app.devices.get(device)
    const older = drop ? '/older' : ''
    const ask: Ask = {
      method: drop ? 'DELETE' : 'POST',
      route: `/v1/devices/{device}/secrets${older}`,
      url: `/v1/devices/${device}/secrets${older}`,
    }
    const may = known === undefined ? '404 unknown-device' : drop ? '200' : '201'
    const answer = await story.call(ask, [may], caller)
    if (known === undefined || caller.refusal !== undefined) return
    const secrets = drop
      ? known.secrets.slice(0, 1)
      : withSecret(known.secrets, `made ${++story.names}`)
    const same = drop && known.secrets.length < 2
    const after = { ...known, secrets, changedAtMs: same ? known.changedAtMs : story.nowMs }
    if (story.excuses(ask, answer)) doubtful(story, caller.app, device, after)
    if (answer.status > 201) return
    caller.app.devices.set(device, after)
    assert.equal(answer.body.credentials, secrets.length)
    if (!drop) assert.equal(kdfFor(answer.body.secret), 'hkdf', 'a strong secret')
  },

  async tag(story: Story, { as, device, tag, take }: Of<'tag'>) {
    const caller = story.caller(as, 'devices')
    const known = caller.app.devices.get(device)
    const ask: Ask = {
      method: take ? 'DELETE' : 'PUT',
      route: '/v1/tags/{tag}/devices/{device}',
      url: `/v1/tags/${tag}/devices/${device}`,
    }
    const answer = await story.call(
      ask,
      [known === undefined ? '404 unknown-device' : '204'],
      caller,
    )
    if (known === undefined || caller.refusal !== undefined) return
    const without = known.tags.filter((other) => other !== tag)
    const tags = take ? without : known.tags.includes(tag) ? known.tags : [...known.tags, tag]
    const same = tags.length === known.tags.length
    const after = { ...known, tags, changedAtMs: same ? known.changedAtMs : story.nowMs }
    if (story.excuses(ask, answer)) doubtful(story, caller.app, device, after)
    if (answer.status === 204) caller.app.devices.set(device, after)
  },

  async tagged(story: Story, { as, tag, limit }: Of<'tagged'>) {
    const caller = story.caller(as, 'devices')
    const all = await pages(story, caller, '/v1/tags/{tag}', `/v1/tags/${tag}`, '', limit)
    const wanted = [...caller.app.devices.values()].filter(({ tags }) => tags.includes(tag))
    const names = wanted.map(({ name }) => name).sort()
    if (all !== undefined)
      assert.deepEqual(
        all.map(({ device }) => device),
        names,
      )
  },
}

/** A PUT was answered, alone or as a line of many. */
export function put(
  story: Story,
  { app, refusal }: Pick<Caller, 'app' | 'refusal'>,
  name: string,
  body: DeviceBody,
  ask: Ask,
  answer: Pick<Answer, 'status' | 'said'>,
): void {
  if (refusal !== undefined) return
  const after = changed(story, app, name, body)
  if (story.excuses(ask, answer as Answer)) doubtful(story, app, name, after)
  else if (answer.status <= 201) app.devices.set(name, after)
}

/** All items of all pages; undefined where the first was refused. */
export async function pages(
  story: Story,
  caller: Caller,
  route: string,
  path: string,
  query: string,
  limit: number | undefined,
  may: readonly string[] = ['200'],
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
): Promise<any[] | undefined> {
  const all: unknown[] = []
  const first = `${path}?${limit === undefined ? '' : `limit=${limit}`}${query}`
  for (let url = first, turns = 0; turns < 500; turns++) {
    const page = await story.call({ method: 'GET', route, url }, may, caller)
    if (page.status !== 200) return undefined
    assert.ok(page.body.items.length <= (limit ?? 100), 'a page is as long as asked for at most')
    all.push(...page.body.items)
    if (page.body.next === null) return all
    url = `${first}&after=${encodeURIComponent(page.body.next)}`
  }
  throw new Error(`${path} has no last page`)
}
