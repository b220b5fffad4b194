import { isDeepStrictEqual } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { decode, encode } from '../../adapters/coap/codec.ts'
import { problemOf } from '../../adapters/mqtt/aedes/strict.ts'
import { PacketGate } from '../../adapters/mqtt/gate.ts'
import { decodePacket } from '../../adapters/mqtt/v5/decode.ts'
import { FrameDecoder } from '../../adapters/pike/codec.ts'
import { limits } from '../../src/contract/limits.ts'
import { readJson } from '../../src/listen/json.ts'
import { isBlank, LineCutter, tooLong } from '../../src/listen/lines.ts'
import { type Case, caseOf, dump } from './case.ts'
import { segments } from './mutate.ts'
import { Numbers } from './numbers.ts'
import type { RunOptions } from './run.ts'
import { grammars, type Protocol, whosOf } from './targets.ts'

export interface DecoderRow {
  readonly protocol: string
  readonly cases: number
  readonly seconds: number
  readonly read: number
  readonly refused: number
  readonly waiting: number
  readonly grownBytes: number
}

/** What a reader made of bytes: the same however they were cut. */
interface Reading {
  /** What was read, in words that can be compared. */
  readonly items: readonly string[]
  readonly refused: string | undefined
  readonly heldBytes: number
}

type Reader = (pieces: readonly Buffer[]) => Reading

const readPike: Reader = (pieces) => {
  const items: string[] = []
  const decoder = new FrameDecoder({ frameMaxBytes: limits.frameMaxBytes, bindingsMax: 8 })
  let refused: string | undefined
  for (const piece of pieces)
    refused = decoder.push(piece, (frame, raw) =>
      items.push(`${frame.type} ${Buffer.from(raw).toString('latin1')}`),
    )?.reason
  return { items, refused, heldBytes: decoder.heldBytes }
}

/** @param read why a packet is refused; undefined: it is read. */
const readMqtt =
  (read: (packet: Buffer) => string | undefined): Reader =>
  (pieces) => {
    const items: string[] = []
    const gate = new PacketGate(limits.mqttPacketMaxBytes)
    let refused: string | undefined
    const take = (packet: Buffer): void => {
      // The strict reader changes a packet in place; others would see that.
      const wrong = read(Buffer.from(packet))
      items.push(packet.toString('latin1'))
      if (wrong === undefined) return
      refused = wrong
      gate.stop()
    }
    for (const piece of pieces) {
      const problem = gate.push(piece, { take })
      refused ??= problem
    }
    return { items, refused, heldBytes: gate.heldBytes }
  }

function body5(packet: Buffer): string | undefined {
  let at = 1
  while (packet[at]! >= 0x80) at++
  const read = decodePacket(packet[0]!, packet, at + 1, packet.length)
  return read.type === 'fault' ? `${read.code}` : undefined
}

const readLines: Reader = (pieces) => {
  const items: string[] = []
  const cutter = new LineCutter(4_096)
  let refused: string | undefined
  const take = (line: Buffer | typeof tooLong): void => {
    if (line === tooLong) items.push('too long')
    else if (!isBlank(line)) {
      const read = readJson(line)
      if ('problem' in read) refused = read.problem
      items.push(line.toString('latin1'))
    }
  }
  for (const piece of pieces) {
    cutter.feed(piece)
    for (let line = cutter.next(); line !== undefined; line = cutter.next()) take(line)
  }
  const last = cutter.last()
  if (last !== undefined) take(last)
  return { items, refused, heldBytes: 0 }
}

/** A datagram comes whole; what is read is written so that it is read again. */
const readCoap: Reader = (pieces) => {
  const decoded = decode(Buffer.concat(pieces))
  if (decoded.kind !== 'message') return { items: [], refused: decoded.kind, heldBytes: 0 }
  const { message } = decoded
  if (message.code !== 0) {
    const again = decode(encode(message))
    if (again.kind !== 'message' || !isDeepStrictEqual(again.message, message))
      throw new Error('what we write is not what we read')
  }
  return { items: [`${message.code}`], refused: undefined, heldBytes: 0 }
}

const readers: Readonly<Record<Protocol, Reader>> = {
  pike: readPike,
  mqtt: readMqtt((packet) => problemOf(packet, limits)),
  mqtt5: readMqtt(body5),
  coap: readCoap,
  http: readLines,
  api: readLines,
}

const findingsMax = 5

/** The readers alone. Each input is also read in pieces, and whole: that must come to the same. */
export function runDecoders(options: RunOptions): {
  readonly rows: readonly DecoderRow[]
  readonly findings: readonly string[]
} {
  const findings: string[] = []
  const rows = options.protocols.map((protocol) => runDecoder(protocol, options, findings))
  return { rows, findings }
}

function runDecoder(protocol: Protocol, options: RunOptions, findings: string[]): DecoderRow {
  const { seed, cases, only, minutes } = options
  const grammar = grammars[protocol]
  const whos = whosOf(protocol, 'key-of-the-mad-app-0123456789')
  const read = readers[protocol]
  const counts = { read: 0, refused: 0, waiting: 0 }
  const numbers = new Numbers(cases, only)
  numbers.allow(numbers.count)
  const beforeBytes = heldBytes()
  const startMs = performance.now()
  let done = 0
  for (let next = numbers.next(); next.done !== true; next = numbers.next(), done++) {
    const number = next.value
    if (done % 1_024 === 0 && performance.now() - startMs > minutes * 60_000) break
    const one = caseOf(grammar, seed, number, whos[number % whos.length]!)
    const wrong = judge(protocol, read, one, counts)
    if (wrong !== undefined && findings.length < findingsMax)
      findings.push(
        `${protocol}: ${wrong}\n  again: npm run fuzz -- --decoders --protocol ${protocol} --seed ${seed} --only ${number}\n${dump(one)}`,
      )
  }
  const seconds = (performance.now() - startMs) / 1000
  return {
    protocol,
    cases: done,
    seconds,
    ...counts,
    grownBytes: heldBytes() - beforeBytes,
  }
}

function judge(
  protocol: Protocol,
  read: Reader,
  one: Case,
  counts: { read: number; refused: number; waiting: number },
): string | undefined {
  const inputs = inputsOf(protocol, one)
  for (const pieces of inputs) {
    const bytes = Buffer.concat(pieces)
    let whole: Reading
    try {
      whole = read([Buffer.from(bytes)])
      if (protocol !== 'coap') {
        const cut = read(pieces.map((piece) => Buffer.from(piece)))
        const { items, refused } = whole
        if (!isDeepStrictEqual([cut.items, cut.refused], [items, refused]))
          return `read in pieces it is ${cut.items.length} ${cut.refused}, whole ${items.length} ${refused}`
      }
    } catch (error) {
      return `threw: ${(error as Error).stack}`
    }
    if (whole.heldBytes > bytes.length) return 'more is held than came'
    if (whole.refused !== undefined) counts.refused++
    else if (whole.heldBytes > 0) counts.waiting++
    else counts.read++
  }
  return undefined
}

/** Of datagrams each is an input; HTTP is read by Node, so that here its bodies are. */
function inputsOf(protocol: Protocol, { packets, pieces, random }: Case): (readonly Buffer[])[] {
  switch (protocol) {
    case 'coap':
      return packets.map((packet) => [packet])
    case 'http':
    case 'api': {
      const bytes = Buffer.concat(packets)
      const at = bytes.indexOf('\r\n\r\n')
      return at < 0 ? [] : [segments(bytes.subarray(at + 4), random)]
    }
    default:
      return [pieces]
  }
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const heldBytes = (): number => {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
