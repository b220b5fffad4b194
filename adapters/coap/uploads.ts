import type { Clock } from '../../src/contract/index.ts'
import { Sweep } from '../../src/listen/sweep.ts'
import { blockBytes, blockOf, blockOption } from './blocks.ts'
import { type Option, optionOf, uintOf, uintOption } from './codec.ts'
import { code, option } from './codes.ts'
import type { Exchange, Response } from './exchange.ts'
import { refusal, wrong } from './reasons.ts'

export interface UploadBounds {
  /** Bodies on their way in blocks. */
  readonly uploadsMax: number
  /** Of them together. */
  readonly uploadsMaxBytes: number
  /** Time for the next block. */
  readonly uploadTimeoutMs: number
  /** One whole body. */
  readonly bodyMaxBytes: number
}

/** Bodies of one device on their way: beyond these its oldest goes, so that all are never of one. */
const ofOneMax = 8

interface Upload {
  readonly key: string
  readonly owner: string
  readonly blocks: Buffer[]
  bytes: number
  szx: number
  /** The last block that was taken, for who sends it again. */
  last: number
}

/** The body is here, and what its answer must carry; or the answer is this. */
export type Received =
  | { readonly kind: 'whole'; readonly body: Buffer; readonly options: readonly Option[] }
  | { readonly kind: 'answer'; readonly response: Response }

const whole = (body: Buffer, options: readonly Option[] = []): Received => ({
  kind: 'whole',
  body,
  options,
})
const answer = (response: Response): Received => ({ kind: 'answer', response })

/**
 * Request bodies in blocks, RFC 7959 §2.5. Blocks of one body are known by what they are sent to and
 * their Request-Tag, never by their token, which may be another for each (RFC 9175 §3).
 *
 *     block 0 ─▶ 2.31, block 1 ─▶ 2.31, ..., the last ─▶ the request, whole
 *       ╰ anew, whatever was there              ╰ out of turn: 4.08
 */
export class Uploads {
  readonly #bounds: UploadBounds
  readonly #uploads = new Map<string, Upload>()
  /** The oldest first. */
  readonly #byOwner = new Map<string, Set<Upload>>()
  readonly #idle: Sweep<Upload>
  #bytes = 0

  constructor(clock: Clock, bounds: UploadBounds) {
    this.#bounds = bounds
    this.#idle = new Sweep(clock, bounds.uploadTimeoutMs, 'coap-uploads', (one) => this.#drop(one))
  }

  get size(): number {
    return this.#uploads.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @param owner whose bodies they are: a session's, or an address's. */
  take({ message }: Exchange, owner: string): Received {
    const { options, payload } = message
    const { bodyMaxBytes } = this.#bounds
    const block = blockOf(options, option.block1)
    if (block === undefined) {
      return payload.length > bodyMaxBytes ? answer(this.#tooLarge()) : whole(payload)
    }
    if (block === 'malformed' || (block.more && payload.length !== blockBytes(block.szx))) {
      return answer(wrong(code.badRequest, 'Block1 is malformed'))
    }
    const said = uintOf(optionOf(options, option.size1) ?? nothing)
    const from = block.number * blockBytes(block.szx)
    if ((said ?? 0) > bodyMaxBytes || from + payload.length > bodyMaxBytes) {
      return answer(this.#tooLarge())
    }
    const echo = blockOption(option.block1, block)
    const key = keyOf(message.code, options, owner)
    let upload = this.#uploads.get(key)
    if (block.number === 0) {
      if (upload !== undefined) this.#drop(upload)
      if (!block.more) return whole(payload, [echo])
      if (this.#isFull(payload.length)) return answer(refusal('overloaded'))
      upload = { key, owner, blocks: [], bytes: 0, szx: block.szx, last: -1 }
      this.#begin(upload)
    } else if (upload === undefined) {
      return answer(wrong(code.requestEntityIncomplete, 'the blocks before are not known'))
    } else if (block.more && block.number === upload.last && block.szx === upload.szx) {
      return answer({ code: code.continue, options: [echo] }) // its answer was lost
    } else if (from !== upload.bytes) {
      this.#drop(upload)
      return answer(wrong(code.requestEntityIncomplete, 'a block is missing'))
    } else if (this.#isFull(payload.length)) {
      this.#drop(upload)
      return answer(refusal('overloaded'))
    }
    this.#bytes += payload.length
    upload.bytes += payload.length
    upload.last = block.number
    upload.szx = block.szx
    upload.blocks.push(Buffer.from(payload))
    if (block.more) {
      this.#idle.add(upload)
      return answer({ code: code.continue, options: [echo] })
    }
    this.#drop(upload)
    return whole(Buffer.concat(upload.blocks), [echo])
  }

  stop(): void {
    this.#idle.stop()
    this.#uploads.clear()
    this.#byOwner.clear()
    this.#bytes = 0
  }

  #isFull(bytes: number): boolean {
    const { uploadsMax, uploadsMaxBytes } = this.#bounds
    return this.#uploads.size >= uploadsMax || this.#bytes + bytes > uploadsMaxBytes
  }

  #begin(upload: Upload): void {
    this.#uploads.set(upload.key, upload)
    const mine = this.#byOwner.get(upload.owner)
    if (mine === undefined) {
      this.#byOwner.set(upload.owner, new Set([upload]))
      return
    }
    mine.add(upload)
    if (mine.size <= ofOneMax) return
    for (const oldest of mine) {
      this.#drop(oldest)
      return
    }
  }

  #drop(upload: Upload): void {
    if (this.#uploads.get(upload.key) !== upload) return
    this.#uploads.delete(upload.key)
    const mine = this.#byOwner.get(upload.owner)
    mine?.delete(upload)
    if (mine?.size === 0) this.#byOwner.delete(upload.owner)
    this.#idle.remove(upload)
    this.#bytes -= upload.bytes
  }

  /** RFC 7959 §2.9.3. */
  #tooLarge(): Response {
    return {
      code: code.requestEntityTooLarge,
      options: [uintOption(option.size1, this.#bounds.bodyMaxBytes)],
    }
  }
}

const nothing = Buffer.alloc(0)

/** All that makes it the same request (RFC 7959 §2.5), and nothing that differs from block to block. */
function keyOf(method: number, options: readonly Option[], owner: string): string {
  let key = `${owner} ${method}`
  for (const { number, value } of options) {
    const isSame =
      number === option.uriPath || number === option.uriQuery || number === option.requestTag
    if (isSame) key += ` ${number}:${value.toString('latin1')}`
  }
  return key
}
