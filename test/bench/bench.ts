import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BareAnswers } from './bare.ts'
import type { CommandsRun } from './commands-load.ts'
import { type BenchGateway, startGateway } from './gateway.ts'
import type { LoadAnswers } from './load.ts'
import { cores } from './machine.ts'
import type { Options } from './options.ts'
import { Worker } from './worker.ts'

/** A server, and the process that loads it. */
export interface Side {
  readonly name: string
  readonly pid: number
  readonly load: Worker<LoadAnswers>
  stop(): Promise<void>
}

export interface OurSide extends Side {
  readonly gateway: BenchGateway
  readonly folder: string
}

const folders = new Set<string>()
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A fresh folder on the disk that is measured, gone at the end. */
export function makeFolder({ dir }: Pick<Options, 'dir'>): string {
  const folder = mkdtempSync(join(dir ?? tmpdir(), 'pike-bench-'))
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

export const newLoad = (): Worker<LoadAnswers> => new Worker<LoadAnswers>('load.ts', cores.load)

/** The gateway with all its devices registered and connected. */
export async function ourSide(
  options: Options,
  settings: { readonly backEnds: number; readonly nodeArgs?: readonly string[] },
): Promise<OurSide> {
  const folder = makeFolder(options)
  const gateway = await startGateway(folder, settings.nodeArgs)
  const load = newLoad()
  const { ports, key } = gateway
  await load.ask('register', { port: ports.api, key, count: options.devices })
  await load.ask('connectDevices', { port: ports.pike, count: options.devices })
  if (settings.backEnds > 0) {
    await load.ask('connectBackEnds', { port: ports.api, key, count: settings.backEnds })
  }
  return {
    name: 'Pike IoT',
    pid: gateway.pid,
    gateway,
    folder,
    load,
    async stop() {
      await load.stop()
      await gateway.stop()
      removeFolder(folder)
    },
  }
}

/** The bare server, with or without a synced write before each answer. */
export async function bareSide(
  options: Options,
  settings: { readonly backEnds: number; readonly synced: boolean; readonly devices?: number },
): Promise<Side> {
  const { backEnds, synced, devices = options.devices } = settings
  const folder = synced ? makeFolder(options) : undefined
  const server = new Worker<BareAnswers>('bare.ts', cores.server)
  const key = 'bench-key-0123456789abcdefghijklmnop'
  const ports = await server.ask('start', { key, folder })
  const load = newLoad()
  await load.ask('connectDevices', { port: ports.pike, count: devices })
  if (backEnds > 0) await load.ask('connectBackEnds', { port: ports.api, key, count: backEnds })
  return {
    name: synced ? 'bare + synced write' : 'bare',
    pid: server.pid,
    load,
    async stop() {
      await load.stop()
      await server.stop()
      if (folder !== undefined) removeFolder(folder)
    },
  }
}

/** So often that the compiler has seen all of it. */
const warmupCommands = 30_000

/** Both sides of a ratio are measured warm. */
export async function warmUp(sides: readonly Side[]): Promise<Map<Side, CommandsRun>> {
  const runs = new Map<Side, CommandsRun>()
  for (const side of sides) {
    progress(`warming up: ${side.name}`)
    const asked = { seconds: 0.1, warmupSeconds: 0.1, warmupCommands, rate: undefined }
    runs.set(side, await side.load.ask('commands', { ...asked, serverPid: side.pid }))
  }
  return runs
}

/** Sides take turns, and begin in turn, so that a slow minute of the machine meets all of them. */
export async function inTurns<T>(
  rounds: number,
  sides: readonly Side[],
  run: (side: Side) => Promise<T>,
): Promise<Map<Side, T[]>> {
  const results = new Map<Side, T[]>(sides.map((side) => [side, []]))
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < sides.length; i++) {
      const side = sides[(i + round) % sides.length]!
      progress(`round ${round + 1} of ${rounds}: ${side.name}`)
      results.get(side)!.push(await run(side))
    }
  }
  progress('')
  return results
}

/** On a terminal a line that changes; elsewhere nothing. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`)
}
