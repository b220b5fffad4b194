import { join } from 'node:path'
import { fileStorage, type RunningLocker, runLocker } from '../../devices/index.ts'
import { sessions } from '../sessions.ts'
import type { DemoLocker, Stage } from './story.ts'

/** Doors of the demo's locker. */
const doors = 12

/**
 * A locker that is built anew each time it comes, like one that was switched off: what it remembers
 * is what lies in its file.
 */
export const makeDemoLocker: Stage['makeLocker'] = (
  { device, secret, protocol, port, folder },
  tell,
) => {
  const opened: number[] = []
  let running: RunningLocker | undefined
  let receives = (): void => {}
  const receiving = new Promise<void>((resolve) => {
    receives = resolve
  })
  const locker: DemoLocker = {
    opened,
    receiving,
    start() {
      running = runLocker({
        host: '127.0.0.1',
        port,
        device,
        secret,
        doors,
        ...sessions[protocol],
        storage: fileStorage(join(folder, `${device}.state`)),
        log: ({ event, details }) => {
          if (event === 'locker.running') receives()
          if (event !== 'locker.door-opened') return
          opened.push(details.door as number)
          tell(`door ${details.door} is open`)
        },
      })
    },
    async stop() {
      await running?.stop()
      running = undefined
    },
  }
  return locker
}
