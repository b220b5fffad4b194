import type { Clock, Timer } from '../src/contract/index.ts'

/** setTimeout counts in 31 bits; what lies further away is reached in steps. */
const stepMaxMs = 2 ** 31 - 1

/**
 * Time as a device without a battery-backed clock can know it: steps of the monotonic clock, on an
 * axis that was right when the process started. Setting the computer's clock expires no command.
 */
export const deviceClock: Clock = {
  nowMs: () => performance.timeOrigin + performance.now(),

  at(atMs, _name, run): Timer {
    let timeout: NodeJS.Timeout
    const arm = (): void => {
      const waitMs = Math.max(0, Math.ceil(atMs - deviceClock.nowMs()))
      timeout = setTimeout(fire, Math.min(waitMs, stepMaxMs))
    }
    // Node may fire a fraction of a millisecond early.
    const fire = (): void => (deviceClock.nowMs() < atMs ? arm() : run())
    arm()
    return { cancel: () => clearTimeout(timeout) }
  },
}
