import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BareAedesAnswers } from './bare-aedes.ts'
import type { BareCoapAnswers } from './bare-coap.ts'
import { collectableArgs, cores, pinned } from './machine.ts'
import { Worker } from './worker.ts'

/** What stands beside the gateway in a table. */
export interface Peer {
  readonly name: string
  readonly pid: number
  readonly port: number
  stop(): Promise<void>
}

/** With more devices, the receive buffer they leave as it is overflows, and they stand still for seconds. */
export const coapPeerDevices = 200

/** undefined: it is not installed here. */
export type StartPeer = () => Promise<Peer | undefined>

const startMaxMs = 5_000
const notInstalled = (what: string): undefined => {
  console.log(`\n${what}: not installed, left out`)
  return undefined
}

export async function bareAedes(): Promise<Peer> {
  const worker = new Worker<BareAedesAnswers>('bare-aedes.ts', cores.server, collectableArgs)
  const port = await worker.ask('start')
  return { name: 'bare aedes', pid: worker.pid, port, stop: () => worker.stop() }
}

export async function bareCoap(): Promise<Peer> {
  const worker = new Worker<BareCoapAnswers>('bare-coap.ts', cores.server)
  const port = await freeUdpPort()
  await worker.ask('start', { port })
  return { name: 'bare node-coap', pid: worker.pid, port, stop: () => worker.stop() }
}

/** Debian's, in memory only. */
export async function mosquitto(): Promise<Peer | undefined> {
  const binary = found('mosquitto', '/usr/sbin/mosquitto')
  if (binary === undefined) return notInstalled('mosquitto')
  const folder = mkdtempSync(join(tmpdir(), 'pike-bench-'))
  const port = await freeTcpPort()
  const settings = [
    ...[`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false'],
    ...['set_tcp_nodelay true', 'max_queued_messages 0', 'user root', 'log_type error'],
  ]
  writeFileSync(join(folder, 'mosquitto.conf'), `${settings.join('\n')}\n`)
  const child = start(binary, ['-c', join(folder, 'mosquitto.conf')])
  const untilMs = performance.now() + startMaxMs
  while (!(await accepts(port))) {
    if (performance.now() > untilMs) throw new Error('mosquitto did not start')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    ...{ name: 'mosquitto', pid: child.pid!, port },
    async stop() {
      await end(child)
      rmSync(folder, { recursive: true })
    },
  }
}

/** libcoap's example server; it keeps one resource in memory. */
export async function libcoap(): Promise<Peer | undefined> {
  const binary = found('coap-server-notls') ?? found('coap-server')
  if (binary === undefined) return notInstalled('libcoap')
  const port = await freeUdpPort()
  const child = start(binary, ['-A', '127.0.0.1', '-p', String(port), '-v', '3'])
  const untilMs = performance.now() + startMaxMs
  while (!(await answersPing(port))) {
    if (performance.now() > untilMs) throw new Error('coap-server did not start')
  }
  return { name: 'libcoap', pid: child.pid!, port, stop: () => end(child) }
}

function found(name: string, elsewhere?: string): string | undefined {
  for (const one of [name, ...(elsewhere === undefined ? [] : [elsewhere])]) {
    try {
      return execFileSync('sh', ['-c', `command -v ${one}`], { encoding: 'utf8' }).trim()
    } catch {
      // The next one.
    }
  }
  return undefined
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function start(binary: string, args: readonly string[]): ChildProcess {
  const [command, ...before] = pinned(cores.server, binary)
  const child = spawn(command, [...before, ...args], { stdio: 'ignore' })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

async function freeTcpPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const is = (what: boolean): void => {
      socket.destroy()
      resolve(what)
    }
    socket.once('connect', () => is(true))
    socket.once('error', () => is(false))
  })

/** An empty confirmable message is reset, RFC 7252 §4.3. */
const answersPing = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createSocket('udp4')
    const is = (what: boolean): void => {
      clearTimeout(timer)
      socket.close()
      resolve(what)
    }
    const timer = setTimeout(() => is(false), 100)
    socket.once('message', () => is(true))
    socket.once('error', () => is(false))
    socket.send(Buffer.from([0x40, 0, 0, 1]), port, '127.0.0.1')
  })
