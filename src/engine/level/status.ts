import type { Appended, EngineState } from '../../contract/index.ts'
import { StoreUnavailable } from '../../contract/index.ts'

/** Why nothing new can be kept. */
export type Refused = Extract<Appended, { readonly kind: 'unavailable' }>

/** Whether the store can be used; one for all ports. */
export class Status {
  state: EngineState = 'ready'

  get ready(): boolean {
    return this.state === 'ready'
  }

  get full(): boolean {
    return this.state === 'full'
  }

  unavailable(cause?: unknown): StoreUnavailable {
    return new StoreUnavailable(this.full, cause === undefined ? undefined : { cause })
  }

  /** Read from the store; what goes wrong, rejects as {@link StoreUnavailable}. */
  async reading<T>(run: () => Promise<T>): Promise<T> {
    if (!this.ready) throw this.unavailable()
    try {
      return await run()
    } catch (error) {
      throw error instanceof StoreUnavailable ? error : this.unavailable(error)
    }
  }
}
