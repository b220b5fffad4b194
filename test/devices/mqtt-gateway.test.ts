import { join } from 'node:path'
import { test } from 'node:test'
import { type Firmware, garbageStory, lockerStory, wrongSecretStory } from './firmware-story.ts'

const door = { listener: 'mqtt', setting: 'PIKE_MQTT_PORT' }
const program = join(import.meta.dirname, 'client-locker.ts')
const locker = (protocol: string): Firmware => [
  process.execPath,
  ...['--import', 'tsx', program, protocol],
]

for (const protocol of ['mqtt', 'mqtt5']) {
  test(`${protocol}: gateway and locker are killed in turn, and every door opens once`, () =>
    lockerStory(locker(protocol), door))

  test(`${protocol}: a wrong secret stops it`, () => wrongSecretStory(locker(protocol), door))

  test(`${protocol}: whatever a port says that is no gateway, it goes on trying`, () =>
    garbageStory(locker(protocol)))
}
