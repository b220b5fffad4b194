import { pathToFileURL } from 'node:url'
import { FrameDecoder, FrameEncoder } from '../../adapters/pike/codec.ts'
import type { Frame } from '../../adapters/pike/frames.ts'

/** What one core does with small frames: encode and decode, each frame a chunk of its own. */
export interface CodecFigure {
  readonly job: string
  readonly encodedPerSecond: number
  readonly decodedPerSecond: number
  readonly bothPerSecond: number
  /** undefined: none was promised. */
  readonly targetPerSecond: number | undefined
}

const payload = Buffer.from('{"door":7,"order":"4471-2203","customer":"k-118","t":9}')

const jobs: readonly {
  readonly job: string
  readonly bindingsMax: number
  readonly targetPerSecond: number | undefined
  readonly make: (n: number) => Frame
}[] = [
  {
    job: 'event, name as text',
    bindingsMax: 0,
    targetPerSecond: 1_500_000,
    make: (n) => event(n),
  },
  {
    job: 'event, name bound',
    bindingsMax: 64,
    targetPerSecond: 3_000_000,
    make: (n) => event(n),
  },
  {
    job: 'command, name as text',
    bindingsMax: 0,
    targetPerSecond: 1_500_000,
    make: (n) => command(n),
  },
  {
    job: 'command, name bound',
    bindingsMax: 64,
    targetPerSecond: 3_000_000,
    make: (n) => command(n),
  },
  {
    job: 'acknowledgement',
    bindingsMax: 0,
    targetPerSecond: undefined,
    make: (n) => ({ type: 'ack', channelNumber: 0, upTo: n }),
  },
]

const event = (n: number): Frame => ({
  type: 'event',
  channelNumber: 0,
  sequence: n,
  name: 'door-opened',
  payload,
  binary: false,
})

const command = (n: number): Frame => ({
  type: 'command',
  channelNumber: 0,
  offset: n,
  deadlineMs: 30_000 + n,
  name: 'open',
  payload,
  binary: false,
  replyExpected: true,
  now: true,
  repeated: false,
})

const rounds = 7
const roundMs = 150
const block = 2_000

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/**
 * By the processor's time, all threads of the process together, since others use the machine too;
 * the best of several rounds.
 */
function perSecond(run: () => void): number {
  let best = 0
  for (let round = 0; round < rounds; round++) {
    const from = cpuMs()
    let count = 0
    while (cpuMs() - from < roundMs) {
      run()
      count += block
    }
    best = Math.max(best, (count / (cpuMs() - from)) * 1000)
  }
  return Math.round(best)
}

export async function codecBench(): Promise<readonly CodecFigure[]> {
  const figures: CodecFigure[] = []
  for (const { job, bindingsMax, targetPerSecond, make } of jobs) {
    const encoder = new FrameEncoder()
    encoder.bindingsMax = bindingsMax
    const decoder = new FrameDecoder({ frameMaxBytes: 65_536, bindingsMax })
    let seen = 0
    const onFrame = (): void => {
      seen++
    }
    const frames = Array.from({ length: block }, (_, n) => make(n + 1))
    // The first teaches the name.
    decoder.push(encoder.encode(frames[0]!), onFrame)
    const encoded = frames.map((frame) => encoder.encode(frame))
    const encodedPerSecond = perSecond(() => {
      for (const frame of frames) encoder.encode(frame)
    })
    const decodedPerSecond = perSecond(() => {
      for (const bytes of encoded) decoder.push(bytes, onFrame)
    })
    const bothPerSecond = perSecond(() => {
      for (const frame of frames) decoder.push(encoder.encode(frame), onFrame)
    })
    if (seen === 0) throw new Error('nothing was decoded')
    figures.push({ job, encodedPerSecond, decodedPerSecond, bothPerSecond, targetPerSecond })
    await new Promise((resolve) => setImmediate(resolve))
  }
  print(figures)
  return figures
}

function print(figures: readonly CodecFigure[]): void {
  const million = (value: number | undefined): string =>
    value === undefined ? '' : (value / 1e6).toFixed(2)
  console.log('codec, one core, million frames a second')
  console.table(
    figures.map((figure) => ({
      job: figure.job,
      encode: million(figure.encodedPerSecond),
      decode: million(figure.decodedPerSecond),
      both: million(figure.bothPerSecond),
      target: million(figure.targetPerSecond),
    })),
  )
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await codecBench()
