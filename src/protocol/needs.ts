/** The needs of tasks as they cross the API: the shape of core's `Need`. What the numbers may be, the core says. */
import Type from 'typebox'

const strict = { additionalProperties: false }
/** On one line: names are shown to others, and a terminal would obey what else may be in them. */
const pattern = '^[^\\u0000-\\u001f\\u007f-\\u009f]*$'
const name = Type.String({ minLength: 1, maxLength: 256, pattern })
/** As `name`: of a key, only its pattern is checked. */
const resource = Type.String({ pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]{1,256}$' })
const count = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** `other`: whatever the kernel lists beside them. */
export const GpuVendorSchema = Type.Union(
  [Type.Literal('nvidia'), Type.Literal('amd'), Type.Literal('intel'), Type.Literal('other')],
  { description: 'one of nvidia, amd, intel, other' },
)
export type GpuVendor = Type.Static<typeof GpuVendorSchema>

export const LockSchema = Type.Union([
  Type.Object({ name, mode: Type.Union([Type.Literal('exclusive'), Type.Literal('shared')]) }, strict),
  Type.Object({ name, mode: Type.Literal('counted'), max: count }, strict),
])

export const NeedSchema = Type.Object(
  {
    cpus: Type.Optional(count),
    memoryBytes: Type.Optional(count),
    gpus: Type.Optional(
      Type.Object(
        {
          count,
          memoryBytes: Type.Optional(count),
          vendor: Type.Optional(GpuVendorSchema),
          exclusive: Type.Optional(Type.Boolean()),
        },
        strict,
      ),
    ),
    resources: Type.Optional(Type.Record(resource, count, strict)),
    where: Type.Optional(Type.String({ minLength: 1 })),
    locks: Type.Optional(Type.Array(LockSchema, { maxItems: 100 })),
    exclusive: Type.Optional(Type.Boolean()),
    affinity: Type.Optional(name),
    antiAffinity: Type.Optional(name),
    spread: Type.Optional(name),
    batchMax: Type.Optional(count),
  },
  strict,
)
export type NeedBody = Type.Static<typeof NeedSchema>
