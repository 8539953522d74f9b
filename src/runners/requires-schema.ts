/** The shape of `requires`, `rules` and what belongs to the order of suites in `muster.config.*`; see config-schema.ts. */
import { priorityNames } from '../protocol/priority.ts'
import { array, boolean, choice, integer, object, optional, record, string, union } from './config-shapes.ts'

/** As the API takes them. */
const pattern = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$'
const name = (description = 'a name on one line') => string({ minLength: 1, maxLength: 256, pattern, description })
const count = integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'a whole number of at least 1',
})
const flag = boolean({ description: 'true or false' })
const bytes = (example: string) => name(`an amount such as "${example}"`)
const oneOrMore = (description: string) =>
  union([string({ minLength: 1 }), array(string({ minLength: 1 }), { minItems: 1 })], {
    description,
  })

export const requiresSchema = object(
  {
    cpus: optional(count),
    memory: optional(bytes('8GiB')),
    gpus: optional(
      union(
        [
          count,
          object({
            count: optional(count),
            memory: optional(bytes('16GiB')),
            vendor: optional(choice('nvidia', 'amd', 'intel', 'other')),
            exclusive: optional(flag),
          }),
        ],
        { description: 'a number of cards, or { count, memory, vendor, exclusive }' },
      ),
    ),
    resources: optional(record(count, { description: 'names and whole numbers from 1' })),
    where: optional(
      string({ minLength: 1, description: 'an expression such as "os == linux and gpu.memory >= 24GiB"' }),
    ),
    locks: optional(
      array(
        union(
          [
            name(),
            object({
              name: name(),
              mode: optional(choice('exclusive', 'shared')),
              max: optional(count),
            }),
          ],
          {
            description: "a name, or { name, mode: 'exclusive' or 'shared' }, or { name, max: a whole number from 1 }",
          },
        ),
        { description: 'a list of locks' },
      ),
    ),
    exclusive: optional(flag),
    affinity: optional(name()),
    antiAffinity: optional(name()),
    spread: optional(name()),
    together: optional(name()),
    batch: optional(
      union([count, object({ max: count })], {
        description: 'a whole number of at least 1, or { max }',
      }),
    ),
  },
  {
    description:
      'an object: { cpus, memory, gpus, resources, where, locks, exclusive, affinity, antiAffinity, spread, together, batch }',
  },
)

const ruleSchema = object(
  {
    files: optional(oneOrMore('a pattern of files, or several')),
    tags: optional(oneOrMore('a tag, or several')),
    requires: optional(requiresSchema),
    dependsOn: optional(oneOrMore('a pattern of files, or several')),
  },
  { description: 'a rule: { files, tags, requires, dependsOn }' },
)

/** Keys of a suite. */
export const orderSchemas = {
  requires: optional(requiresSchema),
  rules: optional(array(ruleSchema, { description: 'a list of rules' })),
  after: optional(oneOrMore('the name of another suite, or several')),
  onDependencyFailure: optional(choice('skip', 'run')),
  priority: optional(
    union(
      [...Object.keys(priorityNames).map((one) => string({ const: one })), integer({ minimum: -1000, maximum: 1000 })],
      { description: `one of ${Object.keys(priorityNames).join(', ')}, or a whole number from -1000 to 1000` },
    ),
  ),
  deadline: optional(name('a duration such as "20m", or a time such as "14:00"')),
  admission: optional(choice('warn', 'refuse')),
}
