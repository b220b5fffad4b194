import { Duplex } from 'node:stream'
import type { AedesDialect } from './dialect.ts'

/** The transport aedes believes to have. It gets whole packets that were looked at. */
export class AedesStream extends Duplex {
  readonly dialect: AedesDialect

  constructor(dialect: AedesDialect) {
    super({ allowHalfOpen: true, emitClose: true })
    this.dialect = dialect
  }

  override _read(): void {
    this.dialect.wants()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.dialect.writes(chunk)
    done()
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) this.dialect.writes(chunk)
    done()
  }

  override _destroy(_error: Error | null, done: (error: null) => void): void {
    this.dialect.streamClosed()
    done(null)
  }
}
