/** One conversation over a stream, from the client's end: honest, as far as it goes by itself. */
export interface Talk {
  /** What to say first; undefined where each request proves itself. */
  readonly hello: Buffer | undefined
  /** Brings an answer where the gateway can still read us. */
  readonly probe: Buffer
  /** Let in. */
  readonly isIn: boolean
  /** Probes that were answered. */
  readonly answers: number
  /** Something that is none of the protocol's words. */
  readonly nonsense: string | undefined
  hear(chunk: Buffer): void
}
