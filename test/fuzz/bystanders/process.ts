import type { Place } from './bystander.ts'
import { Watch, type Watched } from './watch.ts'

/** What the process of the honest may be asked. */
export type Question =
  | {
      readonly kind: 'start'
      readonly place: Place
      readonly everyMs: number
      readonly lateMs: number
    }
  | { readonly kind: 'go' }
  | { readonly kind: 'rest'; readonly patienceMs: number }
  | { readonly kind: 'stop'; readonly patienceMs: number }

export type Answer = { readonly error?: string; readonly watched?: Watched }

let watch: Watch | undefined

async function answer(question: Question): Promise<Answer> {
  switch (question.kind) {
    case 'start':
      watch = new Watch(question.place, question.lateMs)
      await watch.start(question.everyMs)
      return {}
    case 'go':
      watch!.go()
      return {}
    case 'rest':
      return { watched: await watch!.rest(question.patienceMs) }
    case 'stop':
      return { watched: await watch!.stop(question.patienceMs) }
  }
}

process.on('message', (question: Question) => {
  answer(question).then(
    (said) => process.send!(said),
    (error) => process.send!({ error: error instanceof Error ? error.stack : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
