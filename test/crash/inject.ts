import type { Random } from '../support/random.ts'
import type { Fault, FaultKind } from './journal.ts'
import { sleep } from './load.ts'
import type { World } from './world.ts'

/** A stop that takes this long will never end by itself. */
const stopGivenUpMs = 30_000
/** After a fault a gateway that has accepted nothing for this long has not come back (R2). */
const backMaxMs = 60_000
/** A disk that is full and refuses nobody for this long has not noticed. */
const noticeMaxMs = 15_000

export interface InjectOptions {
  readonly round: number
  readonly pauseMs: readonly [min: number, max: number]
  readonly young?: boolean
}

/** One fault, and the way back from it. Resolves when the gateway accepts again. */
export async function inject(
  world: World,
  kind: FaultKind,
  random: Random,
  options: InjectOptions,
): Promise<Fault> {
  const fault: Fault = {
    round: options.round,
    kind,
    atMs: Date.now(),
    young: options.young ?? false,
    readyMs: undefined,
    goneMs: undefined,
    refused: undefined,
    note: undefined,
  }
  world.journal.faults.push(fault)
  let sinceMs = fault.atMs
  switch (kind) {
    case 'none':
      break
    case 'kill':
      await kill(world)
      await world.startServer()
      break
    case 'stop':
      await stop(world, fault)
      await world.startServer()
      break
    case 'pause':
      sinceMs = await pause(world, fault, random.int(options.pauseMs[0], options.pauseMs[1]))
      break
    case 'disk':
      sinceMs = await starve(world, fault, random)
      break
    case 'power':
      await cutPower(world, fault, random.chance(0.5))
      await world.startServer()
  }
  if (options.young !== true) fault.readyMs = await accepting(world, fault, sinceMs)
  return fault
}

async function accepting(world: World, fault: Fault, sinceMs: number): Promise<number | undefined> {
  const untilMs = Date.now() + backMaxMs
  for (;;) {
    // Something asked for after this moment and accepted since.
    const atMs = world.load.acceptedSince(sinceMs)
    if (atMs !== undefined) return Math.max(0, Date.now() - sinceMs)
    if (Date.now() > untilMs) {
      world.oddity(
        'not-back',
        `round ${fault.round} (${fault.kind}): nothing accepted for ${backMaxMs} ms\n${world.server.said}`,
      )
      return undefined
    }
    await sleep(10)
  }
}

async function kill(world: World): Promise<void> {
  world.expectEnd()
  await world.server.kill()
  world.gone()
}

async function stop(world: World, fault: Fault): Promise<void> {
  world.expectEnd()
  const { server } = world
  const startMs = performance.now()
  server.signal('SIGTERM')
  const timer = setTimeout(() => {
    world.oddity('stop-hung', `round ${fault.round}: still there after ${stopGivenUpMs} ms`)
    server.signal('SIGKILL')
  }, stopGivenUpMs)
  const { code, signal } = await server.exited
  clearTimeout(timer)
  fault.goneMs = Math.round(performance.now() - startMs)
  world.gone()
  if (code !== 0) {
    world.oddity('stop-code', `round ${fault.round}: SIGTERM ended it with ${code ?? signal}`)
  }
}

async function pause(world: World, fault: Fault, lengthMs: number): Promise<number> {
  fault.note = `${lengthMs} ms`
  world.server.signal('SIGSTOP')
  await sleep(lengthMs)
  world.server.signal('SIGCONT')
  return Date.now()
}

/**
 * Full while it runs; in some of them it is killed or stopped while full as well. Space comes back
 * before the start: a gateway may refuse to start without any.
 */
async function starve(world: World, fault: Fault, random: Random): Promise<number> {
  const volume = world.volume!
  const fullAtMs = Date.now()
  await volume.fill()
  try {
    const untilMs = fullAtMs + noticeMaxMs
    while (!world.load.unavailableSince(fullAtMs) && Date.now() < untilMs) await sleep(20)
    fault.refused = world.load.unavailableSince(fullAtMs)
    await sleep(random.int(200, 3_000))
    const draw = random.next()
    if (draw < 0.15) {
      fault.note = 'killed while full'
      await kill(world)
    } else if (draw < 0.3) {
      fault.note = 'stopped while full'
      await stop(world, fault)
    }
  } finally {
    await volume.free()
  }
  const freeAtMs = Date.now()
  if (!world.server.alive) await world.startServer()
  return freeAtMs
}

/**
 * `live`: the disk is copied under the running, loaded writer; nobody hears a word it says from
 * before the copy begins. Else it is frozen first, so that the copy is of one instant.
 */
async function cutPower(world: World, fault: Fault, live: boolean): Promise<void> {
  const volume = world.volume!
  fault.note = live ? 'under the writer' : 'frozen'
  world.expectEnd()
  if (live) world.gag(true)
  else {
    world.server.signal('SIGSTOP')
    world.gag(true)
  }
  const copy = await volume.copyAsIs()
  await world.server.kill()
  world.gone()
  await volume.restore(copy)
  world.gag(false)
}
