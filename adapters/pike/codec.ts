import { decodeFrame, headRefusals, type LearntNames } from './decode.ts'
import { encodeFrame, type TaughtNames } from './encode.ts'
import type { Frame } from './frames.ts'

/** Frames to bytes, for one direction of one connection. Bytes must be sent in the order made. */
export class FrameEncoder {
  readonly #names: TaughtNames = { bindingsMax: 0, taught: undefined }

  /** Names the receiver remembers; 0 until negotiated. */
  get bindingsMax(): number {
    return this.#names.bindingsMax
  }
  set bindingsMax(max: number) {
    this.#names.bindingsMax = max
  }

  /**
   * The bytes are the caller's for good. A name they carry counts as taught, so a frame that was
   * made must be sent.
   * @throws RangeError for numbers the wire cannot carry: our own mistake, never the peer's.
   */
  encode(frame: Frame): Buffer {
    return encodeFrame(frame, this.#names)
  }
}

export interface DecodeError {
  readonly reason: 'malformed' | 'too-large' | 'unsupported'
  readonly text: string
}

export interface DecoderOptions {
  readonly frameMaxBytes: number
  readonly bindingsMax: number
}

/** Type byte and length at their longest. */
const headMaxBytes = 9
const heldMinBytes = 64

/**
 * Bytes to frames, for one direction of one connection.
 *
 * A frame that lies whole in a chunk is read in place. Of one that does not, what has come so far is
 * held, and no more: a length is a claim, and memory follows bytes.
 *
 *     chunk        | frame | frame | fra|
 *     held                         | fra|            until its end arrives
 */
export class FrameDecoder {
  /** Longest frame, head included. May be raised after authentication. */
  frameMaxBytes: number
  readonly #names: LearntNames
  #held: Buffer | undefined
  #heldBytes = 0
  /** Whole length of the held frame; 0 while its head is incomplete. */
  #heldNeeds = 0
  #error: DecodeError | undefined
  #stopped = false

  constructor(options: DecoderOptions) {
    this.frameMaxBytes = options.frameMaxBytes
    this.#names = { bindingsMax: options.bindingsMax, learnt: undefined }
  }

  /** Names this end remembers; 0 until negotiated. */
  get bindingsMax(): number {
    return this.#names.bindingsMax
  }
  set bindingsMax(max: number) {
    this.#names.bindingsMax = max
  }

  /** Bytes held of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /**
   * Any slice of the stream, however cut. Calls `onFrame` for each whole frame, with its bytes.
   * Payloads and raw bytes are views of the chunk, or of memory that is not used again.
   * @returns why nothing can follow, or undefined. Never throws on what a peer sent. After an error
   * it stays in error.
   */
  push(
    chunk: Uint8Array,
    onFrame: (frame: Frame, raw: Uint8Array) => void,
  ): DecodeError | undefined {
    if (this.#error !== undefined) return this.#error
    let at = this.#held === undefined ? 0 : this.#complete(chunk, onFrame)
    while (at < chunk.length && !this.#stopped && this.#error === undefined) {
      const needs = this.#measure(chunk, at, chunk.length)
      if (this.#error !== undefined) break
      if (needs === 0 || needs > chunk.length - at) {
        this.#hold(chunk, at, chunk.length, needs)
        break
      }
      this.#read(chunk, at, at + needs, onFrame)
      at += needs
    }
    return this.#error
  }

  /** From within `onFrame`: the rest of the chunk, and whatever may still come, is dropped. */
  stop(): void {
    this.#stopped = true
    this.#held = undefined
    this.#heldBytes = 0
  }

  #read(
    bytes: Uint8Array,
    from: number,
    to: number,
    onFrame: (frame: Frame, raw: Uint8Array) => void,
  ): void {
    const frame = decodeFrame(bytes[from]!, bytes, this.#bodyAt, to, this.#names)
    if (frame.type === 'refusal') {
      this.#refuse(frame.reason, frame.text)
      return
    }
    onFrame(frame, from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to))
  }

  /** Where the body of the frame last measured begins. */
  #bodyAt = 0

  /** Whole length of the frame that begins at `at`; 0 while its head is incomplete. */
  #measure(bytes: Uint8Array, at: number, end: number): number {
    const wrong = headRefusals[bytes[at]!]
    if (wrong !== undefined) return this.#refuse(wrong.reason, wrong.text)
    let length = 0
    let scale = 1
    for (let i = at + 1; i < end; i++) {
      const byte = bytes[i]!
      length += (byte & 0x7f) * scale
      if (length > this.frameMaxBytes)
        return this.#refuse('too-large', `a frame over ${this.frameMaxBytes} bytes`)
      if (byte < 0x80) {
        if (byte === 0 && scale > 1)
          return this.#refuse('malformed', 'a length not in its shortest form')
        const needs = i + 1 - at + length
        if (needs > this.frameMaxBytes)
          return this.#refuse('too-large', `a frame over ${this.frameMaxBytes} bytes`)
        this.#bodyAt = i + 1
        return needs
      }
      if (i - at >= headMaxBytes - 1) return this.#refuse('malformed', 'a length over 8 bytes')
      scale *= 0x80
    }
    return 0
  }

  #refuse(reason: DecodeError['reason'], text: string): number {
    this.#error = { reason, text }
    this.#held = undefined
    this.#heldBytes = 0
    return 0
  }

  #hold(chunk: Uint8Array, from: number, to: number, needs: number): void {
    const count = to - from
    this.#held = Buffer.allocUnsafeSlow(room(count, needs))
    this.#held.set(chunk.subarray(from, to))
    this.#heldBytes = count
    this.#heldNeeds = needs
  }

  /** Add to the held frame. @returns how much of the chunk it took. */
  #complete(chunk: Uint8Array, onFrame: (frame: Frame, raw: Uint8Array) => void): number {
    let at = 0
    while (this.#heldNeeds === 0 && at < chunk.length) {
      this.#append(chunk, at, at + 1)
      at++
      this.#heldNeeds = this.#measure(this.#held!, 0, this.#heldBytes)
      if (this.#error !== undefined) return at
    }
    if (this.#heldNeeds === 0) return at
    const count = Math.min(chunk.length - at, this.#heldNeeds - this.#heldBytes)
    if (count > 0) this.#append(chunk, at, at + count)
    at += count
    if (this.#heldBytes < this.#heldNeeds) return at
    const whole = this.#held!
    const end = this.#heldNeeds
    this.#measure(whole, 0, end)
    this.#held = undefined
    this.#heldBytes = 0
    this.#heldNeeds = 0
    this.#read(whole.length === end ? whole : whole.subarray(0, end), 0, end, onFrame)
    return at
  }

  #append(chunk: Uint8Array, from: number, to: number): void {
    const wanted = this.#heldBytes + to - from
    if (wanted > this.#held!.length) {
      const larger = Buffer.allocUnsafeSlow(room(wanted, this.#heldNeeds))
      larger.set(this.#held!.subarray(0, this.#heldBytes))
      this.#held = larger
    }
    this.#held!.set(chunk.subarray(from, to), this.#heldBytes)
    this.#heldBytes = wanted
  }
}

/** At most twice what has come, and never more than the frame needs. */
const room = (bytes: number, needs: number): number => {
  const wanted = Math.max(heldMinBytes, bytes * 2)
  return needs > 0 && needs < wanted ? needs : wanted
}
