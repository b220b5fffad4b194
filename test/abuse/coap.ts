import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { generate, type ParsedPacket, parse } from 'coap-packet'
import { uintBytes } from '../adapters/coap/client.ts'
import { secretOf } from '../fuzz/gateway.ts'
import { type Attack, type Stage, sleep } from './stage.ts'

/** A device whose mailbox no other attack fills. */
const unfilled = 63

/** Of what an address sent, until it has answered something. RFC 9175 §2.4, RFC 7252 §11.3. */
const amplificationMax = 3
/** In a minute to an observer that falls silent. */
const silentMaxDatagrams = 12

/** One address of 127/8: whoever lies about its own would have others answered. */
class Address {
  readonly #socket: Socket
  readonly #port: number
  bytesOut = 0
  bytesIn = 0
  datagramsIn = 0
  readonly heard: ParsedPacket[] = []

  private constructor(socket: Socket, port: number) {
    this.#socket = socket
    this.#port = port
    socket.on('error', () => {})
    socket.on('message', (bytes) => {
      this.bytesIn += bytes.length
      this.datagramsIn++
      if (this.heard.length < 64) this.heard.push(parse(bytes))
    })
  }

  static async at(host: string, port: number): Promise<Address> {
    const socket = createSocket('udp4')
    socket.bind(0, host)
    await once(socket, 'listening')
    return new Address(socket, port)
  }

  send(bytes: Buffer): void {
    this.bytesOut += bytes.length
    this.#socket.send(bytes, this.#port, '127.0.0.1', () => {})
  }

  async answer(code: string, maxMs = 5_000): Promise<ParsedPacket | undefined> {
    for (const endMs = performance.now() + maxMs; performance.now() < endMs; ) {
      const found = this.heard.find((one) => one.code === code)
      if (found !== undefined) return found
      await sleep(5)
    }
    return undefined
  }

  close(): void {
    this.#socket.close()
  }
}

const path = (text: string) =>
  text.split('/').map((name) => ({ name: 'Uri-Path' as const, value: Buffer.from(name) }))
const query = (text: string) => ({ name: 'Uri-Query' as const, value: Buffer.from(text) })
const option = (number: number, value: number) => ({ name: `${number}`, value: uintBytes(value) })
type Options = ReturnType<typeof option>[]

let lastId = 1
function request(code: 'GET' | 'POST' | 'PUT', options: object[], payload = ''): Buffer {
  lastId = (lastId + 1) & 0xffff
  return generate(
    {
      code,
      confirmable: true,
      messageId: lastId,
      token: Buffer.from('abcd1234', 'hex'),
      options: options as Options,
      payload: Buffer.from(payload),
    },
    65_507,
  )
}

const login = (n: number): Buffer =>
  request(
    'POST',
    [...path('session'), query(`device=mad${n}`), query('app=mad')],
    secretOf(`mad${n}`),
  )

async function logIn(stage: Stage, host: string, n: number): Promise<[Address, string]> {
  const address = await Address.at(host, stage.port)
  address.send(login(n))
  const welcome = await address.answer('2.01')
  return [address, welcome?.payload.toString() ?? 's/none']
}

async function some<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  const all: T[] = []
  for (let n = 0; n < count; n++) all.push(await make(n))
  return all
}

const counted = async (stage: Stage, name: string): Promise<number> =>
  (await stage.gateway.metrics()).get(`pike_adapter_${name}{adapter="coap"}`) ?? Number.NaN

export const coapAttacks: readonly Attack[] = [
  {
    name: '200 addresses that never answered ask for much',
    listeners: ['coap'],
    mayLose: true,
    async run(stage) {
      const addresses = await some(200, (n) => Address.at(`127.7.0.${n + 1}`, stage.port))
      const asked = [
        request('GET', path('.well-known/core')),
        request('POST', [...path('session'), query('device=by-coap')]),
        request('POST', [...path('session'), query('device=by-coap')], 'wrong'),
        request('GET', path('nothing')),
        request('GET', path('s/AAAAAAAAAAAAAAAAAAAAAA/commands')),
        generate({ code: '0.00', confirmable: true, messageId: 9 }),
        Buffer.from('4f010001', 'hex'),
        Buffer.from('40010001ff', 'hex'),
        Buffer.from('40010002', 'hex'),
      ]
      for (const address of addresses)
        for (const bytes of asked) for (let i = 0; i < 3; i++) address.send(bytes)
      await sleep(4_000)
      const worst = Math.max(...addresses.map((one) => one.bytesIn / one.bytesOut))
      if (worst > amplificationMax)
        stage.found(`${worst.toFixed(2)} × came back to an unproven address`)
      for (const address of addresses) address.close()
      return `${worst.toFixed(2)} × came back at most`
    },
  },
  {
    name: 'an observer with ten commands waiting falls silent at a new address',
    listeners: ['coap'],
    async run(stage) {
      const [address, session] = await logIn(stage, '127.7.1.1', unfilled)
      for (let i = 0; i < 10; i++)
        await stage.gateway.api(
          'POST',
          `/v1/devices/mad${unfilled}/commands`,
          { name: 'a', payload: 'x'.repeat(900) },
          stage.key,
        )
      // Its secret is known, its address is not: as if somebody else's name stood on the letter.
      const silent = await Address.at('127.7.1.2', stage.port)
      silent.send(request('GET', [option(6, 0), ...path(`${session}/commands`)]))
      await sleep(60_000)
      const { datagramsIn, bytesIn, bytesOut } = silent
      if (datagramsIn > silentMaxDatagrams)
        stage.found(`${datagramsIn} datagrams in 60 s to the silent`)
      if (bytesIn / bytesOut > amplificationMax)
        stage.found(`${(bytesIn / bytesOut).toFixed(1)} × came back to an unproven address`)
      address.close()
      silent.close()
      return `${datagramsIn} datagrams, ${(bytesIn / bytesOut).toFixed(2)} ×`
    },
  },
  {
    name: 'one that answers, then observes ten commands and falls silent',
    listeners: ['coap'],
    async run(stage) {
      const [address, session] = await logIn(stage, '127.7.2.1', unfilled)
      for (let i = 0; i < 10; i++)
        await stage.gateway.api(
          'POST',
          `/v1/devices/mad${unfilled}/commands`,
          { name: 'a', payload: 'x'.repeat(900) },
          stage.key,
        )
      const before = address.datagramsIn
      address.send(request('GET', [option(6, 0), ...path(`${session}/commands`)]))
      await sleep(60_000)
      const came = address.datagramsIn - before
      if (came > silentMaxDatagrams) stage.found(`${came} datagrams in 60 s to the silent`)
      address.close()
      return `${came} datagrams in 60 s`
    },
  },
  {
    name: '2,000 bodies begun and never finished',
    listeners: ['coap'],
    mayLose: true,
    async run(stage) {
      const all = await some(20, (n) => logIn(stage, `127.7.3.${n + 1}`, n))
      for (const [address, session] of all)
        for (let i = 0; i < 100; i++) {
          const options = [...path(`${session}/events/e${i}`), option(27, 0x0e), option(292, i)]
          address.send(request('POST', options, 'x'.repeat(1_024)))
          if (i % 10 === 0) await sleep(1)
        }
      await sleep(1_000)
      const [uploads, bytes] = [
        await counted(stage, 'uploads'),
        await counted(stage, 'uploads_bytes'),
      ]
      if (bytes > 16 * 1_048_576) stage.found(`${bytes} bytes of bodies are held`)
      for (const [address] of all) address.close()
      return `${uploads} held, ${(bytes / 1_048_576).toFixed(1)} MB`
    },
  },
  {
    name: '80,000 message ids from 64 addresses',
    listeners: ['coap'],
    mayLose: true,
    async run(stage) {
      const addresses = await some(64, (n) => Address.at(`127.7.4.${n + 1}`, stage.port))
      const before = await counted(stage, 'datagrams_in_total')
      for (let i = 0; i < 80_000; i++) {
        addresses[i % 64]!.send(request('GET', path('nothing')))
        if (i % 256 === 0) await sleep(0)
      }
      await sleep(2_000)
      for (const address of addresses) address.close()
      const taken = (await counted(stage, 'datagrams_in_total')) - before
      return `${taken} found room, ${await counted(stage, 'remembered')} answers remembered`
    },
  },
  {
    name: '2,000 logins of 32 devices, and 64 at once with short secrets',
    listeners: ['coap'],
    mayLose: true,
    async run(stage) {
      const addresses = await some(32, (n) => Address.at(`127.7.5.${n + 1}`, stage.port))
      for (let i = 0; i < 2_000; i++) {
        addresses[i % 32]!.send(login(i % 32))
        if (i % 50 === 0) await sleep(10)
      }
      for (const [n, address] of addresses.entries())
        for (let i = 0; i < 2; i++)
          address.send(
            request(
              'POST',
              [...path('session'), query(`device=mad${n}`), query('app=mad')],
              `guess${i}`,
            ),
          )
      await sleep(5_000)
      const sessions = await counted(stage, 'sessions')
      if (sessions > 64 * 4 + 1) stage.found(`${sessions} sessions of 64 devices`)
      for (const address of addresses) address.close()
      return `${sessions} sessions`
    },
  },
]
