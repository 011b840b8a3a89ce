/** The service's errors (RFC 9457). */

import type { components } from "./schemas.js";

export type Violation = components["schemas"]["Violation"];

/** The service refused a request; `code` says what kind of problem it is. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** The violations of an input. */
  readonly errors: readonly Violation[];
  /** Every member of the answer. */
  readonly members: { readonly [name: string]: unknown };

  constructor(status: number, members: { readonly [name: string]: unknown }) {
    const code = String(members["code"] ?? "");
    const detail = String(members["detail"] ?? "");
    const errors = (members["errors"] ?? []) as Violation[];
    const lines = errors.map((error) => `  ${error.pointer} ${error.detail}`);
    super([`${status} ${code}: ${detail}`, ...lines].join("\n"));
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.errors = errors;
    this.members = members;
  }

  /** The record's current revision, where a precondition failed. */
  get revision(): number | undefined {
    return this.members["revision"] as number | undefined;
  }

  /** The pointers to what was changed since the revision that was named. */
  get changed(): readonly string[] {
    return (this.members["changed"] ?? []) as string[];
  }

  /** The pointers to what both sides changed to different values. */
  get conflicts(): readonly string[] {
    return (this.members["conflicts"] ?? []) as string[];
  }
}

/** Whether an error is the service's, of a code if one is given. */
export function isProblem(error: unknown, code?: string): error is Problem {
  return error instanceof Problem && (code === undefined || error.code === code);
}

/** The problem of an error answer. A proxy answers in a form of its own. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  let members: unknown;
  try {
    members = JSON.parse(text);
  } catch {
    members = undefined;
  }
  const isObject = typeof members === "object" && members !== null;
  const known = isObject ? (members as { [name: string]: unknown }) : { detail: text.slice(0, 500) };
  return new Problem(response.status, known);
}
