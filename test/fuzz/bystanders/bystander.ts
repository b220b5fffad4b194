/** An honest device of one protocol, as the watch sees it. */
export interface Bystander {
  readonly protocol: string
  readonly device: string
  /** Resolves once it receives commands. */
  start(): Promise<void>
  /** Event number n; resolves when the gateway has acknowledged it. */
  report(n: number): Promise<void>
  stop(): void
}

/** What happens to it without its asking. */
export interface Happenings {
  /** A command came; its payload is its number. */
  commanded(n: number): void
  /** It was cut off, or told something that no honest device should be told. */
  harmed(why: string): void
}

/** Where a gateway is. */
export interface Place {
  readonly ports: Readonly<Record<string, number>>
  readonly apiKey: string
}

export const eventBody = (n: number): string => `{"n":${n}}`
export const numberIn = (payload: Uint8Array): number => {
  try {
    return (JSON.parse(Buffer.from(payload).toString()) as { n: number }).n
  } catch {
    return Number.NaN
  }
}
