import { Duplex } from 'node:stream'

/** Whose stream it is. */
export interface StreamOwner {
  /** aedes has room for more. */
  wants(): void
  writes(bytes: Buffer): void
  /** It ended, by whomever. */
  streamClosed(): void
}

/** The transport aedes believes to have. It gets whole packets that were looked at. */
export class AedesStream<Owner extends StreamOwner = StreamOwner> extends Duplex {
  readonly owner: Owner
  /** A client of aedes that does not watch for the end of this. */
  slimmed: { close(): void } | undefined

  constructor(owner: Owner) {
    super({ allowHalfOpen: true, emitClose: true })
    this.owner = owner
  }

  override _read(): void {
    this.owner.wants()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.owner.writes(chunk)
    done()
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) this.owner.writes(chunk)
    done()
  }

  override _destroy(_error: Error | null, done: (error: null) => void): void {
    this.owner.streamClosed()
    done(null)
    if (this.slimmed !== undefined) process.nextTick(closeClient, this.slimmed)
  }
}

const closeClient = (client: { close(): void }): void => client.close()
