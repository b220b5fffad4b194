import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { pikeAsCalled } from './called.ts'
import { Failure } from './failure.ts'
import { print } from './print.ts'

export const demoCommand = (): Command =>
  new Command('demo')
    .summary('the whole story in a few seconds: a locker, a door, a gateway killed and found whole')
    .description(
      'Starts a gateway and a locker on free ports and a folder of their own, opens a door, kills the gateway, shows that nothing accepted is lost, and does it over every protocol. Leaves nothing behind.',
    )
    .addHelpText(
      'after',
      `
Exit codes:
  0  everything came out as promised
  1  something did not; it says what

Example:
  pike demo`,
    )
    .action(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'pike-demo-'))
      const children = new Set<ChildProcess>()
      // Also when we end by a signal or by a mistake: no process and no folder stays behind.
      process.on('exit', () => {
        for (const child of children) child.kill('SIGKILL')
        rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
      })
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
        process.once(signal, () => process.exit(130))

      const { makeDemoLocker } = await import('./demo/locker.ts')
      const { tellStory } = await import('./demo/story.ts')
      const broken = await tellStory({ folder, children, makeLocker: makeDemoLocker }).catch(
        (error: unknown) => {
          throw error instanceof Failure
            ? new Failure(`the demo did not get through: ${error.message}`)
            : error
        },
      )
      if (broken.length > 0)
        throw new Failure(
          `${broken.length} of the promises did not hold:\n  ${broken.join('\n  ')}`,
        )
      print()
      const pike = pikeAsCalled()
      print(`Next: "${pike} serve" starts a gateway of your own, "${pike} --help" says the rest.`)
    })
