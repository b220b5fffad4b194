import type { Core, Intake, Reason, Source } from '../../src/contract/index.ts'

/** How somebody is told that something is not given. */
export interface Refused {
  readonly kind: 'refused'
  readonly reason: Reason
  readonly retryAfterMs?: number | undefined
}

/** Whose intake it is. */
export interface Speaker extends Pick<Source, 'app' | 'device' | 'via'> {
  readonly address: string
  /** The core does not want it any more. */
  silenced(reason: Reason): void
}

/**
 * What a device reports goes through an intake, made when it first does and let go when it has not
 * for a while: it claims nothing (rule 18).
 */
export class Speaking implements Source {
  readonly protocol = 'coap'
  readonly stays = false
  readonly #core: Core
  readonly #speaker: Speaker
  #intake: Intake | undefined
  #admitting: Promise<Intake | Refused> | undefined
  #pending = 0
  #settled: (() => void) | undefined

  constructor(core: Core, speaker: Speaker) {
    this.#core = core
    this.#speaker = speaker
  }

  get app(): string {
    return this.#speaker.app
  }

  get device(): string {
    return this.#speaker.device
  }

  get via(): string | undefined {
    return this.#speaker.via
  }

  get peer(): string {
    return this.#speaker.address
  }

  /** It is there, or has to be asked for: then `welcome` says whether it may. */
  intake(welcome: () => Promise<boolean>): Intake | Promise<Intake | Refused> {
    if (this.#intake !== undefined) return this.#intake
    this.#admitting ??= this.#admit(welcome).finally(() => {
      this.#admitting = undefined
    })
    return this.#admitting
  }

  touch(): void {
    this.#intake?.touch()
  }

  /** Something is to be settled by it; to be called once it is. */
  settling(): () => void {
    this.#pending++
    return () => {
      this.#pending--
      if (this.#pending === 0) this.#settled?.()
    }
  }

  /** Nothing is on its way any more; undefined: nothing is. */
  settled(): Promise<void> | undefined {
    if (this.#pending === 0) return undefined
    return new Promise((resolve) => {
      this.#settled = resolve
    })
  }

  /** Nothing was said for a while. */
  rest(): void {
    if (this.#pending === 0) this.stop()
  }

  stop(): void {
    const intake = this.#intake
    this.#intake = undefined
    intake?.leave(true)
  }

  close(reason: Reason): void {
    this.#intake = undefined
    this.#speaker.silenced(reason)
  }

  async #admit(welcome: () => Promise<boolean>): Promise<Intake | Refused> {
    if (!(await welcome())) return { kind: 'refused', reason: 'unauthorized' }
    const admitted = await this.#core.admit(this)
    if (admitted.kind === 'refused') return admitted
    this.#intake = admitted.intake
    return admitted.intake
  }
}
