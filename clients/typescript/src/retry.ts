/** Which failures are worth another attempt, and when. */

const RETRIED_STATUSES = new Set([429, 503]);
const FIRST_DELAY_MS = 200;
const LONGEST_DELAY_MS = 30_000;

/** Milliseconds to wait before the next attempt; undefined: give up. */
export async function delayAfter(
  attempt: number,
  retries: number,
  response: Response | undefined,
): Promise<number | undefined> {
  if (attempt >= retries || (response !== undefined && !(await isWorthIt(response)))) {
    return undefined;
  }
  const asked = Number(response?.headers.get("Retry-After") ?? Number.NaN);
  if (Number.isFinite(asked)) {
    return Math.min(asked * 1_000, LONGEST_DELAY_MS);
  }
  const longest = Math.min(FIRST_DELAY_MS * 2 ** attempt, LONGEST_DELAY_MS);
  // Clients that failed at the same moment come back at different ones.
  return longest / 2 + (Math.random() * longest) / 2;
}

async function isWorthIt(response: Response): Promise<boolean> {
  if (RETRIED_STATUSES.has(response.status)) {
    return true;
  }
  // An earlier attempt of the same request still runs.
  return response.status === 409 && (await response.clone().text()).includes('"idempotency-in-progress"');
}

export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
