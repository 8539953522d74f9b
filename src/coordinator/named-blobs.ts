/** Which blobs the state names: what must not be dropped, and what a backup must hold. */
import type { State } from '../core/state.ts'

export function namedBlobs(state: State): Set<string> {
  const named = new Set<string>()
  for (const run of state.runs.values()) {
    if (run.spec.workspace.type === 'travel') named.add(run.spec.workspace.manifest)
    for (const report of run.reports) if (report.results !== undefined) named.add(report.results)
    for (const output of run.outputs) named.add(output.blob)
  }
  for (const letter of state.letters.byId.values()) {
    for (const { output } of letter.attempts) if (output !== undefined) named.add(output)
  }
  for (const manifest of letterManifests(state)) named.add(manifest)
  return named
}

/** Workspaces that a replay would need whole, however long nobody has used them. */
export function letterManifests(state: State): Set<string> {
  const manifests = new Set<string>()
  for (const { spec } of state.letters.sources.values()) {
    if (spec.workspace.type === 'travel') manifests.add(spec.workspace.manifest)
  }
  return manifests
}
