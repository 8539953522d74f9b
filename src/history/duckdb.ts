/**
 * The one place that loads DuckDB, an optional dependency: everything else in Muster works without
 * it, and whoever asks for history without it is told which package to install.
 */
import { MusterError } from '../protocol/errors.ts'

export type Duckdb = typeof import('@duckdb/node-api')

export async function loadDuckdb(): Promise<Duckdb> {
  try {
    return await import('@duckdb/node-api')
  } catch (cause) {
    throw new MusterError(
      'tool_missing',
      `Cannot keep history: the npm package '@duckdb/node-api' is not installed or has no build for ${process.platform}-${process.arch}`,
      {
        hint: 'Install it beside Muster: npm install @duckdb/node-api. Everything but history works without it.',
        cause,
      },
    )
  }
}
