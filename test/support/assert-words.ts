import assert from 'node:assert/strict'

/*
 * An `assert.ok` that fails without a message looks for its own text in the source, and Node 20 can
 * look for ever where the source was TypeScript: a failing test would hang instead of failing. With
 * some message it does not look. Imported before every test by `npm test`.
 */
const { ok } = assert
assert.ok = (value: unknown, message?: string | Error): asserts value =>
  ok(value, message ?? 'is not true; the stack says where')
