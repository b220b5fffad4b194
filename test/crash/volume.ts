import { execFile, spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Mounts that are there, so that an interrupted run leaves none. */
const mounted = new Set<{ readonly path: string; readonly home: string }>()
process.on('exit', () => {
  for (const { path, home } of mounted) {
    spawnSync('umount', ['-l', path])
    rmSync(home, { recursive: true, force: true })
  }
})

/**
 * A small ext4 file system of its own, in an image file mounted by a loop device. What the kernel
 * has not written to the image is what the power would take with it: copying the image beside the
 * mount, never through it, gives the disk as a power cut would leave it; mounting the copy replays
 * its journal, as the machine's next start would.
 */
export class Volume {
  readonly path: string
  readonly home: string
  #image: string
  #images = 0
  #mounted = false

  private constructor(home: string) {
    this.home = home
    this.path = join(home, 'mount')
    this.#image = join(home, 'disk-0.img')
  }

  static async create(sizeMb: number): Promise<Volume> {
    const volume = new Volume(await mkdtemp(join(tmpdir(), 'pike-crash-disk-')))
    try {
      await mkdir(volume.path)
      await run('truncate', ['-s', `${sizeMb}M`, volume.#image])
      // No blocks held back for root, which we are: full is to mean full.
      await run('mkfs.ext4', ['-q', '-F', '-b', '4096', '-m', '0', volume.#image])
      await volume.#mount()
    } catch (error) {
      await volume.remove()
      throw error
    }
    return volume
  }

  /** Why it cannot be done here, in words; undefined when it can. */
  static async unavailable(): Promise<string | undefined> {
    if (process.platform !== 'linux') return 'loop mounts are a thing of Linux'
    if (process.getuid?.() !== 0) return 'loop mounts need root'
    try {
      await (await Volume.create(16)).remove()
      return undefined
    } catch (error) {
      return `a loop mount failed: ${(error as Error).message.trim().split('\n').pop()}`
    }
  }

  /** The disk as it is this moment, beside the running writer. Give it to {@link restore}. */
  async copyAsIs(): Promise<string> {
    const copy = join(this.home, `disk-${++this.#images}.img`)
    // The file below the loop device holds what the kernel has flushed, and no more.
    await run('cp', ['--sparse=always', '--reflink=never', this.#image, copy])
    return copy
  }

  /** Take the mount away from under nobody (its writer is dead) and mount the copy instead. */
  async restore(copy: string): Promise<void> {
    await this.#unmount()
    await rm(this.#image)
    this.#image = copy
    await this.#mount()
  }

  /** Until not another byte fits. */
  async fill(): Promise<void> {
    const filler = join(this.path, 'filler')
    const { stdout } = await run('df', ['--output=avail', '-k', this.path])
    const freeKb = Number(stdout.trim().split('\n').pop())
    if (freeKb > 256) await run('fallocate', ['-l', `${freeKb - 64}k`, filler]).catch(() => {})
    const file = openSync(join(this.path, 'filler-rest'), 'a')
    try {
      for (const size of [4096, 512]) {
        const block = Buffer.alloc(size, 1)
        while (writeSync(file, block) === size);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      closeSync(file)
    }
  }

  async free(): Promise<void> {
    await rm(join(this.path, 'filler'), { force: true })
    await rm(join(this.path, 'filler-rest'), { force: true })
  }

  async remove(): Promise<void> {
    await this.#unmount().catch(() => run('umount', ['-l', this.path]).catch(() => {}))
    mounted.delete(this)
    await rm(this.home, { recursive: true, force: true })
  }

  async #mount(): Promise<void> {
    await run('mount', ['-o', 'loop', this.#image, this.path])
    this.#mounted = true
    mounted.add(this)
  }

  async #unmount(): Promise<void> {
    if (!this.#mounted) return
    for (let patience = 20; ; patience--) {
      try {
        await run('umount', [this.path])
        break
      } catch (error) {
        // The kernel may still be closing a dead process's files.
        if (patience === 0) throw error
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    this.#mounted = false
    mounted.delete(this)
  }
}
