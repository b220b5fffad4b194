import path from 'node:path'
import { before, test } from 'node:test'
import { compile, sanitized, source, warnings } from './c/build.ts'
import { type Firmware, garbageStory, lockerStory, wrongSecretStory } from './firmware-story.ts'

/** devices/c/locker.c, under the sanitizers, against a real gateway. */

let firmware: Firmware
before(() => {
  firmware = [compile('locker', [...warnings, ...sanitized, path.join(source, 'locker.c')])]
})

test('the C locker: every door once, whoever of the two is killed', () => lockerStory(firmware))

test('the C locker with a wrong secret stops and says why', () => wrongSecretStory(firmware))

test('the C locker meets ports that are no gateway and goes on', () => garbageStory(firmware))
