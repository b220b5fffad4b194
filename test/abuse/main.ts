import { parseArgs } from 'node:util'
import { type ListenerName, listenerNames } from '../fuzz/gateway.ts'
import { runCommand, Wrong } from '../support/command-line.ts'
import { chosen, type RunOptions, type RunResult, run } from './run.ts'

/** 0: nothing found; 1: something found; 2: asked for wrongly. */
const exitCodes = { clean: 0, found: 1 } as const

const usage = `Does to a real gateway what attackers do, beside honest devices of every protocol.

  npm run abuse -- [options]

  --listener NAME,NAME|all   ${listenerNames.join(', ')} (all)
  --attack WORD,WORD         only attacks with such a word in their name
  --late-ms N                the honest may wait so long (250), or four times what they wait in calm
  --calm-ms N                how long that calm is measured (5000)
  --list                     the attacks, and no more`

function readOptions(): RunOptions & { readonly list: boolean } {
  const { values } = parseArgs({
    options: {
      listener: { type: 'string', default: 'all' },
      attack: { type: 'string' },
      'late-ms': { type: 'string', default: '250' },
      'calm-ms': { type: 'string', default: '5000' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    process.exit(exitCodes.clean)
  }
  const number = (name: string, text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new Wrong(`--${name}: "${text}" is no number`)
    return Number(text)
  }
  const listeners = values.listener === 'all' ? [...listenerNames] : values.listener.split(',')
  for (const one of listeners)
    if (!listenerNames.some((known) => known === one))
      throw new Wrong(`--listener: "${one}" is none`)
  return {
    listeners: listeners as ListenerName[],
    words: values.attack?.split(',') ?? [],
    lateMs: number('late-ms', values['late-ms']),
    calmMs: number('calm-ms', values['calm-ms']),
    list: values.list,
    progress: (text) => process.stderr.write(`${text}\n`),
  }
}

/** An attack a paragraph: the listeners differ too much for columns. */
function report({ rows, calmWorstMs }: RunResult): string {
  const megabytes = (bytes: number): string => (bytes / 1_048_576).toFixed(1)
  const lines = rows.map((row) => {
    const [before, during, after] = row.heapBytes.map(megabytes)
    const waited = `the honest waited ${row.medianMs.toFixed(0)} ms, at worst ${row.worstMs.toFixed(0)} (${row.ratio.toFixed(1)} × calm)`
    return `${row.attack}, ${row.seconds.toFixed(0)} s\n  ${waited}; heap ${before} MB before, ${during} during, ${after} after\n  ${row.happened.join('\n  ')}`
  })
  return [`in calm the honest waited ${calmWorstMs.toFixed(0)} ms at worst`, ...lines].join('\n')
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options.list) {
    for (const { name, listeners } of chosen(options))
      console.log(`${name} (${listeners.join(', ')})`)
    return exitCodes.clean
  }
  const result = await run(options)
  console.log(report(result))
  for (const finding of result.findings) console.log(`\n${finding}`)
  const count = result.findings.length
  console.log(count === 0 ? '\nNothing was found.' : `\n${count} findings.`)
  return count === 0 ? exitCodes.clean : exitCodes.found
}

await runCommand(main, usage)
