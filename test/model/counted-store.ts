import type { Store } from '../../src/engine/level/store.ts'

/** What a store was asked and has answered: while the two differ something is under way. */
export interface Busy {
  started: number
  ended: number
}

const makers = new Set<PropertyKey>(['batch', 'iterator', 'keys', 'values'])

/** The same store; `busy` tells when it is at rest, since its work is done in other threads. */
export const counted = (store: Store, busy: Busy): Store => watched(store, busy)

function watched<T extends object>(target: T, busy: Busy): T {
  return new Proxy(target, {
    get(whole, name) {
      const value: unknown = Reflect.get(whole, name)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        const got: unknown = Reflect.apply(value, whole, given)
        if (makers.has(name)) return watched(got as object, busy)
        // A chained batch answers with itself.
        if (got === whole) return whole
        if (!(got instanceof Promise)) return got
        busy.started++
        const over = () => {
          busy.ended++
        }
        got.then(over, over)
        return got
      }
    },
  })
}
