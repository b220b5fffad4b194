import type { RunningLocker } from '../../devices/index.ts'
import { runLocker } from '../../devices/index.ts'
import type { PikeBackend } from '../../src/backend/index.ts'
import { makeSecret } from '../../src/secrets/secrets.ts'
import { Progress } from '../progress.ts'
import type { ProtocolName } from '../protocols.ts'
import { seeded } from '../seeded.ts'
import { sessions } from '../sessions.ts'
import { dealOut, type Mix, percentile } from './mix.ts'

export interface FleetOptions {
  readonly pike: PikeBackend
  readonly host: string
  readonly port: (protocol: ProtocolName) => number
  readonly devices: number
  readonly mix: Mix
  readonly seed: number
  /** Commands for each device, one after the other. */
  readonly commands: number
  /** What the ids of its devices begin with. */
  readonly prefix: string
  readonly app: string
  /** Longest wait for a connection and for an outcome. */
  readonly patienceS: number
  /** Beats its devices bear, where their protocol lets them say so. */
  readonly keepalive?: { readonly minS: number; readonly maxS: number }
}

/** How it went for those of one protocol. Times in ms; undefined: nobody did that. */
export interface FleetRow {
  readonly protocol: ProtocolName
  readonly devices: number
  readonly connected: number
  readonly connectP50Ms: number | undefined
  readonly connectP99Ms: number | undefined
  readonly sent: number
  readonly done: number
  readonly otherwise: number
  /** How they ended, or stand, that are not done: how many of each status. */
  readonly otherwiseAs: Readonly<Record<string, number>>
  /** What the first of those said last that did not connect. */
  readonly notConnected: string | undefined
  readonly doneP50Ms: number | undefined
  readonly doneP99Ms: number | undefined
  readonly opened: number
}

interface Member {
  readonly device: string
  readonly protocol: ProtocolName
  readonly secret: string
  locker: RunningLocker | undefined
  connectMs: number | undefined
  /** What its locker said last of why it is not connected. */
  why: string | undefined
  readonly doneMs: number[]
  sent: number
  /** The status of each command that is not done. */
  readonly otherwise: string[]
}

const doors = 12
/** Calls under way at once. */
const callsMax = 64

/** Many lockers in this process: they connect, each gets its commands, and it is counted what came of them. */
export async function runFleet(options: FleetOptions): Promise<FleetRow[]> {
  const { pike, devices, mix, seed, commands, prefix } = options
  const random = seeded(seed)
  const members = dealOut(mix, devices, random).map(
    (protocol, i): Member => ({
      device: `${prefix}-${String(i + 1).padStart(4, '0')}`,
      protocol,
      secret: makeSecret(),
      locker: undefined,
      connectMs: undefined,
      why: undefined,
      doneMs: [],
      sent: 0,
      otherwise: [],
    }),
  )
  try {
    await each('devices registered', members, async ({ device, secret }) => {
      await pike.devices.put(device, { secret })
      return true
    })
    await each('devices connected', members, (member) => connect(member, options))
    // Chance is drawn before anything happens, so that it does not depend on who is quicker. One door
    // after the other, since one that is still open does not open.
    const first = members.map(() => Math.floor(random() * doors))
    const plan = Array.from({ length: commands }, (_, round) =>
      members.map((member, i) => ({ member, door: 1 + ((first[i]! + round) % doors) })),
    ).flat()
    await each('commands', plan, ({ member, door }) => open(options, member, door))
  } finally {
    await Promise.all(members.map(({ locker }) => locker?.stop()))
  }
  return [...mix.keys()].map((protocol) =>
    rowOf(
      protocol,
      members.filter((member) => member.protocol === protocol),
    ),
  )
}

/** @returns whether it is connected; false when that has taken too long. */
function connect(
  member: Member,
  { host, port, app, patienceS, keepalive }: FleetOptions,
): Promise<boolean> {
  const { device, secret, protocol } = member
  const startedMs = performance.now()
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceS * 1000)
    const locker = runLocker({
      ...{ host, port: port(protocol), app, device, secret, ...sessions[protocol] },
      ...(keepalive && { keepalive }),
      doors: { doors, closeAfterMs: 1_000 },
      log: ({ event, text, details }) => {
        if (event === 'locker.waiting') member.why = String(details.why)
        else if (event === 'locker.stopped' && details.kind !== 'asked') member.why = text
      },
    })
    member.locker = locker
    locker.client.once('running', () => {
      clearTimeout(timer)
      member.connectMs = performance.now() - startedMs
      resolve(true)
    })
  })
}

async function open(
  { pike, patienceS }: FleetOptions,
  member: Member,
  door: number,
): Promise<boolean> {
  const startedMs = performance.now()
  member.sent++
  const sent = await pike.send(
    member.device,
    { name: 'open', payload: { door }, expect: 'reply' },
    { waitSeconds: patienceS },
  )
  if (sent.status === 'done') member.doneMs.push(performance.now() - startedMs)
  else member.otherwise.push(sent.status)
  return true
}

/** So many at a time, with a line that says for how many it came true. */
async function each<T>(
  what: string,
  items: readonly T[],
  run: (item: T) => Promise<boolean>,
): Promise<void> {
  const progress = new Progress(what, items.length)
  let next = 0
  const work = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) {
      progress.add((await run(item)) ? 1 : 0)
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(callsMax, items.length) }, work))
  } finally {
    progress.end()
  }
}

function rowOf(protocol: ProtocolName, members: readonly Member[]): FleetRow {
  const connects = members.flatMap(({ connectMs }) => connectMs ?? [])
  const dones = members.flatMap(({ doneMs }) => doneMs)
  const sum = (value: (member: Member) => number): number =>
    members.reduce((total, member) => total + value(member), 0)
  return {
    protocol,
    devices: members.length,
    connected: connects.length,
    connectP50Ms: percentile(connects, 0.5),
    connectP99Ms: percentile(connects, 0.99),
    sent: sum(({ sent }) => sent),
    done: dones.length,
    otherwise: sum(({ otherwise }) => otherwise.length),
    otherwiseAs: tally(members.flatMap(({ otherwise }) => otherwise)),
    notConnected: members.find(({ connectMs }) => connectMs === undefined)?.why,
    doneP50Ms: percentile(dones, 0.5),
    doneP99Ms: percentile(dones, 0.99),
    opened: sum(({ locker }) => locker?.opened.length ?? 0),
  }
}

/** How many of each. */
function tally(words: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Object.fromEntries(counts)
}
