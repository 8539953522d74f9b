/** The shape of `requires`, `rules` and what belongs to the order of suites in `muster.config.*`; see config-schema.ts. */
import Type from 'typebox'
import { GpuVendorSchema } from '../protocol/needs.ts'
import { priorityNames } from '../protocol/priority.ts'

const strict = { additionalProperties: false }
/** As the API takes them. */
const pattern = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$'
const name = (description = 'a name on one line') => Type.String({ minLength: 1, maxLength: 256, pattern, description })
const count = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'a whole number of at least 1',
})
const flag = Type.Boolean({ description: 'true or false' })
const bytes = (example: string) => name(`an amount such as "${example}"`)
const oneOrMore = (description: string) =>
  Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String({ minLength: 1 }), { minItems: 1 })], {
    description,
  })

export const requiresSchema = Type.Object(
  {
    cpus: Type.Optional(count),
    memory: Type.Optional(bytes('8GiB')),
    gpus: Type.Optional(
      Type.Union(
        [
          count,
          Type.Object(
            {
              count: Type.Optional(count),
              memory: Type.Optional(bytes('16GiB')),
              vendor: Type.Optional(GpuVendorSchema),
              exclusive: Type.Optional(flag),
            },
            strict,
          ),
        ],
        { description: 'a number of cards, or { count, memory, vendor, exclusive }' },
      ),
    ),
    resources: Type.Optional(Type.Record(Type.String(), count, { description: 'names and whole numbers from 1' })),
    where: Type.Optional(
      Type.String({ minLength: 1, description: 'an expression such as "os == linux and gpu.memory >= 24GiB"' }),
    ),
    locks: Type.Optional(
      Type.Array(
        Type.Union(
          [
            name(),
            Type.Object(
              {
                name: name(),
                mode: Type.Optional(
                  Type.Union([Type.Literal('exclusive'), Type.Literal('shared')], {
                    description: 'one of exclusive, shared',
                  }),
                ),
                max: Type.Optional(count),
              },
              strict,
            ),
          ],
          {
            description: "a name, or { name, mode: 'exclusive' or 'shared' }, or { name, max: a whole number from 1 }",
          },
        ),
        { description: 'a list of locks' },
      ),
    ),
    exclusive: Type.Optional(flag),
    affinity: Type.Optional(name()),
    antiAffinity: Type.Optional(name()),
    spread: Type.Optional(name()),
    together: Type.Optional(name()),
    batch: Type.Optional(
      Type.Union([count, Type.Object({ max: count }, strict)], {
        description: 'a whole number of at least 1, or { max }',
      }),
    ),
  },
  {
    ...strict,
    description:
      'an object: { cpus, memory, gpus, resources, where, locks, exclusive, affinity, antiAffinity, spread, together, batch }',
  },
)

const ruleSchema = Type.Object(
  {
    files: Type.Optional(oneOrMore('a pattern of files, or several')),
    tags: Type.Optional(oneOrMore('a tag, or several')),
    requires: Type.Optional(requiresSchema),
    dependsOn: Type.Optional(oneOrMore('a pattern of files, or several')),
  },
  { ...strict, description: 'a rule: { files, tags, requires, dependsOn }' },
)

/** Keys of a suite. */
export const orderSchemas = {
  requires: Type.Optional(requiresSchema),
  rules: Type.Optional(Type.Array(ruleSchema, { description: 'a list of rules' })),
  after: Type.Optional(oneOrMore('the name of another suite, or several')),
  onDependencyFailure: Type.Optional(
    Type.Union([Type.Literal('skip'), Type.Literal('run')], { description: 'one of skip, run' }),
  ),
  priority: Type.Optional(
    Type.Union(
      [...Object.keys(priorityNames).map((one) => Type.Literal(one)), Type.Integer({ minimum: -1000, maximum: 1000 })],
      { description: `one of ${Object.keys(priorityNames).join(', ')}, or a whole number from -1000 to 1000` },
    ),
  ),
  deadline: Type.Optional(name('a duration such as "20m", or a time such as "14:00"')),
  admission: Type.Optional(
    Type.Union([Type.Literal('warn'), Type.Literal('refuse')], { description: 'one of warn, refuse' }),
  ),
}
