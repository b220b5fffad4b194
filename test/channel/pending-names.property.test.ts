import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Dedupe } from '../../src/channel/index.ts'

const max = 4
/** Some that hold what separates names. */
const names = ['a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b;/%', '%', '%25', 'c/1', ';']

type Step =
  | { readonly do: 'heard' | 'forget'; readonly name: string }
  | { readonly do: 'forgetAll'; readonly prefix: string }
  | { readonly do: 'crash' }

const name = fc.constantFrom(...names)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('heard' as const), name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('forget' as const), name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('forgetAll' as const),
      prefix: fc.constantFrom('a/', 'b', ''),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'crash' as const }) },
)

test('rule 17: names at their bound: whoever is known was heard of lately, and who had to go is owned up to', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      let dedupe = new Dedupe()
      for (const sequence of [1, 2, 3]) dedupe.judge({ epoch: 7, sequence }, false)
      /** Each held, with how many others were heard of since it was. */
      const held = new Map<string, Set<string>>()
      let lost = false
      const letGo = (goes: (one: string) => boolean): void => {
        for (const one of [...held.keys()].filter(goes)) held.delete(one)
      }
      for (const one of steps) {
        switch (one.do) {
          case 'heard':
            for (const others of held.values()) others.add(one.name)
            held.set(one.name, new Set())
            lost = dedupe.names.heard(one.name, max) > 0 || lost
            break
          case 'forget':
            letGo((other) => other === one.name)
            dedupe.names.forget(one.name)
            break
          case 'forgetAll':
            letGo((other) => other.startsWith(one.prefix))
            dedupe.names.forgetAll(one.prefix)
            break
          case 'crash':
            dedupe = new Dedupe(dedupe.encode())
        }
        const { names: known } = dedupe
        assert.ok(known.size <= max, `${known.size} are kept`)
        assert.equal(known.lost, lost)
        for (const [other, since] of held) {
          if (since.size < max) assert.ok(known.has(other), `${other} had to go too early`)
          if (!known.has(other)) assert.ok(lost, `${other} is not known, and nobody owns up to it`)
        }
        for (const other of names) {
          if (!held.has(other)) assert.ok(!known.has(other), `${other} was let go of`)
        }
        assert.equal(dedupe.keptUpTo(7), 3)
      }
    }),
    { numRuns: Number(process.env.PIKE_RUNS ?? 300) },
  )
})
