/** What came of a run, so that it can be seen that it proves something. */
export class Figures {
  readonly calls = new Map<string, Map<string, number>>()
  readonly outcomes = new Map<string, number>()
  readonly events = new Map<string, number>()
  readonly lines = new Map<string, number>()
  readonly moves = new Map<string, number>()
  accepted = 0

  called(route: string, said: string): void {
    const answers = this.calls.get(route) ?? new Map<string, number>()
    this.calls.set(route, answers)
    count(answers, said)
  }

  line(said: string): void {
    count(this.lines, said)
  }

  ended(status: string, reason: string | undefined): void {
    count(this.outcomes, reason === undefined ? status : `${status} (${reason})`)
  }

  event(type: string): void {
    count(this.events, type)
  }

  moved(kind: string): void {
    count(this.moves, kind)
  }

  get total(): number {
    let total = 0
    for (const answers of this.calls.values()) for (const n of answers.values()) total += n
    return total
  }

  /** Types of problems that were met, in answers of whole calls and of lines. */
  get problems(): Set<string> {
    const all = [...this.calls.values()].flatMap((answers) => [...answers.keys()])
    const said = [...all, ...this.lines.keys()]
    return new Set(said.filter((one) => one.includes(' ')).map((one) => one.split(' ')[1]!))
  }

  /** First words of the outcomes that were met. */
  get statuses(): Set<string> {
    return new Set([...this.outcomes.keys()].map((one) => one.split(' ')[0]!))
  }
}

const count = (all: Map<string, number>, name: string): void => {
  all.set(name, (all.get(name) ?? 0) + 1)
}
