import { isUtf8 } from 'node:buffer'
import { scanJson } from '../listen/json.ts'
import { isBlank, LineCutter, tooLong } from '../listen/lines.ts'
import { apiBounds } from './bounds.ts'
import type { Chunks } from './chunks.ts'
import type { Refusal } from './problems.ts'

/** One line of NDJSON or row of CSV: what it says, not yet checked, or why nothing can be made of it. */
export type DeviceItem =
  | { readonly line: number; readonly body: unknown; readonly refusal?: never }
  | { readonly line: number; readonly refusal: Refusal }

/** Where devices to register come from. */
export interface DeviceSource {
  /** Lines read so far. */
  readonly lines: number
  /** Before anything is answered: why nothing of it can be read. */
  begin(): Promise<Refusal | undefined>
  /** Those that are here by now, `max` at most; undefined at the end, or when its body was stopped. */
  next(max: number): Promise<readonly DeviceItem[] | undefined>
  /** What is wrong with a device, in the words of who wrote the line. */
  told(line: number, refusal: Refusal): Refusal
}

const noMember = new Uint8Array(0)

/** Devices as NDJSON. A line that is none fails alone; blank ones are counted and passed over. */
export class JsonDevices implements DeviceSource {
  readonly #chunks: Chunks
  readonly #cutter: LineCutter
  readonly #maxBytes: number
  #line = 0
  #ended = false

  constructor(chunks: Chunks, lineMaxBytes: number) {
    this.#chunks = chunks
    this.#maxBytes = lineMaxBytes
    this.#cutter = new LineCutter(lineMaxBytes)
  }

  get lines(): number {
    return this.#line
  }

  async begin(): Promise<undefined> {}

  told(_line: number, refusal: Refusal): Refusal {
    return refusal
  }

  async next(max: number): Promise<readonly DeviceItem[] | undefined> {
    for (;;) {
      const items: DeviceItem[] = []
      while (items.length < max) {
        const line = this.#ended ? this.#cutter.last() : this.#cutter.next()
        if (line === undefined) break
        this.#line++
        if (line === tooLong)
          items.push({ line: this.#line, refusal: lineTooLong('this line', this.#maxBytes) })
        else if (!isBlank(line)) items.push(parse(this.#line, line))
      }
      if (items.length > 0) return items
      if (this.#ended) return undefined
      const chunk = await this.#chunks.next()
      // The beginning of a line is no line.
      if (this.#chunks.stopped !== undefined) return undefined
      if (chunk === undefined) this.#ended = true
      else this.#cutter.feed(chunk)
    }
  }
}

export const lineTooLong = (what: string, maxBytes: number): Refusal => ({
  problem: 'body-too-large',
  said: { detail: `${what} is over ${maxBytes} bytes` },
})

function parse(line: number, bytes: Buffer): DeviceItem {
  const { jsonMaxDepth } = apiBounds
  if (scanJson(bytes, noMember, jsonMaxDepth) === undefined)
    return {
      line,
      refusal: { problem: 'too-deep', said: { detail: `over ${jsonMaxDepth} levels` } },
    }
  if (!isUtf8(bytes))
    return { line, refusal: { problem: 'malformed-json', said: { detail: 'not UTF-8' } } }
  try {
    return { line, body: JSON.parse(bytes.toString('utf8')) as unknown }
  } catch (error) {
    const detail = (error as Error).message.slice(0, 200)
    return { line, refusal: { problem: 'malformed-json', said: { detail } } }
  }
}
