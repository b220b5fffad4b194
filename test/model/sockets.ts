import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { apiBounds } from '../../src/api/bounds.ts'
import { until } from '../support/turns.ts'
import type { Figures } from './figures.ts'
import { limits } from './limits.ts'
import { rootKey, System } from './system.ts'

/**
 * What cannot be asked without a socket: a body that does not come, headers without end, and more
 * bodies under way than there is room for. Virtual time decides what is slow.
 */
export async function askBySockets(figures: Figures): Promise<void> {
  const system = await System.open('memory')
  const { app } = system.life.api
  await app.listen({ host: '127.0.0.1', port: 0 })
  const address = app.server.address()
  assert.ok(address !== null && typeof address === 'object')
  const open: Asking[] = []
  const ask = (text: string): Asking => {
    const asking = new Asking(address.port, text)
    open.push(asking)
    return asking
  }
  const post = (length: number) =>
    `POST /v1/devices/d1/commands HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${rootKey}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n{`
  const said = (asking: Asking) => {
    const problem = /"type":"\/problems\/([a-z-]+)"/.exec(asking.text)?.[1]
    const status = /^HTTP\/1.1 (\d+)/.exec(asking.text)?.[1]
    figures.called('a socket', `${status} ${problem}`)
    return problem
  }

  const large = ask(`GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`)
  await large.answered()
  assert.equal(said(large), 'headers-too-large')

  // One app has half of the room.
  const bodies = Math.floor(apiBounds.bodiesMaxBytes / 2 / limits.bodyMaxBytes)
  const slow = Array.from({ length: bodies }, () => ask(post(limits.bodyMaxBytes)))
  await until(() => system.life.api.app.figures().bodies_under_way === bodies)
  const crowded = ask(post(limits.bodyMaxBytes))
  await crowded.answered()
  assert.equal(said(crowded), 'too-many-bodies')

  system.clock.advance(apiBounds.requestTimeoutMs + apiBounds.timeoutsCheckMs)
  await slow[0]!.answered()
  assert.equal(said(slow[0]!), 'request-timeout')
  for (const asking of open) asking.end()
  await system.restart()
  await system.end()
}

class Asking {
  readonly #socket: Socket
  text = ''
  #wake: (() => void) | undefined
  #closed = false

  constructor(port: number, text: string) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (part: string) => {
      this.text += part
      this.#wake?.()
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.#closed = true
      this.#wake?.()
    })
    this.#socket.write(text)
  }

  async answered(): Promise<void> {
    while (!this.text.includes('}') && !this.#closed)
      await new Promise<void>((wake) => {
        this.#wake = wake
      })
  }

  end(): void {
    this.#socket.destroy()
  }
}
