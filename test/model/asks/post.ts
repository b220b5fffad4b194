import assert from 'node:assert/strict'
import fc from 'fast-check'
import { limits as contractLimits, shareOfApp } from '../../../src/contract/index.ts'
import { judgeTimeline } from '../ledger.ts'
import { limits } from '../limits.ts'
import {
  type App,
  type Command,
  hasChannel,
  isOpen,
  mailbox,
  maybeSent,
  type Spec,
} from '../state.ts'
import type { Answer, Lost, Story } from '../story.ts'

/** A command as it is asked for, whomever it is for. */
export const postFields = {
  channel: fc.constantFrom(
    ...new Array<string>(12).fill('main'),
    ...new Array<string>(3).fill('urgent'),
    ...new Array<string>(6).fill('media'),
    'nowhere',
  ),
  size: fc.constantFrom(0, 0, 0, 1, 2, 3),
  delivery: fc.constantFrom(undefined, 'queue' as const, 'now' as const),
  ttl: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    undefined,
    0.001,
    5,
    30,
    30,
    120,
    120,
    2_592_000,
  ),
  expect: fc.constantFrom(undefined, 'ack' as const, 'reply' as const, 'reply' as const),
  replyTimeout: fc.constantFrom(undefined, 0.001, 20, 604_800),
  collapse: fc.constantFrom(undefined, undefined, undefined, null, 'light', '__proto__'),
  notBefore: fc.constantFrom(...new Array(9).fill(undefined), -60, 5, 30, 2_592_000),
  callback: fc.constantFrom(...[...new Array(14).fill(undefined), 'https://example.com/hook']),
  flaw: fc.oneof(
    { weight: 20, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...([
          'ttl',
          'long-ttl',
          'name',
          'long-name',
          'field',
          'both',
          'base64',
          'far',
          'time',
        ] as const),
        ...(['json', 'deep', 'big', 'huge', 'inward', 'no-url', 'delivery', 'collapse'] as const),
      ),
    },
  ),
}
export type PostFields = {
  readonly [name in keyof typeof postFields]: (typeof postFields)[name] extends fc.Arbitrary<
    infer T
  >
    ? T
    : never
}

export interface Post {
  readonly spec: Spec
  readonly raw: string
  /** What it must be answered, whatever the state of things; undefined: it fits. */
  readonly flaw: string | undefined
}

const payloads = [
  '',
  '{"door": 7, "big": 12345678901234567890}',
  `"${'x'.repeat(900)}"`,
  `[ "${'é'.repeat(1_400)}" ]`,
]

/** The body of a call, with what it means; `more` is what only some calls take. */
export function makePost(
  story: Story,
  fields: PostFields,
  more: Record<string, unknown> = {},
): Post {
  const name = `c${++story.names}`
  const { channel, delivery, ttl, expect, replyTimeout, collapse, callback, flaw } = fields
  const text = payloads[fields.size]!
  const nowMs = story.nowMs
  const at = (seconds: number) => new Date(nowMs + seconds * 1_000).toISOString()
  const notBefore = fields.notBefore === undefined ? undefined : at(fields.notBefore)
  const body: Record<string, unknown> = {
    name,
    channel,
    delivery,
    ttl,
    expect,
    replyTimeout,
    collapse,
  }
  Object.assign(body, { callback, notBefore }, more)
  let refusal: string | undefined
  const wrong = (change: Record<string, unknown>, answer = '400 invalid-request') => {
    Object.assign(body, change)
    refusal = answer
  }
  if (flaw === 'ttl') wrong({ ttl: 0 })
  else if (flaw === 'long-ttl') wrong({ ttl: contractLimits.ttlMaxMs / 1000 + 1 })
  else if (flaw === 'name') wrong({ name: 'two\nlines' })
  else if (flaw === 'long-name') wrong({ name: 'é'.repeat(65) })
  else if (flaw === 'field') wrong({ deliverey: 'now' })
  else if (flaw === 'both') wrong({ payload: 1, payloadBase64: 'AAAA' })
  else if (flaw === 'base64') wrong({ payloadBase64: 'AAA' })
  else if (flaw === 'far') wrong({ notBefore: at(2_592_001) })
  else if (flaw === 'time') wrong({ notBefore: 'tomorrow' })
  else if (flaw === 'inward') wrong({ callback: 'http://10.0.0.1/' })
  else if (flaw === 'no-url') wrong({ callback: 'ftp://example.com/' })
  else if (flaw === 'delivery') wrong({ delivery: 'later' })
  else if (flaw === 'collapse') wrong({ collapse: '' })
  else if (flaw === 'big')
    wrong({ payload: 'x'.repeat(limits.payloadMaxBytes) }, '413 payload-too-large')
  else if (flaw === 'huge')
    wrong({ payload: 'x'.repeat(limits.bodyMaxBytes) }, '413 body-too-large')
  let raw = JSON.stringify(body)
  // The device gets the text of the payload as it was written here.
  if (text !== '' && refusal === undefined) raw = `${raw.slice(0, -1)}, "payload" : ${text} }`
  if (flaw === 'json') {
    raw = raw.slice(0, -1)
    refusal = '400 malformed-json'
  } else if (flaw === 'deep') {
    raw = `{"payload":${'['.repeat(64)}${']'.repeat(64)}}`
    refusal = '400 too-deep'
  }
  const notBeforeMs = notBefore === undefined ? undefined : Date.parse(notBefore)
  const spec: Spec = {
    name,
    channel,
    payload: Buffer.from(text),
    contentType: 'application/json',
    delivery: delivery ?? 'queue',
    expect: expect ?? 'ack',
    ttlMs: Math.round(
      (ttl ?? (delivery === 'now' ? limits.nowTtlMs : limits.queueTtlMs) / 1000) * 1000,
    ),
    replyTimeoutMs: Math.round((replyTimeout ?? limits.replyTimeoutMs / 1000) * 1000),
    collapse: collapse ?? undefined,
    notBeforeMs: notBeforeMs !== undefined && notBeforeMs > nowMs ? notBeforeMs : undefined,
    callback,
  }
  return { spec, raw, flaw: refusal }
}

/** What it means when it is asked again later: a moment in the past is now. */
const asOf = (spec: Spec, nowMs: number): Spec =>
  (spec.notBeforeMs ?? 0) > nowMs ? spec : { ...spec, notBeforeMs: undefined }

export interface Idempotency {
  readonly key: string
  readonly hash: string
}

/** What its Idempotency-Key stands for by now. */
export function remembered(story: Story, app: App, idempotency: Idempotency | undefined) {
  const known = idempotency && app.remembered.get(idempotency.key)
  if (known === undefined || story.nowMs >= known.atMs + limits.idempotencyMs) return undefined
  return { id: known.id, same: known.hash === idempotency!.hash }
}

/** Answers the contract allows to a command for this device. */
export function expectSend(
  story: Story,
  app: App,
  name: string,
  post: Post,
  idempotency: Idempotency | undefined,
): readonly string[] {
  const spec = asOf(post.spec, story.nowMs)
  const known = remembered(story, app, idempotency)
  // Whatever has become of its device, its alias or the quota since (rule 28).
  if (known !== undefined) return repeatOf(known)
  const refusal = refusalOf(app, name, spec)
  if (refusal !== undefined) return [refusal]
  return [...over(story, app), ...taken(story, app, name, spec)]
}

export const repeatOf = (known: {
  readonly id: string
  readonly same: boolean
}): readonly string[] =>
  known.same && known.id.includes(':') ? ['200', '202'] : ['409 idempotency-conflict']

function refusalOf(app: App, name: string, spec: Spec): string | undefined {
  const device = app.devices.get(name)
  if (device === undefined) return '404 unknown-device'
  if (device.disabled) return '409 device-disabled'
  return hasChannel(device, spec.channel) ? undefined : '400 invalid-request'
}

/** A quota is in force a second after it was set, and read at calls only. */
export function over(story: Story, app: App): readonly string[] {
  const lately = story.nowMs - app.quotaChangedAtMs < 60_000
  return app.quota?.commandsPerSecond !== undefined || lately ? ['429 over-quota'] : []
}

function taken(story: Story, app: App, name: string, spec: Spec): readonly string[] {
  if (spec.notBeforeMs !== undefined) {
    const waiting = [...story.apps.values()].flatMap((each) =>
      [...each.commands.values()].filter((one) => isOpen(one) && one.place === undefined),
    )
    const here = waiting.filter(
      (one) => one.app === app.name && one.device === name && one.spec.channel === spec.channel,
    )
    const ofApp = waiting.filter((one) => one.app === app.name)
    const isFull =
      here.length >= limits.scheduledMaxCommands ||
      waiting.length >= limits.scheduledMaxTotal ||
      ofApp.length >= shareOfApp(limits.scheduledMaxTotal)
    return [isFull ? '429 schedule-full' : '202']
  }
  const channel = `${app.name}/${name}/${spec.channel}`
  const attached = story.isAttached(channel)
  if (spec.delivery === 'now' && !attached) return ['200']
  switch (room(app, name, spec, attached)) {
    case 'yes':
      return ['202']
    case 'no':
      return ['429 mailbox-full']
    case 'perhaps':
      return ['202', '429 mailbox-full']
  }
}

/** Is there room in the mailbox, if who may go for it goes? 'perhaps': what is intended stays. */
function room(app: App, name: string, spec: Spec, attached: boolean): 'yes' | 'no' | 'perhaps' {
  const settings = app.devices.get(name)!.channels
  const { maxCommands, overflow } = Object.hasOwn(settings, spec.channel)
    ? settings[spec.channel]!
    : ({} as { maxCommands?: number; overflow?: string })
  const all = mailbox(app, name, spec.channel)
  const fits = (mayGo: (command: Command) => boolean) => {
    const collapsed = (one: Command) =>
      spec.collapse !== undefined && one.spec.collapse === spec.collapse
    let left = all.filter((one) => !(mayGo(one) && collapsed(one)))
    for (;;) {
      const bytes = left.reduce(
        (sum, one) => sum + (one.acks.length > 0 ? 0 : one.spec.payload.length),
        0,
      )
      const isRoom =
        left.length + 1 <= (maxCommands ?? limits.mailboxMaxCommands) &&
        bytes + spec.payload.length <= limits.mailboxMaxBytes
      if (isRoom) return true
      const oldest = overflow === 'drop-oldest' ? left.find(mayGo) : undefined
      if (oldest === undefined) return false
      left = left.filter((one) => one !== oldest)
    }
  }
  const unsent = (one: Command) => !maybeSent(one) && one.acks.length === 0
  if (fits((one) => unsent(one) && !attached)) return 'yes'
  return fits(unsent) ? 'perhaps' : 'no'
}

/** A command was answered `202` or `200`: the answer is right, and the model has it. */
export function applySend(
  story: Story,
  app: App,
  post: Post,
  asked: {
    readonly device: string
    readonly askedBy: string
    readonly idempotency: Idempotency | undefined
  },
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
  view: any,
  acceptedAtMs = story.nowMs,
): Command {
  const { device, askedBy, idempotency } = asked
  const spec = asOf(post.spec, acceptedAtMs)
  const known = remembered(story, app, idempotency)
  if (known !== undefined) {
    assert.equal(view.id, known.id, 'the same key, the same command')
    return app.commands.get(view.id)!
  }
  const expiresAtMs = (spec.notBeforeMs ?? acceptedAtMs) + spec.ttlMs
  assert.deepEqual([view.device, view.channel], [device, spec.channel])
  assert.equal(view.expiresAt, new Date(expiresAtMs).toISOString(), `${view.id}: expiresAt`)
  const isLater = spec.notBeforeMs !== undefined
  assert.equal(view.offset === undefined, isLater, `${view.id}: has a place`)
  if (isLater) assert.equal(view.notBefore, new Date(spec.notBeforeMs!).toISOString())
  const place = isLater ? undefined : { epoch: view.epoch, offset: view.offset }
  const before = [...app.commands.values()].filter(
    (one) => one.device === device && one.spec.channel === spec.channel && one.place !== undefined,
  )
  const offsets = before.map((one) => one.place!.offset)
  if (place !== undefined) {
    assert.ok(!offsets.includes(place.offset), `${view.id}: a place is given once`)
    // Of calls side by side nobody knows which was answered first.
    const grows = story.sideBySide || place.offset > Math.max(0, ...offsets)
    assert.ok(grows, `${view.id}: offsets grow (${offsets.join()})`)
  }
  const command = story.accept(
    {
      id: view.id,
      app: app.name,
      device,
      spec,
      askedBy,
      acceptedAtMs,
      expiresAtMs,
      broadcast: undefined,
    },
    place,
    acceptedAtMs,
  )
  if (idempotency !== undefined)
    app.remembered.set(idempotency.key, { hash: idempotency.hash, id: view.id, atMs: acceptedAtMs })
  return command
}

export const lostSend = (
  story: Story,
  app: App,
  post: Post,
  asked: Omit<Lost, 'app' | 'spec'>,
): void => {
  if (post.flaw === undefined) story.lost.push({ app, spec: post.spec, ...asked })
}

/** What a command's view says is what the model knows of it. */
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into
export function judgeView(command: Command, view: any, broken: boolean): void {
  const { id, spec, end } = command
  const iso = (ms: number | undefined) =>
    ms === undefined ? undefined : new Date(ms).toISOString()
  const said = [
    view.id,
    view.device,
    view.channel,
    view.name,
    view.delivery,
    view.expect,
    view.askedBy,
  ]
  const known = [
    id,
    command.device,
    spec.channel,
    spec.name,
    spec.delivery,
    spec.expect,
    command.askedBy,
  ]
  assert.deepEqual(said, known, `${id}: what it is`)
  assert.deepEqual(
    [view.acceptedAt, view.expiresAt, view.notBefore, view.callback, view.broadcast],
    [
      iso(command.acceptedAtMs),
      iso(command.expiresAtMs),
      iso(spec.notBeforeMs),
      spec.callback,
      command.broadcast,
    ],
    `${id}: its times and ties`,
  )
  const place = view.offset === undefined ? undefined : { epoch: view.epoch, offset: view.offset }
  // While the store is away what ends or begins is told when it is back.
  if (broken) return
  if (end === undefined || command.place !== undefined)
    assert.deepEqual(place, command.place, `${id}: place`)
  assert.equal(
    view.ended,
    end !== undefined,
    `${id}: is ${view.status}, model: ${end?.status ?? 'open'}`,
  )
  if (end === undefined) {
    const status =
      command.acks.length > 0
        ? 'delivered'
        : command.writes > 0 || command.saidSent
          ? 'sent'
          : 'queued'
    assert.equal(view.status, status, `${id}: status`)
  } else {
    assert.deepEqual(
      [view.status, view.reason],
      [end.status, end.reason],
      `${id}: an outcome never changes`,
    )
    const reply = command.replies.find(
      ({ status, atMs }) => status === end.status && atMs === end.atMs,
    )
    assert.equal(view.reply?.status, reply?.status, `${id}: its reply`)
  }
  judgeTimeline(view.timeline, command)
}

export const isAccepted = ({ status }: Pick<Answer, 'status'>): boolean =>
  status === 200 || status === 202
