import assert from 'node:assert/strict'
import type { MemoryDisk } from '../../src/engine/memory/index.ts'
import {
  copyDisk,
  MemoryEngine,
  makeDisk,
  openMemoryEngine,
} from '../../src/engine/memory/index.ts'
import type { EngineSubject } from './engine-subject.ts'

/** The reference, on a disk that is an object. */
export const memorySubject: EngineSubject = {
  async store() {
    let disk: MemoryDisk = makeDisk()
    return {
      async open(clock, limits) {
        return openMemoryEngine({ clock, disk, ...(limits && { limits }) })
      },
      async crash(engine) {
        assert.ok(engine instanceof MemoryEngine, 'an engine of this subject')
        disk = engine.crash()
      },
      async backup() {
        const copy = copyDisk(disk)
        return async () => {
          disk = copyDisk(copy)
        }
      },
      async remove() {},
    }
  },
  breakage: {
    break(engine, why) {
      assert.ok(engine instanceof MemoryEngine, 'an engine of this subject')
      engine.fail(why)
    },
    mend(engine) {
      assert.ok(engine instanceof MemoryEngine, 'an engine of this subject')
      engine.recover()
    },
  },
}
