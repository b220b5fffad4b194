import { createServer } from 'coap'
import { answerQuestions } from './worker.ts'

/** node-coap's server as it comes: 2.04, and nothing kept. */
const answers = {
  async start({ port }: { port: number }): Promise<void> {
    const server = createServer((_, answer) => {
      answer.code = '2.04'
      answer.end()
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
  },
}

export type BareCoapAnswers = typeof answers

answerQuestions(answers)
