import { parseArgs } from 'node:util'
import { runCommand, Wrong } from '../support/command-line.ts'
import { type DecoderRow, runDecoders } from './decoders.ts'
import { megabytes, type Row, type RunOptions, run } from './run.ts'
import { type Protocol, protocols } from './targets.ts'

/** 0: nothing found; 1: something found; 2: asked for wrongly. */
const exitCodes = { clean: 0, found: 1 } as const

const usage = `Sends a real gateway what no honest client would, beside honest clients of every protocol.

  npm run fuzz -- [options]

  --protocol NAME,NAME|all   ${protocols.join(', ')} (all)
  --cases N                  of each protocol (20000)
  --seed N                   repeats the same cases (1)
  --minutes M                end each protocol after this long (10)
  --only CASE,CASE           only these, over one connection as long as it lasts
  --lanes N                  conversations at once (64)
  --together                 all protocols at once, in one gateway
  --decoders                 the readers alone, in this process, faster by far`

function readOptions(): RunOptions & { readonly decoders: boolean } {
  const { values } = parseArgs({
    options: {
      protocol: { type: 'string', default: 'all' },
      cases: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '10' },
      only: { type: 'string' },
      lanes: { type: 'string', default: '64' },
      together: { type: 'boolean', default: false },
      decoders: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(usage)
    process.exit(exitCodes.clean)
  }
  const number = (name: string, text: string): number => {
    if (!/^\d{1,9}(?:\.\d+)?$/.test(text)) throw new Wrong(`--${name}: "${text}" is no number`)
    return Number(text)
  }
  const chosen = values.protocol === 'all' ? [...protocols] : values.protocol.split(',')
  for (const one of chosen)
    if (!protocols.some((known) => known === one)) throw new Wrong(`--protocol: "${one}" is none`)
  return {
    protocols: chosen as Protocol[],
    cases: number('cases', values.cases),
    seed: number('seed', values.seed),
    minutes: number('minutes', values.minutes),
    lanes: number('lanes', values.lanes),
    only: values.only?.split(',').map((text) => number('only', text)),
    together: values.together,
    decoders: values.decoders,
    progress: (text) => process.stderr.write(`${text}\n`),
  }
}

function table(rows: readonly Row[]): string {
  const head = [
    'protocol',
    'cases',
    'packets',
    'cases/s',
    'CPU µs',
    'before login',
    'read',
    'closed',
    'waited',
    'heap before, after',
    'descriptors',
    'honest: median, worst',
  ]
  const body = rows.map((row) => [
    row.protocol,
    String(row.cases),
    String(row.packets),
    (row.cases / row.seconds).toFixed(0),
    row.cpuUs.toFixed(0),
    String(row.before),
    String(row.survived),
    String(row.closed),
    String(row.waited),
    row.memory.map(({ heapBytes }) => megabytes(heapBytes)).join(', '),
    row.descriptors.join(', '),
    `${row.bystanderMedianMs.toFixed(0)}, ${row.bystanderWorst.worstMs.toFixed(0)} ms (${row.bystanderWorst.worstOf}) of ${row.rounds}`,
  ])
  return columns([head, ...body])
}

const decoderTable = (rows: readonly DecoderRow[]): string =>
  columns([
    ['reader', 'cases', 'cases/s', 'read whole', 'refused', 'waiting for more', 'heap grew by'],
    ...rows.map((row) => [
      row.protocol,
      String(row.cases),
      (row.cases / row.seconds).toFixed(0),
      String(row.read),
      String(row.refused),
      String(row.waiting),
      megabytes(row.grownBytes),
    ]),
  ])

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

async function main(): Promise<number> {
  const options = readOptions()
  process.stderr.write(`seed ${options.seed}\n`)
  const { findings, text } = options.decoders ? decoded(options) : await sent(options)
  console.log(text)
  for (const finding of findings) console.log(`\n${finding}`)
  console.log(findings.length === 0 ? '\nNothing was found.' : `\n${findings.length} findings.`)
  return findings.length === 0 ? exitCodes.clean : exitCodes.found
}

async function sent(options: RunOptions): Promise<{ findings: readonly string[]; text: string }> {
  const { rows, findings } = await run(options)
  return { findings, text: table(rows) }
}

function decoded(options: RunOptions): { findings: readonly string[]; text: string } {
  const { rows, findings } = runDecoders(options)
  return { findings, text: decoderTable(rows) }
}

await runCommand(main, usage)
