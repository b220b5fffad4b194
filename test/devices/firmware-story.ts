import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'

/** How a locker of another language is started: program and arguments, `host port device secret state` behind. */
export type Firmware = readonly [program: string, ...args: string[]]

/** The listener it connects to, and the setting of its port. */
export interface Door {
  readonly listener: string
  readonly setting: string
}

const pike: Door = { listener: 'pike', setting: 'PIKE_TCP_PORT' }

/** One run of a locker: what it printed, and an end that leaves nothing behind. */
class Locker {
  readonly lines: string[] = []
  readonly exited: Promise<number | null>
  #child: ChildProcess
  #stderr = ''
  #waiting = new Set<() => void>()

  constructor([program, ...args]: Firmware, words: readonly string[]) {
    this.#child = spawn(program, [...args, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.exited = once(this.#child, 'close').then(([code]) => code as number | null)
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    createInterface(this.#child.stdout!).on('line', (line) => {
      this.lines.push(line)
      for (const look of this.#waiting) look()
    })
    void this.exited.then(() => {
      for (const look of this.#waiting) look()
    })
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get said(): string {
    return `${this.lines.join('\n')}\n${this.#stderr}`
  }

  /** Rejects when the process ends first. */
  async line(pattern: RegExp): Promise<string> {
    while (true) {
      const found = this.lines.find((line) => pattern.test(line))
      if (found !== undefined) return found
      assert.ok(this.running, `ended without ${pattern}: ${this.said}`)
      await new Promise<void>((resolve) => {
        const look = (): void => {
          this.#waiting.delete(look)
          resolve()
        }
        this.#waiting.add(look)
      })
    }
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal)
    return await this.exited
  }
}

const doorsOf = (lines: readonly string[]) =>
  lines.flatMap((line) => /^open door (\d+)$/.exec(line)?.slice(1).map(Number) ?? [])

/**
 * A locker and a real gateway: commands by the HTTP API, both killed in turn, commands waiting over a
 * change of epoch. Every door opens once, in order, and every event and reply is kept once.
 */
export async function lockerStory(firmware: Firmware, door = pike): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-firmware-'))
  const dataDir = path.join(folder, 'data')
  const lockers: Locker[] = []
  let gateway: GatewayProcess = await startGateway({ dataDir })
  try {
    const device = 'SZ-7'
    const { secret } = (await gateway.api('PUT', `/v1/devices/${device}`, {})).body
    const words = [device, secret, path.join(folder, 'state')]
    const port = String(gateway.port(door.listener))
    const { ports } = gateway
    const comeBack = () => startGateway({ dataDir, ports, env: { [door.setting]: port } })
    const start = (): Locker => {
      const locker = new Locker(firmware, ['127.0.0.1', port, ...words])
      lockers.push(locker)
      return locker
    }
    const send = (door: number, prefer?: string) =>
      gateway.api(
        'POST',
        `/v1/devices/${device}/commands`,
        { name: 'open', payload: { door }, expect: 'reply' },
        { 'idempotency-key': `door-${door}`, ...(prefer === undefined ? {} : { prefer }) },
      )
    const opens = async (door: number): Promise<void> => {
      const { status, body } = await send(door, 'wait=30')
      assert.equal(status, 200, JSON.stringify(body))
      assert.deepEqual([body.status, body.reply?.payload], ['done', { door }], JSON.stringify(body))
    }
    const crash = async (): Promise<void> => {
      await gateway.kill()
      gateway = await comeBack()
    }

    let locker = start()
    await opens(7)
    const refused = await send(70, 'wait=30')
    assert.deepEqual([refused.body.status, refused.body.reason], ['rejected', 'unknown-door'])

    // The gateway is killed: the locker comes back by itself and repeats nothing.
    await crash()
    await opens(3)
    assert.deepEqual(doorsOf(locker.lines), [7, 3], locker.said)

    // Away: two commands of one epoch wait, then one of the next.
    await locker.end('SIGTERM')
    await send(1)
    const before = await send(2)
    await crash()
    const after = await send(4)
    assert.notEqual(after.body.epoch, before.body.epoch, 'no change of epoch: this proves nothing')
    locker = start()
    await opens(5)
    assert.deepEqual(doorsOf(locker.lines), [1, 2, 4, 5], locker.said)

    // The locker is killed: its state file knows where it was.
    await locker.end('SIGKILL')
    locker = start()
    await opens(6)
    assert.deepEqual(doorsOf(locker.lines), [6], locker.said)

    // A gateway that goes politely, and comes back.
    await gateway.stop()
    gateway = await comeBack()
    await opens(8)
    assert.deepEqual(doorsOf(locker.lines), [6, 8], locker.said)

    const { items } = (await gateway.api('GET', '/v1/events?limit=1000')).body
    const kept = (type: string) => items.filter((event: { type: string }) => event.type === type)
    const doors = kept('event').map((event: { payload: { door: number } }) => event.payload.door)
    assert.deepEqual(doors, [7, 3, 1, 2, 4, 5, 6, 8], 'each event once, in order')
    assert.equal(kept('reply').length, 9, 'each reply once')
    const open = await gateway.api('GET', `/v1/devices/${device}/commands?status=open`)
    assert.deepEqual(open.body.items, [])
  } finally {
    for (const locker of lockers) if (locker.running) await locker.end('SIGKILL')
    await gateway.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** With a wrong secret it is told so, and stops rather than try for ever. */
export async function wrongSecretStory(firmware: Firmware, door = pike): Promise<void> {
  const gateway = await startGateway()
  const state = path.join(gateway.dataDir, 'state-of-the-device')
  await gateway.api('PUT', '/v1/devices/SZ-8', {})
  const words = ['SZ-8', 'AAAAAAAAAAAAAAAAAAAAAAAA', state]
  const port = String(gateway.port(door.listener))
  const locker = new Locker(firmware, ['127.0.0.1', port, ...words])
  try {
    await locker.line(/\b197\b/)
    await locker.exited
    assert.doesNotMatch(locker.said, /^open /m)
  } finally {
    await locker.end('SIGKILL')
    await gateway.stop()
  }
}

const pieces = [
  () => randomBytes(2_000),
  () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  () => Buffer.from(`200d00${'10'.repeat(12)}`, 'hex'),
  () => Buffer.concat([Buffer.from(`200d00${'10'.repeat(12)}3047`, 'hex'), randomBytes(71)]),
  () => Buffer.from('200d', 'hex'),
  () => Buffer.from('c0ffffffffffff0f', 'hex'),
  () => Buffer.alloc(0),
]

/** Whatever a port says that is no gateway: the locker goes on trying, and its memory is whole. */
export async function garbageStory(firmware: Firmware): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'pike-firmware-'))
  const lockers: Locker[] = []
  const servers = await Promise.all(
    pieces.map(async (piece, i) => {
      let came = 0
      let second = (): void => {}
      const again = new Promise<void>((resolve) => {
        second = resolve
      })
      const server = createServer((socket) => {
        socket.on('error', () => {})
        // After HELLO, in two parts, then the end of it.
        socket.once('data', () => {
          const octets = piece()
          socket.write(octets.subarray(0, octets.length / 2))
          setImmediate(() => socket.end(octets.subarray(octets.length / 2)))
        })
        if (++came === 2) second()
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const words = ['127.0.0.1', String(port), 'SZ-9', 'AAAAAAAAAAAAAAAAAAAAAAAA']
      const locker = new Locker(firmware, [...words, path.join(folder, `state-${i}`)])
      lockers.push(locker)
      return { server, again: Promise.race([again, locker.exited]) }
    }),
  )
  try {
    await Promise.all(servers.map(({ again }) => again))
    for (const locker of lockers) {
      assert.ok(locker.running, locker.said)
      assert.doesNotMatch(locker.said, /Sanitizer|runtime error|Traceback/)
    }
  } finally {
    for (const locker of lockers) await locker.end('SIGKILL')
    for (const { server } of servers) server.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
