/** Whether an expression of a need can be read; apart from the shapes in needs.ts, whose library is slow to load. */
import { ExpressionError, parseExpression } from '../core/expression.ts'

/** What is wrong with an expression, with its place in it; undefined = nothing. */
export function expressionFault(text: string): string | undefined {
  try {
    parseExpression(text)
    return undefined
  } catch (error) {
    if (error instanceof ExpressionError) return error.message
    throw error
  }
}
