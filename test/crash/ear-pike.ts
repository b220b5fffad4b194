import { FrameDecoder } from '../../adapters/pike/codec.ts'
import type { Frame } from '../../adapters/pike/frames.ts'
import { type Ear, type Paper, readJson } from './ear.ts'
import { numberOf } from './http.ts'
import type { Wire } from './journal.ts'

interface Opened {
  readonly session: number
  readonly device: string
  readonly channel: string
  epoch: number
}

const bounds = { frameMaxBytes: 65_536, bindingsMax: 256 }

/** Reads Pike, both ways: HELLO, WELCOME, EPOCH, COMMAND, ACK, REPLY. */
export class PikeEar implements Ear {
  readonly #paper: Paper
  readonly #channels = new Map<number, Opened>()
  readonly #up = new FrameDecoder(bounds)
  readonly #down = new FrameDecoder(bounds)
  /** Source: docs/pike-protocol.md, keep-alive. */
  #deadAfterMs: number | undefined
  device = ''

  constructor(paper: Paper) {
    this.#paper = paper
  }

  hear(chunk: Buffer, up: boolean): boolean {
    const decoder = up ? this.#up : this.#down
    return decoder.push(chunk, (frame) => this.#heard(frame, up)) === undefined
  }

  gone(heardAtMs?: number): void {
    const deadAfterMs = this.#deadAfterMs
    for (const opened of this.#channels.values())
      this.#note(opened, { kind: 'gone', heardAtMs, deadAfterMs })
  }

  #heard(frame: Frame, up: boolean): void {
    if (frame.type === 'hello') {
      this.device = frame.device
      const opened: Opened = {
        session: this.#paper.nextSession(),
        device: frame.device,
        channel: frame.channel,
        epoch: 0,
      }
      this.#channels.set(frame.channelNumber, opened)
      this.#note(opened, { kind: 'hello', resume: frame.resume })
      return
    }
    if (frame.type === 'welcome' || frame.type === 'pong') {
      const { keepaliveS } = frame
      if (!up && keepaliveS !== undefined) this.#deadAfterMs = keepaliveS * 1_250 + 10_000
    }
    if (!('channelNumber' in frame) || frame.channelNumber === undefined) return
    const opened = this.#channels.get(frame.channelNumber)
    if (opened === undefined) return
    switch (frame.type) {
      case 'welcome':
        opened.epoch = frame.epoch
        this.#note(opened, {
          kind: 'welcome',
          resumed: frame.resumed,
          epoch: frame.epoch,
          offset: frame.offset,
        })
        return
      case 'epoch':
        opened.epoch = frame.epoch
        return
      case 'command':
        this.#note(opened, {
          kind: 'command',
          epoch: opened.epoch,
          offset: frame.offset,
          repeated: frame.repeated,
          n: numberOf(readJson(frame.payload), 'n'),
        })
        return
      case 'ack':
        this.#note(opened, { kind: up ? 'ack' : 'kept', upTo: frame.upTo })
        return
      case 'reply':
        this.#note(opened, {
          kind: 'reply',
          sequence: frame.sequence,
          epoch: frame.epoch ?? opened.epoch,
          offset: frame.offset,
          status: frame.status,
        })
        return
      case 'close':
        // The others stay on the connection; how long this one stood is not for a tap to judge.
        if (up) return
        this.#channels.delete(frame.channelNumber)
        this.#note(opened, { kind: 'gone' })
    }
  }

  #note(opened: Opened, what: Wire['what']): void {
    this.#paper.journal.wire.push({
      session: opened.session,
      family: 'pike',
      device: opened.device,
      channel: opened.channel,
      atMs: Date.now(),
      what,
    })
  }
}
