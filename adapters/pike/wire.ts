/** The way to the client, whatever carries it. */
export interface Wire {
  readonly peer: string
  readonly secure: boolean
  /** Bytes sent and not yet taken by the network. */
  readonly waitingBytes: number
  /** Written at the end of the tick, together with what else comes. */
  send(bytes: Buffer): void
  /** `beforeWrite` is called before the end of this tick. */
  writeSoon(): void
  /** Write what was sent, then say goodbye. */
  end(): void
  /** Drop what was sent, then hang up, so that nothing arrives later (rule 20). */
  reset(): void
  /** Read no more, until told otherwise. */
  hold(reading: boolean): void
}
