import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Firmware, garbageStory, lockerStory, wrongSecretStory } from './firmware-story.ts'

/** devices/python/pike.py against a real gateway. */

const file = fileURLToPath(new URL('../../devices/python/pike.py', import.meta.url))
const firmware: Firmware = ['python3', path.normalize(file)]

test('the Python locker: every door once, whoever of the two is killed', () =>
  lockerStory(firmware))

test('the Python locker with a wrong secret stops and says why', () => wrongSecretStory(firmware))

test('the Python locker meets ports that are no gateway and goes on', () => garbageStory(firmware))
