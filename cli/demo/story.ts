import type { ChildProcess } from 'node:child_process'
import type { Command, PikeBackend, Sent } from '../../src/backend/index.ts'
import { Failure } from '../failure.ts'
import { print, table } from '../print.ts'
import type { ProtocolName } from '../protocols.ts'
import { type DemoGateway, startGateway } from './gateway.ts'
import { tellProtocols } from './protocols.ts'

/** The other end: a locker that connects by Pike and opens doors. */
export interface DemoLocker {
  /** Connect, and come back whenever the connection is lost. */
  start(): void
  /** Resolves once it receives: a device of MQTT is online before it has subscribed. */
  readonly receiving: Promise<void>
  /** Say goodbye and go. */
  stop(): Promise<void>
  /** Doors it opened, in the order in which it did. */
  readonly opened: readonly number[]
}

export interface Stage {
  readonly folder: string
  readonly children: Set<ChildProcess>
  makeLocker(
    options: {
      device: string
      secret: string
      protocol: ProtocolName
      port: number
      folder: string
    },
    tell: (text: string) => void,
  ): DemoLocker
}

const device = 'SZ-0042'
/** Whatever takes longer than this has gone wrong, ms. */
const stepMaxMs = 20_000

/** What is shown at the end. */
interface Act {
  readonly title: string
  readonly delivery: 'now' | 'queue'
  readonly acceptedAtMs: number
  endedAtMs?: number
  outcome?: Command
}

/**
 * The story a newcomer sees, told while it happens, with real processes and a real disk.
 * @returns what did not come out as promised; empty when all did.
 */
export async function tellStory(stage: Stage): Promise<readonly string[]> {
  const started = performance.now()
  const sinceStart = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`
  const tell = (text: string): void => print(`${sinceStart().padStart(7)}  ${text}`)
  const acts: Act[] = []
  const broken: string[] = []
  const check = (holds: boolean, promise: string): void => {
    if (!holds) broken.push(promise)
    print(`  ${holds ? 'yes' : 'NO '}  ${promise}`)
  }

  tell('A gateway starts, in a process of its own.')
  let gateway = await startGateway(stage.folder, stage.children, { api: 0, pike: 0 })
  tell(
    `It is ready: back ends at ${gateway.pike.url}, lockers at port ${gateway.ports.pike}. Its data: ${stage.folder}`,
  )
  const { secret } = await gateway.pike.devices.put(device)
  tell(`Locker ${device} is registered and gets its secret.`)
  const locker = stage.makeLocker(
    {
      ...{ device, secret: secret!, protocol: 'pike', folder: stage.folder },
      port: gateway.ports.pike,
    },
    (text) => tell(`    locker: ${text}`),
  )
  locker.start()
  await presence(gateway.pike, 'online')
  tell('The locker is connected. Each has proved to the other that it knows the secret.')

  print()
  tell('The back end says: open door 7, now or never, and I want the reply.')
  const seven = await send(gateway.pike, acts, 7, 'now', 10)
  tell(`The answer: ${outcomeText(seven)}, ${tookText(acts.at(-1)!)} after it was asked.`)

  print()
  tell('The locker goes away.')
  await locker.stop()
  await presence(gateway.pike, 'offline')
  tell('The back end wants doors 1, 2 and 3 open, whenever the locker is back.')
  const waiting: string[] = []
  for (const door of [1, 2, 3]) {
    const command = await send(gateway.pike, acts, door, 'queue', 0)
    waiting.push(command.id)
    tell(`  accepted, and kept on disk before the answer: door ${door}, ${command.id}`)
  }

  print()
  tell(`The gateway's process (${gateway.pid}) is killed with SIGKILL, without a warning.`)
  await gateway.kill('SIGKILL')
  gateway = await startGateway(stage.folder, stage.children, gateway.ports)
  tell('It is started again on the same data.')
  tell('The locker comes back.')
  locker.start()
  for (const [index, id] of waiting.entries())
    finish(acts[index + 1]!, await ended(gateway.pike, id))
  tell('All three have been answered.')

  print()
  tell('The locker goes away again, and the back end says: open door 9, now or never.')
  await locker.stop()
  await presence(gateway.pike, 'offline')
  const nine = await send(gateway.pike, acts, 9, 'now', 0)
  tell(`The answer, at once: ${outcomeText(nine)}. Nobody is there, and it says so.`)
  const unaccounted = await figure(gateway, 'pike_commands_unaccounted')

  print()
  print(summary(acts))
  print()
  const [opened7, ...openedLater] = locker.opened
  check(seven.status === 'done' && opened7 === 7, 'door 7 opened, and the back end has the reply')
  check(
    acts.slice(1, 4).every((act) => act.outcome?.status === 'done'),
    'three commands accepted before the kill, three done after it: nothing was lost',
  )
  check(openedLater.join() === [...openedLater].sort().join(), 'in the order they were asked for')
  check(new Set(locker.opened).size === locker.opened.length, 'each door once')
  check(
    nine.status === 'undeliverable' && reasonOf(nine) === 'no-link' && !locker.opened.includes(9),
    'what could not be done was refused at once, and never done later',
  )
  check(
    openedLater.length === 3 && unaccounted === 0,
    'the gateway counts the same: accepted = ended + open',
  )

  print()
  const { pike } = gateway
  const seen = (who: string, state: string): Promise<void> => presence(pike, state, who)
  await tellProtocols({ stage, gateway, tell, check, presence: seen })
  await gateway.kill('SIGTERM')
  return broken
}

async function send(
  pike: PikeBackend,
  acts: Act[],
  door: number,
  delivery: 'now' | 'queue',
  waitS: number,
): Promise<Sent> {
  const act: Act = { title: `open door ${door}`, delivery, acceptedAtMs: performance.now() }
  acts.push(act)
  const sent = await pike.send(
    device,
    { name: 'open', payload: { door }, delivery, expect: 'reply' },
    { waitSeconds: waitS },
  )
  if (sent.ended) finish(act, sent)
  return sent
}

function finish(act: Act, outcome: Command): void {
  act.endedAtMs = performance.now()
  act.outcome = outcome
}

/** Stays until a command has ended. */
async function ended(pike: PikeBackend, id: string): Promise<Command> {
  const command = await pike.wait(id, stepMaxMs / 1000)
  if (!command.ended) throw new Failure(`waited ${stepMaxMs / 1000} s in vain for ${id} to end`)
  return command
}

/** Waits until the gateway sees the locker in this state. */
async function presence(pike: PikeBackend, state: string, who = device): Promise<void> {
  await until(`${who} being ${state}`, async () => {
    const found = await pike.devices.get(who)
    return found?.presence.state === state ? true : undefined
  })
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const giveUpMs = performance.now() + stepMaxMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > giveUpMs)
      throw new Failure(`waited ${stepMaxMs / 1000} s in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

async function figure(gateway: DemoGateway, name: string): Promise<number | undefined> {
  const response = await fetch(`${gateway.pike.url}/metrics`)
  const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name}{`))
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')))
}

const reasonOf = (sent: Sent | Command): string | undefined =>
  'reason' in sent ? sent.reason : undefined

const outcomeText = (sent: Sent): string => {
  const reason = reasonOf(sent)
  const reply = 'reply' in sent ? sent.reply : undefined
  return `${sent.status}${reason === undefined ? '' : ` (${reason})`}${
    reply?.payload === undefined ? '' : `, with ${JSON.stringify(reply.payload)}`
  }`
}

const tookText = ({ acceptedAtMs, endedAtMs }: Act): string =>
  endedAtMs === undefined ? '' : `${Math.round(endedAtMs - acceptedAtMs)} ms`

/** By the gateway's own timeline, from accepted on. */
const summary = (acts: readonly Act[]): string =>
  table(
    ['COMMAND', 'DELIVERY', 'SENT AFTER', 'DELIVERED', 'ENDED', 'OUTCOME'],
    acts.map(({ title, delivery, outcome }) => [
      title,
      delivery,
      stepText(outcome, 'sent'),
      stepText(outcome, 'delivered'),
      outcome === undefined ? '' : stepText(outcome, outcome.status),
      outcome === undefined
        ? 'none'
        : `${outcome.status}${outcome.reason === undefined ? '' : ` (${outcome.reason})`}`,
    ]),
  )

function stepText(command: Command | undefined, status: string): string {
  const first = command?.timeline?.[0]
  const step = command?.timeline?.find((one) => one.status === status)
  if (first === undefined || step === undefined) return ''
  return `${Date.parse(step.at) - Date.parse(first.at)} ms`
}
